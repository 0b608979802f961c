//! What crosses a wire: problem documents of HTTP, and the messages of `proto/`, generated at build by protox.
//!
//! 1. [`problem`]: the one shape of an error at every HTTP door.
//! 2. [`by`]: who makes a request, at every door.
//! 3. [`v1`]: `tidemark.v1`, our own messages.
//! 4. [`session`]: Arrow Flight's session messages, which the `arrow-flight` crate does not carry.

pub mod by;
pub mod problem;

pub use by::{By, Presented};
pub use problem::Problem;

/// `tidemark.v1`: our own messages.
pub mod v1 {
    #![allow(missing_docs, clippy::all, reason = "generated; the documentation stands in the .proto files")]
    include!(concat!(env!("OUT_DIR"), "/tidemark.v1.rs"));
}

/// Messages of Arrow Flight that the `arrow-flight` crate does not carry: sessions, and prepared statements with
/// `is_update`.
pub mod session {
    #![allow(missing_docs, clippy::all, reason = "generated; the documentation stands in the .proto files")]
    include!(concat!(env!("OUT_DIR"), "/arrow.flight.protocol.rs"));
}
