//! Appending rows that came as Arrow: what the Flight door hands on, because only ingest writes events.
//!
//! Another trait of what rooms share at run time, passed in by the server: ingest implements it, the query room, whose
//! door speaks Flight, calls it.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use tidemark_model::{Instant, Namespace, Principal, Table};
use tidemark_proto::Problem;

/// What was done with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Rows that are stored now because of this.
    pub accepted: u64,
    /// Rows that were stored already, by event id.
    pub duplicates: u64,
    /// An instant at which all of them are visible.
    pub system_time: Instant,
}

/// Bytes of rows that were read and wait to be appended, among all that do. They are given back when it is dropped.
pub trait Held: Send + Debug {
    /// Holds so many from now on.
    ///
    /// # Errors
    /// When there is no room for more: it holds what it held.
    fn hold(&mut self, bytes: usize) -> Result<(), Problem>;
}

/// Takes rows.
#[async_trait]
pub trait Appends: Send + Sync + Debug {
    /// A place for bytes that are read before they are appended; it holds none yet.
    fn held(&self) -> Box<dyn Held>;

    /// Appends the rows of an Arrow IPC stream to a table, if whoever brings them may; returns when they are durable. One
    /// bad row refuses all.
    async fn append_arrow(&self, by: &Principal, to: (&Namespace, &Table), stream: Bytes) -> Result<Appended, Problem>;
}
