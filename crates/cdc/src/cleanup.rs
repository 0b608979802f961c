//! Clean-up: files of a collection that its manifest does not name, and manifests that are long past (storage.md,
//! Clean-up).
//!
//! 1. LIST, then look at the newest manifest: what it does not name is an orphan of a crash, or was replaced.
//! 2. A file is left alone until it has been seen unnamed for the grace: a query may still read it.
//!    So is one that other engines see in the published table, or saw until `external_retention` ago.
//! 3. Commit `orphans_below`. From then on nobody can name these files: jobs of this process take turns with this one, a
//!    process before it finds its number taken by a newer epoch.
//! 4. Delete, telling every path. A crash in between leaves the rest to the next run.
//!
//! A collection whose manifest stands where the last run found nothing is not looked at: idle costs nothing.

pub(crate) mod pick;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Moment},
};

use tidemark_catalog::CollectionManifest;
use tidemark_storage::{ObjectPath, paths};

use crate::{Error, job::Job, metrics::Step, room::More};

/// The most files one run deletes.
const DELETES_MAX: usize = 1000;

/// What clean-up remembers between runs; a restart forgets it and waits for the grace anew.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// When files were first seen unnamed, by table.
    unnamed: Mutex<HashMap<ObjectPath, BTreeMap<ObjectPath, Moment>>>,
    /// The manifest version at which nothing was left to do, by table.
    clean: Mutex<HashMap<ObjectPath, u64>>,
}

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swept {
    /// Whether there may be more to delete at once.
    pub(crate) more: More,
    /// Files that were deleted.
    pub(crate) deleted: u64,
    /// Files that nothing names and that stay for those who may still read them.
    pub(crate) waiting: u64,
}

/// Deletes what may go of one collection, where something may have changed since the last time.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    if lock(&job.tools.memory.clean).get(&job.table()) == Some(&job.manifest.head.version) {
        return Ok(More::No);
    }
    sweep(job).await.map(|swept| swept.more)
}

/// The data files of a collection that its newest manifest does not name, and that manifest.
pub(crate) async fn unnamed(job: &Job<'_>) -> Result<(Vec<ObjectPath>, Arc<CollectionManifest>), Error> {
    let mut listed = Vec::new();
    for directory in paths::data_directories(&job.table()) {
        listed.extend(job.store().list(&directory).await?.into_iter().map(|object| object.location));
    }
    let manifest = job.tools.catalog.manifest(job.namespace, &job.collection.name);
    Ok((pick::unnamed(listed, &manifest), manifest))
}

/// Deletes what may go of one collection.
pub(crate) async fn sweep(job: &Job<'_>) -> Result<Swept, Error> {
    let table = job.table();
    let (unnamed, manifest) = unnamed(job).await?;
    let found = unnamed.len() as u64;
    let mut ripe = job.tools.memory.ripe(&table, unnamed, Duration::from_secs(job.tools.config.grace_s));
    let old = job.tools.catalog.trim_manifests(job.namespace, &job.collection.name, job.tools.config.manifests_max);
    let trimmed = old.await?;
    // Nothing is published until the files are gone.
    let held = if ripe.is_empty() { None } else { job.published().await };
    ripe.retain(|path| held.as_ref().is_none_or(|held| !held.holds(path)));
    ripe.truncate(DELETES_MAX);
    if ripe.is_empty() {
        if found == 0 {
            lock(&job.tools.memory.clean).insert(table, manifest.head.version);
        }
        job.tools.metrics.deleted(trimmed);
        return Ok(Swept { more: More::No, deleted: 0, waiting: found });
    }
    let mut next = CollectionManifest::clone(&manifest);
    next.head.orphans_below = manifest.head.version + 1;
    let job = Job { manifest, ..job.clone() };
    if !job.commit(Step::CleanUp, next).await? {
        return Ok(Swept { more: More::Yes, deleted: 0, waiting: found });
    }
    for path in &ripe {
        job.store().delete(path).await?;
        tracing::info!(%path, "deleted: no manifest names it");
        job.tools.metrics.deleted(1);
        job.point(Step::CleanUp, "deleted").await;
    }
    job.tools.memory.forget(&table, &ripe);
    let deleted = ripe.len() as u64;
    Ok(Swept { more: More::Yes, deleted, waiting: found - deleted })
}

impl Memory {
    /// Notes what is unnamed now; the files that have been for at least the grace.
    fn ripe(&self, table: &ObjectPath, unnamed: Vec<ObjectPath>, grace: Duration) -> Vec<ObjectPath> {
        let now = Moment::now();
        let mut tables = lock(&self.unnamed);
        let seen = tables.entry(table.clone()).or_default();
        let current = unnamed.into_iter().map(|path| {
            let since = seen.get(&path).copied().unwrap_or(now);
            (path, since)
        });
        *seen = current.collect();
        let ripe = seen.iter().filter(|(_, since)| now.duration_since(**since) >= grace);
        ripe.map(|(path, _)| path.clone()).collect()
    }

    fn forget(&self, table: &ObjectPath, gone: &[ObjectPath]) {
        if let Some(seen) = lock(&self.unnamed).get_mut(table) {
            seen.retain(|path, _| !gone.contains(path));
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_when_it_was_seen_unnamed_for_the_grace() {
        let (memory, table, path) = (Memory::default(), ObjectPath::from("n/c"), ObjectPath::from("n/c/state/x"));
        let hour = Duration::from_secs(3600);
        assert!(memory.ripe(&table, vec![path.clone()], hour).is_empty());
        assert_eq!(memory.ripe(&table, vec![path.clone()], Duration::ZERO), std::slice::from_ref(&path));
        // Named again (it cannot be, but a list may be late), then unnamed: the grace begins anew.
        assert!(memory.ripe(&table, Vec::new(), Duration::ZERO).is_empty());
        assert!(memory.ripe(&table, vec![path], hour).is_empty());
    }
}
