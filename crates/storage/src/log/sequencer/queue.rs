//! The writer's side of the sequencer: what to do next, and what became of it.

use std::sync::{PoisonError, atomic::Ordering};

use super::{Item, Phase, Progress, Queued, Sequencer, State};
use crate::log::{LogError, medium::Prepared, record::Clocks};
use tidemark_model::Instant;

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Work {
    /// Prepare room for so many bytes.
    Prepare(u64),
    /// Move on to the prepared room.
    Advance,
    /// Write these as one group, with this horizon if one is asked for.
    Group(Vec<Queued>, Option<Instant>),
    /// Everything is written and the log is closing.
    Stop,
}

impl Sequencer {
    /// Waits for work.
    pub(crate) fn next_work(&self) -> Work {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.work(self.group_bytes_max) {
                return work;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The medium prepared room for so many bytes, or could not.
    pub(crate) fn prepared(&self, outcome: Prepared) {
        let mut state = self.lock();
        state.attempts += 1;
        match outcome {
            Prepared::Room(bytes) => (state.prepared, state.refusal) = (Some(bytes), None),
            Prepared::Refused(error) => state.refusal = Some((state.attempts, error.kind(), error.to_string())),
        }
        let attempts = state.attempts;
        drop(state);
        self.progress.send_modify(|progress| progress.prepared = attempts);
    }

    /// Everything up to these clocks is durable and told; so many appends are in flight no more.
    pub(crate) fn durable(&self, clocks: Clocks, appends: usize) {
        self.lock().in_flight.drain(..appends);
        self.closed.fetch_max(clocks.last.micros(), Ordering::AcqRel);
        self.progress.send_modify(|progress| progress.clocks = clocks);
    }

    /// The open segment holds nothing that is needed: move on when there is nothing else to do.
    pub(crate) fn advance_when_idle(&self) {
        let mut state = self.lock();
        state.is_spent = true;
        if state.prepared.is_none() {
            state.wanted = state.wanted.max(Some(0));
        }
        drop(state);
        self.work.notify_one();
    }

    /// Takes no more appends; what is queued is still written.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
            self.progress.send_modify(|progress| progress.phase = Phase::Closing);
        }
        drop(state);
        self.shares.close();
        self.work.notify_one();
    }

    /// A write or sync failed: nothing more is written. Those still queued were not written at all.
    pub(crate) fn fail(&self, with: LogError) -> Vec<Queued> {
        let mut state = self.lock();
        state.phase = Phase::Failed;
        state.is_fenced = matches!(with, LogError::Fenced);
        let left = std::mem::take(&mut state.queue);
        drop(state);
        self.progress.send_modify(|progress| progress.phase = Phase::Failed);
        self.shares.close();
        left.into_iter().filter_map(|item| if let Item::Append(queued) = item { Some(queued) } else { None }).collect()
    }

    /// The writer thread has let go of everything. If nobody asked it to, the log has failed.
    pub(crate) fn over(&self) {
        if self.progress.borrow().phase == Phase::Open {
            // Their waiters learn that it is unknown what became of them.
            drop(self.fail(LogError::Unknown));
        }
        self.progress.send_modify(|progress: &mut Progress| progress.is_over = true);
    }
}

impl State {
    fn work(&mut self, group_bytes_max: usize) -> Option<Work> {
        // The medium prepares one room at a time: the one before must have been moved to.
        if !self.is_advancing && self.phase == Phase::Open {
            if let Some(bytes) = self.wanted.take() {
                // A room that is too small is given up for a larger one: nobody may move to it meanwhile.
                self.prepared = None;
                return Some(Work::Prepare(bytes));
            }
            if self.is_spent && self.queue.is_empty() {
                self.is_spent = false;
                if let Some(room) = self.prepared.take() {
                    self.room = room;
                    return Some(Work::Advance);
                }
            }
        }
        if let Some(Item::Advance) = self.queue.front() {
            self.queue.pop_front();
            self.is_advancing = false;
            return Some(Work::Advance);
        }
        let (group, horizon) = self.group(group_bytes_max);
        if !group.is_empty() || horizon.is_some() {
            return Some(Work::Group(group, horizon));
        }
        (self.phase != Phase::Open).then_some(Work::Stop)
    }

    /// What waits, up to the next advance and the size of a group; one that is larger goes alone.
    fn group(&mut self, group_bytes_max: usize) -> (Vec<Queued>, Option<Instant>) {
        let (mut group, mut horizon, mut bytes) = (Vec::new(), None, 0);
        loop {
            match self.queue.front() {
                Some(Item::Append(next)) if group.is_empty() || bytes + next.bytes <= group_bytes_max => {
                    bytes += next.bytes;
                }
                Some(Item::Horizon(_)) => {}
                _ => return (group, horizon),
            }
            match self.queue.pop_front() {
                Some(Item::Append(queued)) => group.push(queued),
                Some(Item::Horizon(at)) => horizon = horizon.max(Some(at)),
                _ => return (group, horizon),
            }
        }
    }
}
