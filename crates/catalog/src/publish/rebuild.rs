//! Writing a published table anew, so that it is readable at every moment and ends short.
//!
//! 1. A version on top of the log says everything: schema, files, and what was removed stays on the list of what was.
//! 2. A checkpoint of it: a reader needs nothing older from then on.
//! 3. What is older is deleted, from the oldest on.
//!
//! The version carries an application transaction with its own number. Cut off in the middle, the next publication of the table
//! finds it, sees what is still older, and goes on. A log that cannot be read, or that speaks a protocol we do not
//! write, is deleted first; its list of removed files is lost with it.

use tidemark_model::{Instant, Namespace, Table};
use tidemark_storage::{ObjectPath, paths};

use super::{Log, LogError, Publisher, failed};
use crate::{CatalogError, cleanup::DELETES_MAX};

/// Why a log was not shortened; the next run goes on.
#[derive(Debug)]
pub(super) enum NotShortened {
    Log(LogError),
    Catalog(CatalogError),
}

impl NotShortened {
    pub(super) fn of(self, namespace: &Namespace, table: &Table) -> CatalogError {
        match self {
            Self::Log(error) => failed(namespace, table, error),
            Self::Catalog(error) => error,
        }
    }
}

impl Publisher {
    /// Deletes what lies before the last rebuild, once a checkpoint stands at it or behind.
    pub(super) async fn shorten(&self, root: &ObjectPath, log: &Log) -> Result<(), NotShortened> {
        let Some(rebuilt) = log.rebuilt else { return Ok(()) };
        let version = |path: &&ObjectPath| paths::delta_log_version(path);
        let older = |path: &&ObjectPath| version(path).is_some_and(|version| version < rebuilt);
        let mut gone: Vec<ObjectPath> = log.listed.iter().filter(older).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        let is_enough = |path: &ObjectPath| paths::is_delta_checkpoint(path) && version(&path) >= Some(rebuilt);
        self.catalog.check_owner().await.map_err(NotShortened::Catalog)?;
        if !log.listed.iter().any(is_enough) {
            log.checkpoint().await.map_err(NotShortened::Log)?;
            self.points.pass("publish", "checkpointed").await;
        }
        gone.sort_by_key(|path| version(&path));
        for some in gone.chunks(DELETES_MAX) {
            let deleted = self.catalog.store().delete_all(some.to_vec()).await;
            deleted.map_err(|error| NotShortened::Catalog(error.into()))?;
            self.points.pass("publish", "shortened").await;
        }
        tracing::info!(%root, rebuilt, deleted = gone.len(), "the published log was shortened");
        Ok(())
    }

    /// Deletes a log that no version can be put on, from its end on, so that what a crash leaves is an older version.
    pub(super) async fn erase_unless_it_goes_on(&self, root: &ObjectPath) -> Result<(), NotShortened> {
        let store = self.catalog.store();
        match Log::open(store, root).await {
            Ok(log) if log.published.is_none() || log.goes_on() => return Ok(()),
            Ok(_) => tracing::warn!(%root, "the published log speaks another protocol and is deleted"),
            // What it holds may be as it should be.
            Err(error) if error.is_of_store() => return Err(NotShortened::Log(error)),
            Err(error) => tracing::warn!(%root, %error, "the published log cannot be read and is deleted"),
        }
        self.erase(root).await.map_err(NotShortened::Catalog)
    }

    /// Deletes the log of events that were all erased: its rows are only ever added, so none of its versions can say so.
    pub(super) async fn erase_what_was(&self, root: &ObjectPath, up_to: Instant) -> Result<(), CatalogError> {
        // One that cannot be read is told by the publication.
        let Ok(log) = Log::open(self.catalog.store(), root).await else { return Ok(()) };
        match log.published.filter(|published| published.newest <= up_to) {
            Some(_was) => self.erase(root).await,
            None => Ok(()),
        }
    }

    /// Deletes a log from its end on, one object at a time, so that what a crash leaves is an older version.
    async fn erase(&self, root: &ObjectPath) -> Result<(), CatalogError> {
        let store = self.catalog.store();
        self.catalog.check_owner().await?;
        for object in store.list(&paths::delta_log(root)).await?.iter().rev() {
            store.delete(&object.location).await?;
        }
        self.points.pass("publish", "erased").await;
        Ok(())
    }
}
