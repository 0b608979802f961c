//! The loop that ticks: woken by the bell, and by an interval since a ring may be lost.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Cdc, Error, room::More};

/// The longest pause after failures in a row.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Owns the loop of the room; drain it before the process ends.
#[derive(Debug)]
pub struct Tasks {
    cdc: Cdc,
    tracker: TaskTracker,
    stop: CancellationToken,
    fenced: CancellationToken,
}

impl Tasks {
    pub(crate) fn start(cdc: Cdc, rings: watch::Receiver<u64>) -> Self {
        let (tracker, stop, fenced) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        tracker.spawn(keep_ticking(cdc.clone(), rings, stop.clone(), fenced.clone()));
        Self { cdc, tracker, stop, fenced }
    }

    /// Is cancelled when another owner has taken over and this process must end.
    #[must_use]
    pub fn fenced(&self) -> CancellationToken {
        self.fenced.clone()
    }

    /// Ends the loop after the step under way, then puts what lies in events files into deltas, within the time that
    /// the settings give. What remains is taken in after the next start.
    ///
    /// # Errors
    /// What the last pass met; nothing is lost by it.
    pub async fn drain(self) -> Result<(), Error> {
        self.stop.cancel();
        self.tracker.close();
        let last = async {
            self.tracker.wait().await;
            self.cdc.drain().await
        };
        tokio::time::timeout(self.cdc.config().drain(), last).await.unwrap_or_else(|_late| {
            tracing::warn!("changes remain outside of deltas: the next start takes them in");
            Ok(())
        })
    }
}

async fn keep_ticking(cdc: Cdc, mut rings: watch::Receiver<u64>, stop: CancellationToken, fenced: CancellationToken) {
    let (interval, mut failures) = (cdc.config().interval(), 0u32);
    while !stop.is_cancelled() {
        rings.mark_unchanged();
        let pause = match cdc.tick().await {
            Ok(More::Yes) => Duration::ZERO,
            Ok(More::No) => interval,
            Err(error) if error.is_fatal() => return fenced.cancel(),
            Err(_told_where_it_happened) => interval.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX),
        };
        failures = if pause > interval { failures + 1 } else { 0 };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            Ok(()) = rings.changed(), if failures == 0 => {}
        }
    }
}
