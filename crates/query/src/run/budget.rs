//! The memory of one statement and of all together.
//!
//! A statement has a pool of its own, shared fairly among its operators, which may spill; beneath it every byte is
//! taken from the budget of all statements, so that many small ones cannot add up to more than the machine has.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    common::{Result, resources_err},
    execution::memory_pool::{
        FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
    },
};

/// How many consumers an error about memory names.
const NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// What all statements may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of bytes.
    pub(crate) fn of(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// The pool of one statement, which may hold this many bytes.
    pub(crate) fn pool(self: &Arc<Self>, bytes: usize) -> Arc<dyn MemoryPool> {
        let own = TrackConsumersPool::new(FairSpillPool::new(bytes.min(self.limit)), NAMED);
        Arc::new(Pool { own, all: Arc::clone(self) })
    }

    /// Bytes that may be held.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

#[derive(Debug)]
struct Pool {
    own: TrackConsumersPool<FairSpillPool>,
    all: Arc<Budget>,
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "statement"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.used.fetch_add(additional, Ordering::Relaxed);
        self.own.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.all.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.all.try_take(additional) {
            return resources_err!("all statements together hold {} bytes, the most there is", self.all.limit);
        }
        self.own.try_grow(reservation, additional).inspect_err(|_refused| {
            self.all.used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement({})", self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_and_all_together_have_limits_and_give_back() {
        let budget = Budget::of(100);
        let (a, b) = (budget.pool(80), budget.pool(80));
        let held = MemoryConsumer::new("a").register(&a);
        assert!(held.try_grow(81).is_err() && budget.used() == 0);
        assert!(held.try_grow(70).is_ok());
        let other = MemoryConsumer::new("b").register(&b);
        assert!(other.try_grow(40).is_err() && other.try_grow(30).is_ok());
        drop((held, other));
        assert_eq!(budget.used(), 0);
    }
}
