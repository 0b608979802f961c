//! Budgets of bytes: whoever takes some holds a [`Reservation`], which gives them back on drop (B1).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of bytes that may be in use at once. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    used: AtomicUsize,
    max: usize,
}

/// Bytes taken from a budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { used: AtomicUsize::new(0), max }))
    }

    /// Takes bytes if they are there.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.max);
        self.0.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(Reservation { budget: self.clone(), bytes })
    }

    /// Takes bytes that exist already and cannot be refused: what replay finds in the log.
    pub(crate) fn take(&self, bytes: usize) -> Reservation {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        Reservation { budget: self.clone(), bytes }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    pub(crate) fn max(&self) -> usize {
        self.0.max
    }
}

impl Reservation {
    /// Takes more of the same budget, or leaves everything as it is and says no.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(mut more) = self.budget.reserve(bytes) else { return false };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }

    /// Holds so many from now on, whether they are there or not: what is in memory already cannot be refused.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let used = &self.budget.0.used;
        match bytes.checked_sub(self.bytes) {
            Some(more) => used.fetch_add(more, Ordering::AcqRel),
            None => used.fetch_sub(self.bytes - bytes, Ordering::AcqRel),
        };
        self.bytes = bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the budget has in all.
    pub(crate) fn max(&self) -> usize {
        self.budget.max()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_on_drop() {
        let budget = Budget::new(10);
        let mut held = budget.reserve(6).expect("fits");
        assert!(budget.reserve(5).is_none());
        assert!(held.grow(4) && !held.grow(1));
        assert_eq!((budget.used(), held.bytes()), (10, 10));
        drop(held);
        assert_eq!(budget.used(), 0);
        let over = budget.take(12);
        assert!(budget.reserve(0).is_none());
        drop(over);
        assert!(budget.reserve(10).is_some());
    }
}
