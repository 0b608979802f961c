//! The writer: a thread of its own that makes groups durable and tells of them, in order.
//!
//! Per group: pack what waits, write, one sync; then note it in the ledger, tell the [`Durable`] sink, move the closed
//! instant, and only then wake the waiters (H1, H4). While one group syncs the next one gathers: that is what gives
//! throughput. The first error of a write or sync ends it: the group's waiters get [`LogError::Unknown`].

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant as Monotonic},
};

use tidemark_model::Instant;

use super::{
    Append, Durable, LogError,
    disk::Held,
    group::GroupBuffer,
    ledger::Ledger,
    medium::{self, Advanced, Medium, Prepared},
    metrics::LogMetrics,
    record::{self, Clocks},
    sequencer::{Queued, Sequencer, Work},
};

/// A group buffer that a large append has grown beyond this is given back, bytes.
const BUFFER_BYTES_KEPT: usize = 32 << 20;

/// What the writer works with; all of it is let go when the thread ends.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Where the work comes from.
    pub(crate) sequencer: Arc<Sequencer>,
    /// Where groups go.
    pub(crate) medium: Box<dyn Medium>,
    /// The books of segments.
    pub(crate) ledger: Arc<Ledger>,
    /// Who is told.
    pub(crate) sink: Arc<dyn Durable>,
    /// Instruments.
    pub(crate) metrics: LogMetrics,
    /// The greatest durable system time and the horizon.
    pub(crate) clocks: Clocks,
    /// The shortest time from the beginning of one group to that of the next: while it lasts the next one gathers.
    pub(crate) window: Duration,
    /// The lock on the directory.
    #[expect(dead_code, reason = "gives itself back when the writer ends")]
    pub(crate) held: Option<Held>,
}

/// Tells the sequencer that the thread has ended, however it ended.
struct Ending(Arc<Sequencer>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.over();
    }
}

impl Writer {
    /// Works until the log is closed or fails. Runs on a thread of its own.
    pub(crate) fn run(self) {
        // Declared first, dropped last: when the end is told, lock and files are let go.
        let _ending = Ending(Arc::clone(&self.sequencer));
        let mut writer = self;
        let mut group = GroupBuffer::new();
        let mut next = Monotonic::now();
        loop {
            std::thread::sleep(next.saturating_duration_since(Monotonic::now()));
            let work = writer.sequencer.next_work();
            next = Monotonic::now() + writer.window;
            match writer.step(work, &mut group) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return writer.fail(&error),
            }
        }
    }

    fn step(&mut self, work: Work, group: &mut GroupBuffer) -> io::Result<bool> {
        match work {
            Work::Prepare(bytes) => self.prepare(bytes)?,
            Work::Advance => self.advance(group)?,
            Work::Group(appends, horizon) => self.write(appends, horizon, group)?,
            Work::Stop => {
                self.finish(group);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn prepare(&mut self, bytes: u64) -> io::Result<()> {
        let outcome = self.medium.prepare(bytes)?;
        if let Prepared::Refused(error) = &outcome {
            tracing::warn!(%error, "no room for another log segment");
        }
        self.sequencer.prepared(outcome);
        Ok(())
    }

    fn advance(&mut self, group: &mut GroupBuffer) -> io::Result<()> {
        let advanced = self.medium.advance(self.carry(group))?;
        self.ledger.advanced(advanced);
        if let Err(error) = self.ledger.sweep() {
            tracing::warn!(%error, "released log segments could not be deleted; the next release tries again");
        }
        Ok(())
    }

    /// The first group of a segment: what must outlive the segments before it.
    fn carry<'a>(&self, group: &'a mut GroupBuffer) -> &'a mut GroupBuffer {
        group.clear();
        record::put_clocks(group.payload(), self.clocks);
        group
    }

    fn write(&mut self, appends: Vec<Queued>, horizon: Option<Instant>, group: &mut GroupBuffer) -> io::Result<()> {
        if let Err(error) = self.commit(&appends, horizon, group) {
            for queued in appends {
                self.metrics.settled(queued.append.encoded_bytes);
                let _ = queued.waiter.send(Err(medium::lost(&error)));
            }
            return Err(error);
        }
        let told: Vec<Arc<Append>> = appends.iter().map(|queued| Arc::clone(&queued.append)).collect();
        self.ledger.note(&told);
        if let Some(last) = told.last() {
            self.clocks.last = last.assigned.system_time;
            self.sink.durable(&told);
        }
        self.clocks.horizon = self.clocks.horizon.max(horizon.unwrap_or(Instant::MIN));
        self.sequencer.durable(self.clocks, told.len());
        for queued in appends {
            self.metrics.settled(queued.append.encoded_bytes);
            // A waiter that is gone does not care; its append stands all the same.
            let _ = queued.waiter.send(Ok(queued.append));
        }
        Ok(())
    }

    fn commit(&mut self, appends: &[Queued], horizon: Option<Instant>, group: &mut GroupBuffer) -> io::Result<()> {
        group.clear();
        for queued in appends {
            record::put_append(group.payload(), &queued.append, queued.encoded.as_bytes())?;
        }
        if let Some(horizon) = horizon {
            record::put_clocks(group.payload(), self.clocks.and(Clocks { horizon, ..Clocks::NONE }));
        }
        self.metrics.group(group.len(), appends.len());
        if let Some(own) = self.put(group)? {
            self.ledger.advanced(own);
        }
        if group.len() > BUFFER_BYTES_KEPT {
            *group = GroupBuffer::new();
        }
        Ok(())
    }

    fn put(&mut self, group: &mut GroupBuffer) -> io::Result<Option<Advanced>> {
        if self.medium.is_one_segment_a_group() {
            // The group takes a new one: the last may go with those before it.
            self.ledger.sweep_all()?;
        }
        self.medium.carry(self.clocks, group);
        self.medium.commit(group)
    }

    /// A group without appends behind the last one: after a clean end, damage to any append is told from a torn tail.
    fn finish(&mut self, group: &mut GroupBuffer) {
        if let Err(error) = self.end(group) {
            tracing::warn!(%error, "the end of the log could not be written; everything acknowledged is durable");
        }
    }

    /// Appends of which none is needed are not left behind, so that whoever begins with this log again, after others wrote to the
    /// lake for long, does not have to find them in the manifests of then.
    fn end(&mut self, group: &mut GroupBuffer) -> io::Result<()> {
        if !self.medium.is_one_segment_a_group()
            && self.ledger.is_spent()
            && let Prepared::Room(_) = self.medium.prepare(0)?
        {
            return self.advance(group);
        }
        group.clear();
        self.put(group).map(drop)
    }

    fn fail(self, error: &io::Error) {
        tracing::error!(%error, "the log could not be written or synced: it takes nothing more, the process must end");
        for queued in self.sequencer.fail(medium::lost(error)) {
            self.metrics.settled(queued.append.encoded_bytes);
            let _ = queued.waiter.send(Err(LogError::Closed));
        }
    }
}
