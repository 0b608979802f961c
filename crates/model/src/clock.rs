//! The clock, passed in: nothing in the lake reads the wall clock by itself.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, Ordering},
};

use crate::Instant;

/// Tells the wall-clock time. It may step back or jump; whoever needs order makes its own (`max(now, last + 1)`).
pub trait Clock: Send + Sync + Debug {
    /// The present instant.
    fn now(&self) -> Instant;
}

/// A clock that stands where it was put, for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: Instant) -> Self {
        Self(AtomicI64::new(at.micros()))
    }

    /// Puts the clock somewhere, also back.
    pub fn set(&self, at: Instant) {
        self.0.store(at.micros(), Ordering::SeqCst);
    }

    /// Moves the clock by some microseconds, also back.
    pub fn step(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::SeqCst))
    }
}
