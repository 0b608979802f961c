//! Owning the lake: waiting for one's turn, saying all the while that one is alive, and saying that one has ended.

use std::{sync::Arc, time::Duration};

use tidemark_catalog::{
    Catalog, CatalogError, Tenure,
    lease::{Lease, MachineTicks, Patience, Turn, TurnError, Waiting},
};
use tidemark_storage::{Store, log::Epochs};
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    config::Settings,
    wiring::{Parts, WiringError},
};

/// How long a server that stands by waits for a store that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// After a word that was not heard the next one is tried this much sooner.
const SOONER: u32 = 8;

/// Waits for this process' turn; how it will then hold the lake.
///
/// # Errors
/// [`WiringError::Turn`] when another process owns the lake and this one is not to wait.
pub(crate) async fn tenure(settings: &Settings, store: &Store, parts: &Parts) -> Result<Tenure, WiringError> {
    let directory = settings.log_directory();
    let before = directory.as_deref().map(Epochs::of_directory).transpose().map_err(WiringError::Epochs)?.flatten();
    let patience = if settings.standby { Patience::Endless } else { Patience::Short };
    let (put_id, ticks) = (parts.ids.ulid(parts.clock.now()), Arc::new(MachineTicks::default()));
    let waiting = Waiting { store: store.clone(), patience, put_id, ticks: ticks.clone() };
    // The claim on the directory is ours, so whoever had this log has ended.
    let is_dead = |epoch| before.as_ref().is_some_and(|ours| ours.contains(epoch));
    let Turn { after, left_log } = loop {
        match waiting.turn(is_dead).await {
            Err(TurnError::Catalog(error @ CatalogError::Store(_))) if settings.standby => {
                tracing::warn!(%error, "the store did not answer; this server goes on standing by");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            turn => break turn?,
        }
    };
    if let Some(epoch) = left_log.filter(|epoch| !is_dead(*epoch)) {
        if directory.is_none() {
            check_left_log(settings, epoch)?;
        }
        if settings.standby {
            return Err(WiringError::LogElsewhere(epoch));
        }
        tracing::warn!(
            epoch,
            "the owner before kept its log on a disk and did not end in order: what is only there is not in the lake"
        );
    }
    Ok(Tenure {
        log_in_store: directory.is_none(),
        holder: holder(),
        lease_ms: settings.lease.time_ms,
        after: Some(after),
        ticks,
    })
}

/// Refuses to leave behind the log on this machine's disk that the owner before wrote and did not empty.
fn check_left_log(settings: &Settings, epoch: u64) -> Result<(), WiringError> {
    let directory = settings.data.join("log");
    let left = Epochs::of_directory(&directory).map_err(WiringError::Epochs)?;
    if left.is_some_and(|left| left.contains(epoch)) {
        return Err(WiringError::LogLeft(directory));
    }
    Ok(())
}

/// Who this is, for people.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "a machine without a name" } else { host.trim() };
    format!("{host}, process {}", std::process::id())
}

/// Says that the process is alive for as long as this lives.
#[derive(Debug)]
pub(crate) struct Leasing {
    lease: Lease,
    stop: DropGuard,
    speaking: JoinHandle<()>,
}

impl Leasing {
    /// Begins to speak; `failed` is cancelled when somebody else owns the lake.
    pub(crate) fn begin(catalog: &Catalog, parts: &Parts, failed: CancellationToken) -> Self {
        let (lease, stop) = (catalog.lease().clone(), CancellationToken::new());
        let speaking = speak(lease.clone(), parts.metrics.clone(), (stop.clone(), failed));
        Self { lease, stop: stop.drop_guard(), speaking: TaskTracker::new().spawn(speaking) }
    }

    /// Says that the process has ended: whoever stands by takes over at once.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let _ended = self.speaking.await;
        if let Err(error) = self.lease.end().await {
            tracing::warn!(%error, "whoever stands by was not told of the end and waits for the lease");
        }
    }
}

async fn speak(lease: Lease, metrics: crate::metrics::Metrics, (stop, failed): (CancellationToken, CancellationToken)) {
    let Some(third) = lease.pause() else { return };
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let renewed = tokio::select! {
            () = stop.cancelled() => return,
            renewed = lease.renew() => renewed,
        };
        metrics.lease_renewed(&renewed);
        pause = match renewed {
            Ok(()) => third,
            Err(error @ CatalogError::Fenced { .. }) => {
                tracing::error!(%error, "the process cannot go on and ends");
                failed.cancel();
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the lease was not renewed; it is tried again");
                third / SOONER
            }
        };
    }
}
