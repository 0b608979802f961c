//! Closing instants: raise the clock, wait for what is in flight, make a horizon durable.
//!
//! An instant is closed when everything at or below it is durable and told, nothing will ever be given at or below it
//! in this process, and a durable append or horizon at or above it makes the same true of the next one.

use std::sync::atomic::Ordering;

use tidemark_model::Instant;

use super::{HORIZON_BYTES, Item, Phase, Sequencer, State, Tried};
use crate::log::{LogError, record::Clocks};

/// How far ahead of what is asked a horizon is reserved, µs: the questions of the next seconds are free.
const HORIZON_AHEAD_MICROS: i64 = 10_000_000;

impl Sequencer {
    /// Closes an instant; see [`Log::close_instant`](super::super::Log::close_instant). Has no deadline of its own.
    pub(crate) async fn close_instant(&self, at: Instant) -> Result<(), LogError> {
        let mut progress = self.progress();
        let awaited = self.raise(at)?;
        let is_settled = |last: Instant| awaited.is_none_or(|awaited| last >= awaited);
        let seen = progress.wait_for(|now| is_settled(now.clocks.last) || now.phase == Phase::Failed || now.is_over);
        let seen = *seen.await.map_err(|_gone| LogError::Closed)?;
        if !is_settled(seen.clocks.last) {
            return Err(self.ended());
        }
        // An append that was in flight below `at` does not help; one above does, and so does an earlier horizon.
        if seen.clocks.last.max(seen.clocks.horizon) < at {
            self.reserve_horizon(at).await?;
        }
        self.closed.fetch_max(at.micros(), Ordering::AcqRel);
        Ok(())
    }

    /// Raises the clock to the instant; says which append in flight is the last at or below it.
    fn raise(&self, at: Instant) -> Result<Option<Instant>, LogError> {
        let mut state = self.lock();
        state.check_open()?;
        if at > state.last {
            if at > self.clock.now() {
                return Err(LogError::NotClosed(at));
            }
            state.last = at;
            self.last.store(at.micros(), Ordering::Release);
        }
        let below = state.in_flight.partition_point(|system_time| *system_time <= at);
        Ok(below.checked_sub(1).and_then(|last| state.in_flight.get(last).copied()))
    }

    async fn reserve_horizon(&self, at: Instant) -> Result<(), LogError> {
        while let Tried::Full((), attempt) = self.ask_horizon(at)? {
            self.room_after(attempt).await?;
        }
        let mut progress = self.progress();
        let is_durable = |clocks: Clocks| clocks.last.max(clocks.horizon) >= at;
        let seen = progress.wait_for(|now| is_durable(now.clocks) || now.phase == Phase::Failed || now.is_over).await;
        let seen = *seen.map_err(|_gone| LogError::Closed)?;
        if is_durable(seen.clocks) { Ok(()) } else { Err(self.ended()) }
    }

    fn ask_horizon(&self, at: Instant) -> Result<Tried<()>, LogError> {
        let mut state = self.lock();
        state.check_open()?;
        let asked = state.ask_horizon(at);
        drop(state);
        self.work.notify_one();
        Ok(asked)
    }
}

impl State {
    fn ask_horizon(&mut self, at: Instant) -> Tried<()> {
        if self.horizon >= at {
            return Tried::Done;
        }
        if !self.take_room(HORIZON_BYTES) {
            return Tried::Full((), self.attempts);
        }
        self.horizon = self.last.max(at).plus_micros(HORIZON_AHEAD_MICROS);
        self.queue.push_back(Item::Horizon(self.horizon));
        Tried::Done
    }
}
