//! What two rooms share at run time, passed in by the server: the live tail and the bell (architecture.md).

use std::{fmt::Debug, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use tidemark_model::{Instant, Mark, Namespace, Rejected, Table};

/// Durable rows that no published manifest covers yet, in order of position, in `columns::events_schema()`.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    /// The rows; of a collection only its own.
    pub batches: Vec<RecordBatch>,
}

/// The reader's view is older than what the tail still keeps: build it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the view is older than the live tail: read the newest manifest and ask again")]
pub struct Behind;

/// An instant could not be closed before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the instant {0} could not be closed before the deadline: try again")]
pub struct NotClosed(pub Instant);

/// The owner's side of freshness: what is durable but in no file, and which instants are closed.
#[async_trait]
pub trait LiveTail: Send + Sync + Debug {
    /// Rows of the table after the mark of the events manifest that the reader holds.
    async fn tail(&self, namespace: &Namespace, table: &Table, after: &Mark) -> Result<Tail, Behind>;

    /// Up to where everything of a namespace that is durable can be read here, from the tail or a manifest.
    fn reached(&self, namespace: &Namespace) -> Mark;

    /// The last closed system time; not below any ack given before the call.
    fn closed(&self) -> Instant;

    /// The owner's present: the greater of its clock and the highest system time given.
    fn now(&self) -> Instant;

    /// Closes an instant not after [`Self::now`].
    async fn close_instant(&self, at: Instant, deadline: Duration) -> Result<(), NotClosed>;
}

/// Who keeps the records that were refused while the rest of their request was taken.
pub trait Rejects: Send + Sync + Debug {
    /// All that are kept, oldest first.
    fn rejected(&self) -> Vec<Arc<Rejected>>;
}

/// "There is something up to here": carries no data; losing a ring costs a poll.
#[derive(Debug, Clone)]
pub struct Bell(tokio::sync::watch::Sender<u64>);

impl Default for Bell {
    fn default() -> Self {
        Self(tokio::sync::watch::Sender::new(0))
    }
}

impl Bell {
    /// Wakes whoever listens.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// A receiver that changes with every ring.
    #[must_use]
    pub fn listen(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.subscribe()
    }
}
