//! The handle of a running log, and its end.
//!
//! Appends wait for a share of the queue, then for room on the medium, then for the writer. Waiting takes no thread.

use std::{future::Future, sync::Arc, time::Duration};

use arrow::error::ArrowError;
use tidemark_model::{Instant, Namespace, schema::SchemaChange};
use tokio::sync::oneshot;

use super::{
    Append, Assigned, LogBatch, LogError,
    ledger::{Ledger, Released},
    metrics::LogMetrics,
    sequencer::{Phase, Sequencer, Tried, Waiting},
    space::Floor,
};

/// The log of a running owner. Cheap to clone; when the last clone is dropped the log shuts down by itself.
#[derive(Debug, Clone)]
pub struct Log {
    front: Arc<Front>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Front {
    /// The sequencer.
    pub(crate) sequencer: Arc<Sequencer>,
    /// The books of segments.
    pub(crate) ledger: Arc<Ledger>,
    /// The floor of free space.
    pub(crate) floor: Floor,
    /// Instruments.
    pub(crate) metrics: LogMetrics,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.sequencer.close();
    }
}

impl Log {
    pub(crate) fn new(front: Front) -> Self {
        Self { front: Arc::new(front) }
    }

    /// Appends one request's events; returns when they are durable. `admit` runs under the sequencer's lock, exactly
    /// once, after time and positions are given and before the append is queued: what it returns travels in the group.
    /// An append refused with an error other than [`LogError::Unknown`] was never given a time or positions, and `admit`
    /// never ran — except [`LogError::Closed`] after the log failed, when the process must end anyway.
    ///
    /// Dropping the future before it ends does not take the append back.
    ///
    /// # Errors
    /// [`LogError::OutOfSpace`], [`LogError::TooLarge`], [`LogError::Closed`], [`LogError::Rows`] or [`LogError::Io`]
    /// before anything was written; [`LogError::Unknown`] after.
    pub async fn append(
        &self,
        batch: LogBatch,
        admit: impl FnOnce(&Assigned) -> Vec<SchemaChange> + Send,
    ) -> Result<Arc<Append>, LogError> {
        check_counts(&batch)?;
        if self.front.floor.is_below() {
            return self.refused(LogError::OutOfSpace);
        }
        let sequencer = &self.front.sequencer;
        let share = sequencer.share(&batch).await?;
        let bytes = batch.encoded.len();
        let (waiter, answer) = oneshot::channel();
        let (mut waiting, mut admit) = (Waiting { batch, share, waiter }, Some(admit));
        while let Tried::Full(back, attempt) = sequencer.sequence(waiting, &mut admit)? {
            waiting = back;
            if let Err(error) = sequencer.room_after(attempt).await {
                return self.refused(error);
            }
        }
        self.front.metrics.queued(bytes);
        answer.await.unwrap_or(Err(LogError::Unknown))
    }

    fn refused(&self, error: LogError) -> Result<Arc<Append>, LogError> {
        if matches!(error, LogError::OutOfSpace) {
            self.front.metrics.out_of_space();
        }
        Err(error)
    }

    /// The last closed system time: everything up to it is durable and visible, nothing more will come at or below.
    #[must_use]
    pub fn closed(&self) -> Instant {
        self.front.sequencer.closed()
    }

    /// The owner's present: the greater of its clock and the highest system time given.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.front.sequencer.now()
    }

    /// Closes an instant not after [`Self::now`]: raises the clock to it, waits until no append at or below it is in
    /// flight, and makes a horizon at or above it durable if no durable append lies at or above it.
    ///
    /// # Errors
    /// [`LogError::NotClosed`] when the deadline passes or the instant lies in the future, [`LogError::Unknown`],
    /// [`LogError::Closed`], [`LogError::OutOfSpace`].
    pub async fn close_instant(&self, at: Instant, deadline: Duration) -> Result<(), LogError> {
        if at <= self.closed() {
            return Ok(());
        }
        let closing = self.front.sequencer.close_instant(at);
        tokio::time::timeout(deadline, closing).await.unwrap_or(Err(LogError::NotClosed(at)))
    }

    /// Everything of the namespace up to `system_time` is committed elsewhere: segments that hold nothing else are
    /// deleted, the oldest first.
    ///
    /// # Errors
    /// [`LogError::Io`]; the next release tries again.
    pub fn release(&self, namespace: &Namespace, system_time: Instant) -> Result<(), LogError> {
        if self.front.sequencer.progress().borrow().is_over {
            return Ok(());
        }
        let failed = |source| LogError::Io { what: "delete released segments".to_owned(), source };
        match self.front.ledger.release(namespace, system_time).map_err(failed)? {
            Released::Done => {}
            Released::ActiveIsSpent => self.front.sequencer.advance_when_idle(),
        }
        Ok(())
    }

    /// Size and age of what is not released.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        self.front.ledger.pressure()
    }

    /// Ends when a write or sync failed, or when another owner has ended the log: the process must end and recover.
    /// The server waits for it beside its other reasons to stop. Never ends when the log is shut down in order.
    pub fn failed(&self) -> impl Future<Output = LogError> + Send + use<> {
        let sequencer = Arc::clone(&self.front.sequencer);
        async move {
            let mut progress = sequencer.progress();
            if progress.wait_for(|now| now.phase == Phase::Failed).await.is_err() {
                std::future::pending::<()>().await;
            }
            sequencer.ended()
        }
    }

    /// Refuses further appends, waits for those in flight, and ends the writer thread. The directory's lock is free
    /// when this returns.
    pub async fn shut_down(&self) {
        self.front.sequencer.close();
        let mut progress = self.front.sequencer.progress();
        let _over = progress.wait_for(|now| now.is_over).await;
    }
}

fn check_counts(batch: &LogBatch) -> Result<(), LogError> {
    let counted: u64 = batch.counts.iter().map(|(_shard, count)| u64::from(*count)).sum();
    let rows = batch.rows.num_rows();
    if u64::try_from(rows) == Ok(counted) && batch.encoded.is_empty() == (rows == 0) {
        return Ok(());
    }
    let what = format!("an append of {rows} rows counts {counted} over its shards");
    Err(ArrowError::InvalidArgumentError(what).into())
}

/// How much the log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Segments not yet deleted.
    pub segments: usize,
    /// Their bytes on the medium.
    pub bytes: u64,
    /// Namespaces that keep the oldest segment, so that pressure flushes the oldest first.
    pub oldest: Vec<Namespace>,
}
