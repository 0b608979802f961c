//! The seam to what counts clients: how much each may send and ask in a minute.
//!
//! Requests of HTTP and gRPC are counted by the server, in front of the doors. What only a room knows (how many events a
//! request holds, that a statement was said on a connection that stays) is counted through this trait.

use std::fmt::Debug;

use tidemark_model::{Kind, Principal};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Requests of HTTP and gRPC, statements over Postgres.
    Requests,
    /// Records of requests that write, changes among them.
    Events,
}

impl Counted {
    /// All there is.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Events];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Events => "events",
        }
    }
}

/// A client has used up what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Spent {
    /// For now.
    #[error("more than {limit} {} a minute came from this client: try again in {seconds} s", .counted.as_str())]
    ForNow {
        /// What of.
        counted: Counted,
        /// How many it may send in a minute.
        limit: u32,
        /// When the same is let on, seconds from now, rounded up.
        seconds: u32,
    },
    /// For ever: one request holds more than a minute allows.
    #[error("one request holds {count} {}, and this client may send {limit} a minute: send fewer at a time", .counted.as_str())]
    AtOnce {
        /// What of.
        counted: Counted,
        /// How many it holds.
        count: u32,
        /// How many may come in a minute.
        limit: u32,
    },
}

impl Spent {
    /// A stable word for programs.
    pub const CODE: &str = "rate_limit_exceeded";

    /// What it means to the caller.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::ForNow { .. } => Kind::TooMany,
            Self::AtOnce { .. } => Kind::TooLarge,
        }
    }

    /// Seconds after which the same is let on.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::ForNow { seconds, .. } => Some(seconds),
            Self::AtOnce { .. } => None,
        }
    }
}

/// Counts what clients do.
pub trait Allowance: Send + Sync + Debug {
    /// Counts so much of a client: all of it, or, when it may not, nothing.
    ///
    /// # Errors
    /// [`Spent`].
    fn take(&self, by: &Principal, counted: Counted, count: u32) -> Result<(), Spent>;
}
