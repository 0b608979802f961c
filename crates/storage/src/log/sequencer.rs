//! The one lock that orders all appends: system time, positions, admission, and the queue to the writer.
//!
//! Under the lock nothing is read, written, encoded or parsed. An append is sequenced only when the medium has prepared
//! room for it, so a full disk refuses it *before* it has positions or a schema change: the numbers never have gaps.
//! When the open segment is full the sequencer itself says "advance" in the queue, behind the last append that fits.
//!
//! In flight are the appends between the lock and the [`Durable`](super::Durable) sink, in order of system time.

mod closing;
mod queue;
mod state;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use tidemark_model::{Clock, Instant, Namespace, Seq, Shard, schema::SchemaChange};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{
    Append, Assigned, LogBatch, LogError,
    group::HEADER_BYTES,
    record::{CLOCKS_BYTES, Clocks, append_bytes, changes_bytes},
    rows::EncodedRows,
};
pub(crate) use queue::Work;
use state::State;

/// What a group of one record takes besides the record.
const GROUP_OVERHEAD: usize = HEADER_BYTES + 1;
/// What a horizon takes.
const HORIZON_BYTES: u64 = (GROUP_OVERHEAD + CLOCKS_BYTES) as u64;

/// Whether the log takes appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does.
    Open,
    /// No more; those in flight are still written.
    Closing,
    /// A write or sync failed: nothing more will be written.
    Failed,
}

/// What waiters watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The phase.
    pub(crate) phase: Phase,
    /// System time of the last durable append, and the durable horizon.
    pub(crate) clocks: Clocks,
    /// How often the medium was asked to prepare room.
    pub(crate) prepared: u64,
    /// The writer thread is gone, and with it the lock on the directory.
    pub(crate) is_over: bool,
}

/// An append on its way to the writer.
#[derive(Debug)]
pub(crate) struct Queued {
    /// The append.
    pub(crate) append: Arc<Append>,
    /// Its rows for the medium.
    pub(crate) encoded: EncodedRows,
    /// Who waits for it.
    pub(crate) waiter: oneshot::Sender<Result<Arc<Append>, LogError>>,
    /// Its share of the queue.
    #[expect(dead_code, reason = "gives itself back when the append is durable and dropped")]
    pub(crate) share: OwnedSemaphorePermit,
    /// What it takes in a group at most, catalog changes left out.
    pub(crate) bytes: usize,
}

/// What stands in the queue.
#[derive(Debug)]
pub(crate) enum Item {
    /// An append.
    Append(Queued),
    /// A horizon to be made durable.
    Horizon(Instant),
    /// What follows goes to the prepared room.
    Advance,
}

/// An append that was not sequenced yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The request.
    pub(crate) batch: LogBatch,
    /// Its share of the queue.
    pub(crate) share: OwnedSemaphorePermit,
    /// Who waits for it.
    pub(crate) waiter: oneshot::Sender<Result<Arc<Append>, LogError>>,
}

/// Whether there was room.
#[derive(Debug)]
pub(crate) enum Tried<W> {
    /// There was.
    Done,
    /// The medium was asked for more: watch [`Progress::prepared`] pass this number, then try again.
    Full(W, u64),
}

/// The front half of the log; see the module.
#[derive(Debug)]
pub(crate) struct Sequencer {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Rung whenever there is work for the writer.
    work: Condvar,
    /// The greatest system time given or closed.
    last: AtomicI64,
    closed: AtomicI64,
    progress: watch::Sender<Progress>,
    shares: Arc<Semaphore>,
    queue_bytes_max: usize,
    group_bytes_max: usize,
}

/// What a sequencer starts from.
#[derive(Debug)]
pub(crate) struct Start {
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The first free sequence of every shard that has one.
    pub(crate) next: BTreeMap<(Namespace, Shard), Seq>,
    /// The greatest system time and the horizon.
    pub(crate) clocks: Clocks,
    /// See [`LogOptions`](super::LogOptions).
    pub(crate) queue_bytes_max: usize,
    /// See [`LogOptions`](super::LogOptions).
    pub(crate) group_bytes_max: usize,
    /// Bytes of groups that fit into the open segment.
    pub(crate) room: u64,
}

