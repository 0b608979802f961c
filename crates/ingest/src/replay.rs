//! Start: what the log holds beyond the manifests comes back into the tails (storage.md, Release and flush).
//!
//! 1. Sidecars rebuild what deduplication remembers: keys and ids of the last 24 hours, producers of the last 7 days.
//! 2. Appends come oldest first. One that is in files already (`ends`) brings only its schema changes. Every other one
//!    goes into the tail, and its keys and ids are remembered; one that does not go on where the lake ends refuses the
//!    start.
//! 3. Under the byte cap tails are flushed as replay goes: it needs no more memory than serving does.

mod ends;

use tidemark_storage::log::{Append, LogError, LogPlace, Recovery};

use self::ends::{Ends, Standing};
use crate::{config::Config, dedup::lock, error::Error, flush::Flusher, sidecar, visible};

/// Encoded bytes of appends that are read in one go.
const READ_BYTES: usize = 8 << 20;

/// Replays everything; the log can then be started.
pub(crate) async fn all(flusher: &Flusher, log: LogPlace, config: &Config) -> Result<Recovery, Error> {
    remember_sidecars(flusher).await?;
    let mut recovery = on_thread(move || Recovery::open(log)).await?;
    let mut ends = Ends::new(flusher.catalog.clone(), recovery.epochs().clone());
    let (mut taken, mut covered) = (0u64, 0u64);
    loop {
        let (back, appends) = on_thread(move || read(recovery)).await?;
        recovery = back;
        if appends.is_empty() {
            break;
        }
        for (epoch, append) in appends {
            match ends.judge((epoch, &append)).await? {
                Standing::Covered => {
                    covered += 1;
                    flusher.visible.observe(&append);
                }
                Standing::Behind => {
                    taken += 1;
                    take(flusher, &append);
                }
            }
        }
        relieve(flusher, config).await?;
    }
    tracing::info!(appends = taken, covered, "the log was replayed");
    Ok(recovery)
}

fn read(mut recovery: Recovery) -> Result<(Recovery, Vec<(u64, Append)>), LogError> {
    let (mut appends, mut bytes) = (Vec::new(), 0);
    while bytes < READ_BYTES {
        let Some((epoch, append)) = recovery.next_of_epoch()? else { break };
        bytes += append.encoded_bytes.max(1);
        appends.push((epoch, append));
    }
    Ok((recovery, appends))
}

fn take(flusher: &Flusher, append: &Append) {
    let (namespace, at) = (&append.namespace, append.assigned.system_time);
    flusher.visible.take(append, None);
    if let Some(kept) = lock(&flusher.visible.tail(namespace)).last() {
        flusher.seen_ids.remember(namespace, kept.entries.iter().copied(), at);
    }
    if let Some((key, receipt)) = append.key.as_ref().and_then(|key| visible::whole(key, &append.assigned)) {
        let hashes = (key.key, key.body);
        match &receipt.producer {
            Some(_) => flusher.producers.remember(namespace, hashes, receipt),
            None => flusher.seen_keys.remember(namespace, hashes, receipt),
        }
    }
}

/// Flushes until less than half of the cap is in use.
async fn relieve(flusher: &Flusher, config: &Config) -> Result<(), Error> {
    while flusher.visible.unflushed.used() > config.unflushed_bytes_max / 2 {
        let tails = flusher.visible.namespaces().into_iter();
        let largest = tails.max_by_key(|namespace| lock(&flusher.visible.tail(namespace)).bytes());
        let Some(namespace) = largest else { return Ok(()) };
        flusher.flush(&namespace).await?;
    }
    Ok(())
}

async fn remember_sidecars(flusher: &Flusher) -> Result<(), Error> {
    let now = flusher.clock.now();
    for namespace in flusher.catalog.every_namespace() {
        let manifest = flusher.catalog.events(&namespace);
        let live =
            |sidecar: &&tidemark_catalog::manifest::Sidecar| !crate::dedup::is_silent(sidecar.system_time.max, now);
        for sidecar in manifest.sidecars.iter().filter(live) {
            sidecar::recall(flusher, &namespace, sidecar, now).await?;
        }
    }
    Ok(())
}

/// The log's own work blocks: it reads and syncs files, or waits for the store.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|ended| Error::Internal(format!("the replaying task ended early: {ended}")))??)
}
