//! What crosses a wire: problem documents of HTTP, and the messages of `proto/`, generated at build by protox.
//!
//! 1. [`problem`]: the one shape of an error at every HTTP door; [`status`]: the same at the doors of gRPC.
//! 2. [`by`]: who makes a request, at every door.
//! 3. [`v1`]: `tidemark.v1`, our own messages and services.
//! 4. [`health`]: gRPC's health protocol; [`session`]: Arrow Flight's session messages, which the `arrow-flight` crate
//!    does not carry.
//! 5. [`DESCRIPTORS`]: all of it described, for reflection.

pub mod by;
pub mod problem;
pub mod status;

pub use by::{By, Presented};
pub use problem::Problem;

/// The services of the gRPC port and their messages: an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use generated::{health, session, v1};

/// What protox and the generators make of the `.proto` files.
mod generated {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        reason = "generated; the documentation stands in the .proto files"
    )]

    /// `grpc.health.v1`: gRPC's health protocol.
    pub mod health {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    }

    /// `tidemark.v1`: our own messages.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidemark.v1.rs"));
    }

    /// Messages of Arrow Flight that the `arrow-flight` crate does not carry: sessions, and prepared statements with
    /// `is_update`.
    pub mod session {
        include!(concat!(env!("OUT_DIR"), "/arrow.flight.protocol.rs"));
    }
}