impl Sequencer {
    /// Begins above everything.
    pub(crate) fn new(start: Start) -> Self {
        // Nothing will be given at or below these, so all of it is closed already.
        let last = start.clocks.last.max(start.clocks.horizon);
        let progress = Progress { phase: Phase::Open, clocks: start.clocks, prepared: 0, is_over: false };
        Self {
            clock: start.clock,
            state: Mutex::new(State::new(last, start.clocks.horizon, start.room, start.next)),
            work: Condvar::new(),
            last: AtomicI64::new(last.micros()),
            closed: AtomicI64::new(last.micros()),
            progress: watch::Sender::new(progress),
            shares: Arc::new(Semaphore::new(start.queue_bytes_max)),
            queue_bytes_max: start.queue_bytes_max,
            group_bytes_max: start.group_bytes_max,
        }
    }

    /// A caller's `admit` that panicked under the lock left an append without its place: nothing may follow it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.phase = Phase::Failed;
            self.work.notify_one();
            state
        })
    }

    /// The greatest system time at or below which everything is durable and told.
    pub(crate) fn closed(&self) -> Instant {
        Instant::from_micros(self.closed.load(Ordering::Acquire))
    }

    /// The owner's present.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now().max(Instant::from_micros(self.last.load(Ordering::Acquire)))
    }

    /// Watches the progress.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits for a share of the queue, in order of asking.
    pub(crate) async fn share(&self, batch: &LogBatch) -> Result<OwnedSemaphorePermit, LogError> {
        let bytes = bytes_of(batch);
        let share = u32::try_from(bytes).ok().filter(|_share| bytes <= self.queue_bytes_max);
        let share = share.ok_or(LogError::TooLarge { bytes, limit: self.queue_bytes_max })?;
        Arc::clone(&self.shares).acquire_many_owned(share).await.map_err(|_closed| self.ended())
    }

    /// Gives the append its time and positions, admits and queues it, all in one step, if there is room for it.
    pub(crate) fn sequence(
        &self,
        waiting: Waiting,
        admit: &mut Option<impl FnOnce(&Assigned) -> Vec<SchemaChange>>,
    ) -> Result<Tried<Waiting>, LogError> {
        let bytes = bytes_of(&waiting.batch);
        let mut state = self.lock();
        state.check_open()?;
        if !state.take_room(bytes as u64) {
            self.work.notify_one();
            return Ok(Tried::Full(waiting, state.attempts));
        }
        let assigned = state.assign(self.clock.now(), &waiting.batch);
        self.last.store(state.last.micros(), Ordering::Release);
        let changes = admit.take().map_or_else(Vec::new, |admit| admit(&assigned));
        let more = changes_bytes(&changes);
        state.room = state.room.saturating_sub(more as u64);
        state.in_flight.push_back(assigned.system_time);
        let Waiting { batch: LogBatch { namespace, encoded, rows, key, .. }, share, waiter } = waiting;
        let append = Append { namespace, assigned, changes, key, rows, encoded_bytes: encoded.len() };
        let queued = Queued { append: Arc::new(append), encoded, waiter, share, bytes: bytes + more };
        state.queue.push_back(Item::Append(queued));
        drop(state);
        self.work.notify_one();
        Ok(Tried::Done)
    }

    /// Waits until the medium was asked for room once more; says why if it refused.
    pub(crate) async fn room_after(&self, attempt: u64) -> Result<(), LogError> {
        let mut progress = self.progress();
        let asked = progress.wait_for(|now| now.prepared > attempt || now.phase != Phase::Open).await;
        asked.map(drop).map_err(|_gone| LogError::Closed)?;
        self.refusal_after(attempt).map_or(Ok(()), Err)
    }

    fn refusal_after(&self, attempt: u64) -> Option<LogError> {
        let state = self.lock();
        let (_at, kind, text) = state.refusal.as_ref().filter(|(at, ..)| *at > attempt)?;
        Some(match kind {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => LogError::OutOfSpace,
            kind => LogError::Io {
                what: "prepare a log segment".to_owned(),
                source: std::io::Error::new(*kind, text.clone()),
            },
        })
    }

    /// Why nothing is taken any more.
    pub(crate) fn ended(&self) -> LogError {
        if self.progress.borrow().phase == Phase::Failed { self.lock().failed_with() } else { LogError::Closed }
    }
}

/// What the batch takes in a group of its own at most, catalog changes left out.
fn bytes_of(batch: &LogBatch) -> usize {
    GROUP_OVERHEAD + append_bytes(&batch.namespace, batch.counts.len(), batch.key.as_ref(), batch.encoded.len())
}
