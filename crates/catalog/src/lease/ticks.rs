//! Time that only passes: what leases are measured by, so that no wall clock decides who owns a lake.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

/// A clock that cannot be set.
#[async_trait]
pub trait Ticks: Send + Sync + Debug {
    /// How long it has run.
    fn now(&self) -> Duration;

    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// The clock of the machine.
#[derive(Debug)]
pub struct MachineTicks(Instant);

impl Default for MachineTicks {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Ticks for MachineTicks {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
