//! An append: what goes in, what it is given, what comes out.

use std::{fmt::Debug, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use tidemark_model::{Instant, Namespace, Positions, Shard, schema::SchemaChange};

use super::EncodedRows;

/// What is remembered of an idempotency key; travels in the append's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The first 16 bytes of SHA-256 of the key.
    pub key: u128,
    /// The first 16 bytes of SHA-256 of the decoded body.
    pub body: u128,
    /// The receipt without times and positions, as the room wrote it.
    pub receipt: Bytes,
}

/// One request on its way into the log.
#[derive(Debug)]
pub struct LogBatch {
    /// The namespace.
    pub namespace: Namespace,
    /// How many rows go to each shard, in the order of the rows: the rows of a shard stand together.
    pub counts: Vec<(Shard, u32)>,
    /// The rows, for the log.
    pub encoded: EncodedRows,
    /// The rows, for the live tail.
    pub rows: RecordBatch,
    /// The idempotency key, if the request has one.
    pub key: Option<KeyRecord>,
}

/// What the sequencer gave an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The one system time of all its events.
    pub system_time: Instant,
    /// Its positions, in the order of its rows.
    pub positions: Vec<Positions>,
}

/// A durable append; what its waiter gets and what recovery yields.
#[derive(Debug)]
pub struct Append {
    /// The namespace.
    pub namespace: Namespace,
    /// System time and positions.
    pub assigned: Assigned,
    /// Catalog changes that came with it.
    pub changes: Vec<SchemaChange>,
    /// The idempotency key.
    pub key: Option<KeyRecord>,
    /// Rows of `columns::log_schema()`, rows of a shard together, in the order of `positions`.
    pub rows: RecordBatch,
    /// How long its encoded rows are, bytes.
    pub encoded_bytes: usize,
}

/// Is told of every durable append, in order of system time, before anyone else learns of it.
pub trait Durable: Send + Sync + std::fmt::Debug {
    /// These appends are durable now; make them visible before returning.
    fn durable(&self, appends: &[Arc<Append>]);
}
