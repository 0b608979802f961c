//! So many statements at once, so many waiting, the rest is told to come again. Exports and comparisons, which may run for an
//! hour, have a gate of their own: they take no place from queries.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Gives places out.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    /// What is said to whoever finds the queue full.
    full: fn() -> Error,
}

/// Counts as waiting while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate with places and a bounded queue.
    pub(crate) fn new(places: usize, queue: usize, full: fn() -> Error) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))), waiting: AtomicUsize::new(0), queue, full }
    }

    /// A place, which is given back when it is dropped.
    ///
    /// # Errors
    /// What the gate says when the queue is full.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err((self.full)());
        }
        Arc::clone(&self.places).acquire_owned().await.map_err(|_closed| (self.full)())
    }
}

impl Gate {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed).min(self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_come_back_and_the_queue_has_an_end() {
        let gate = Arc::new(Gate::new(1, 1, || Error::TooMany));
        let held = gate.enter().await.expect("a place");
        let waits = {
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.map(drop) }
        };
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(waits);
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(gate.enter().await, Err(Error::TooMany)));
        drop(held);
        assert!(tasks.join_next().await.expect("a task").expect("no panic").is_ok());
        assert!(gate.enter().await.is_ok());
    }
}
