//! Bytes at rest: everything durable goes through here, and only here object paths are spelled.
//!
//! 1. [`store`]: opens a store by URL (`file`, `memory`, `s3`); local disk is made durable by us.
//! 2. [`paths`]: the one home of object paths.
//! 3. [`register`]: chains of numbered objects created once, with put id, read-back and floor.
//! 4. [`log`]: the write-ahead log of one owner; an append is durable when its future ends.
//! 5. [`files`]: Parquet files of events, changes, states, tombstones and idempotency entries.

pub mod files;
pub mod log;
pub mod paths;
pub mod register;
pub mod store;

pub use object_store::path::Path as ObjectPath;
pub use store::{Store, StoreError};
