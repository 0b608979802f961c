//! The write-ahead log of one owner (storage.md, The log).
//!
//! An **append** is one request's accepted events of one namespace: one system time, in one group, whole or not at all.
//! Concurrent appends share a group and its sync. The flow of an append:
//!
//! 1. the caller encodes rows ([`EncodedRows`]) outside every lock;
//! 2. [`Log::append`] takes the sequencer's lock, assigns system time and positions, lets the caller admit (evolve
//!    schemas) at exactly this point, and queues the append;
//! 3. the writer thread packs what waits into one group, writes it to the medium, syncs, tells the [`Durable`] sink in
//!    order, moves the closed instant, and only then wakes the waiters in order (H1).
//!
//! After a failed sync every waiter of the group gets [`LogError::Unknown`] and the log takes nothing more: the server
//! waits for [`Log::failed`] and ends the process.
//!
//! Read in this order: `append` (what goes in and comes out), `handle` (the verbs), `sequencer` (the lock), `writer` (the
//! thread), `medium` (where groups go: `segments` on a `disk`, or `objects` of the lake's store), `ledger`, `shelf` and
//! `space` (what is deleted and refused), `recovery` and `scan` (what is found again). Persisted formats: `header`, `group`,
//! `record`, `rows`.

mod append;
mod disk;
mod epochs;
mod error;
mod group;
mod handle;
mod header;
mod ledger;
mod medium;
mod metrics;
mod objects;
mod options;
mod record;
mod recovery;
mod rows;
mod scan;
mod segments;
mod sequencer;
mod shelf;
mod space;
mod writer;

pub use append::{Append, Assigned, Durable, KeyRecord, LogBatch};
pub use epochs::Epochs;
pub use error::LogError;
pub use handle::{Log, Pressure};
pub use objects::{Looked, fence, is_released, look};
pub use options::{LogDeps, LogOptions, LogPlace, ObjectLogOptions};
pub use recovery::{Recovery, holds_appends};
pub use rows::EncodedRows;

#[cfg(test)]
mod tests;
