//! The floor of free space: appends are refused before the medium is full, so that flushing still has room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant as Monotonic,
};

use super::disk::Disk;

/// How long one look at the medium is believed, ms.
const LOOK_EVERY_MS: u64 = 1000;

/// Looks at the medium at most once a second.
#[derive(Debug)]
pub(crate) struct Floor {
    disk: Option<Arc<dyn Disk>>,
    free_min_percent: u8,
    began: Monotonic,
    next_look_ms: AtomicU64,
    is_below: AtomicBool,
}

impl Floor {
    /// A floor of so many percent of the medium; 0 has none.
    pub(crate) fn new(disk: Arc<dyn Disk>, free_min_percent: u8) -> Self {
        let began = Monotonic::now();
        Self {
            disk: Some(disk),
            free_min_percent,
            began,
            next_look_ms: AtomicU64::new(0),
            is_below: AtomicBool::new(false),
        }
    }

    /// A medium that is never full.
    pub(crate) fn none() -> Self {
        let (next_look_ms, is_below) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { disk: None, free_min_percent: 0, began: Monotonic::now(), next_look_ms, is_below }
    }

    /// Whether less is free than should be.
    pub(crate) fn is_below(&self) -> bool {
        let Some(disk) = self.disk.as_deref().filter(|_disk| self.free_min_percent > 0) else { return false };
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.next_look_ms.load(Ordering::Relaxed);
        // Whoever moves the time of the next look looks; the others believe the last one.
        let next_ms = now_ms.saturating_add(LOOK_EVERY_MS);
        let moved =
            |from, to| self.next_look_ms.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now_ms >= due_ms && moved(due_ms, next_ms) {
            self.look(disk);
        }
        self.is_below.load(Ordering::Relaxed)
    }

    fn look(&self, disk: &dyn Disk) {
        match disk.space() {
            Ok(space) => {
                let floor = space.total / 100 * u64::from(self.free_min_percent);
                let is_below = space.free < floor;
                if is_below && !self.is_below.swap(is_below, Ordering::Relaxed) {
                    tracing::warn!(free = space.free, floor, "the log's medium is nearly full: appends are refused");
                }
                self.is_below.store(is_below, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "the free space of the log's medium cannot be read"),
        }
    }
}
