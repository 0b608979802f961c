//! Verbs about the past: upkeep, which jobs call, and snapshots, which people ask for.

use std::sync::Arc;

use tidemark_catalog::manifest::Snapshot;
use tidemark_model::{CollectionName, Instant, Namespace};

use super::{Cdc, Duty, More, Urgency, Work};
use crate::{Error, checkpoint, cleanup, delta, job::Job, metrics::Step, retention, rollup, snapshot};

/// How often a verb starts anew because another commit came between, or because there is more to take in.
pub(super) const ATTEMPTS: usize = 64;

impl Cdc {
    /// One pass of upkeep over all collections: of each one bounded step, if it is due.
    ///
    /// # Errors
    /// The first error; the other collections had their turn all the same.
    pub async fn upkeep(&self, duty: Duty) -> Result<More, Error> {
        self.pass(&self.tools.catalog.every_namespace(), Work::Upkeep(duty)).await
    }

    pub(super) async fn upkeep_of(&self, job: Job<'_>, duty: Duty) -> Result<More, Error> {
        let noted = job.clone();
        match duty {
            Duty::Checkpoints => self.noted(&noted, Step::Checkpoint, checkpoint::step(&job).await),
            Duty::RollUp => self.noted(&noted, Step::RollUp, rollup::step(&job).await),
            Duty::Retention => self.noted(&noted, Step::Retention, retention::step(&job).await),
            Duty::CleanUp => self.noted(&noted, Step::CleanUp, cleanup::step(&job).await),
            Duty::Snapshots => self.noted(&noted, Step::Snapshot, snapshot::step(job).await),
        }
    }

    /// Keeps the state of a collection exactly as of an instant, under a name; without one it is named after the
    /// instant. Everything up to the instant must be in events files (`Ingest::flush`). Asked again it answers the same.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::SnapshotName`], [`Error::SnapshotExists`], [`Error::TooManySnapshots`],
    /// [`Error::Future`], [`Error::NothingThen`], [`Error::NotInFiles`], and what a step says.
    pub async fn snapshot(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        name: Option<&str>,
        at: Instant,
    ) -> Result<Snapshot, Error> {
        let _turn = self.turn.lock().await;
        for _attempt in 0..ATTEMPTS {
            let mut job = self.job(namespace, collection)?;
            let manifest = Arc::clone(&job.manifest);
            let backlogs = delta::pick::backlogs(&job.events, |name| (name == collection).then_some(manifest.mark));
            if let Some(backlog) = backlogs.get(collection) {
                let _more = delta::step(&job, backlog, Urgency::Deltas).await?;
                continue;
            }
            drop(backlogs);
            if let Some(taken) = snapshot::take_named(&mut job, name, at).await? {
                return Ok(taken);
            }
        }
        Err(Error::NotInFiles(at))
    }

    /// Drops a snapshot.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::UnknownSnapshot`], and what a commit says.
    pub async fn drop_snapshot(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        name: &str,
    ) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        for _attempt in 0..ATTEMPTS {
            if snapshot::drop_named(&self.job(namespace, collection)?, name).await? {
                return Ok(());
            }
        }
        Err(Error::Unsettled { namespace: namespace.to_string(), passes: ATTEMPTS })
    }

    /// A collection that is there at work.
    pub(super) fn job<'a>(&'a self, namespace: &'a Namespace, collection: &CollectionName) -> Result<Job<'a>, Error> {
        match self.tools.catalog.collection(namespace, collection) {
            Some(_is_there) => self.any_job(namespace, collection),
            None => Err(unknown(namespace, collection)),
        }
    }

    /// A collection at work, whatever became of it.
    pub(super) fn any_job<'a>(
        &'a self,
        namespace: &'a Namespace,
        collection: &CollectionName,
    ) -> Result<Job<'a>, Error> {
        let catalog = &self.tools.catalog;
        let events = catalog.events(namespace);
        let manifest = catalog.manifest(namespace, collection);
        let known = catalog.any_collection(namespace, collection);
        let collection = known.ok_or_else(|| unknown(namespace, collection))?;
        Ok(Job { tools: &self.tools, namespace, events, collection, manifest })
    }
}

fn unknown(namespace: &Namespace, collection: &CollectionName) -> Error {
    Error::UnknownCollection(format!("{namespace}.{collection}"))
}
