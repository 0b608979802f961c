//! Clean-up: files of a table that its manifest does not name, and manifests that are long past (storage.md, Clean-up).
//!
//! 1. LIST, then look at the newest manifest: what it does not name is an orphan of a crash, or was replaced, or is being
//!    written and will be named.
//! 2. A file is left alone until it has been seen unnamed for the grace: a query may still read it.
//!    So is one that other engines see in the published table, or saw until the external retention ago.
//! 3. Commit `orphans_below`. From then on nobody can name these files: they were planned before, and whoever finds a
//!    manifest with a greater `orphans_below` than his files were planned on writes them anew; a process before this one finds
//!    its number taken by a newer epoch.
//! 4. Delete, telling every path. A crash in between leaves the rest to the next run.
//!
//! A table whose manifest stands where the last run found nothing to delete is not looked at until the first of its files may
//! go: idle costs nothing, and waiting hardly anything.

mod memory;
mod pick;

use std::{sync::Arc, time::Duration};

use tidemark_model::{Namespace, Table};
use tidemark_storage::{ObjectPath, paths};

use self::memory::Memory;
use crate::{Catalog, CatalogError, CollectionManifest, Commit, EventsManifest, manifest::Head, point::Points};

/// The most files one run deletes.
pub(crate) const DELETES_MAX: usize = 1000;

/// How long what nothing names any more stays.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For queries that may still read it.
    pub grace: Duration,
    /// After the published table has dropped it, for other engines that may still read it.
    pub external_retention: Duration,
    /// Commits of a table whose manifests are kept; of up to twice as many they are.
    pub manifests_max: u64,
}

/// How a run over one table ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Cleaned {
    /// No file may go, or not yet.
    Nothing,
    /// So many files are gone; there may be more.
    Deleted(u64),
    /// Another commit came between: nothing was deleted, look again.
    Lost,
}

/// What a run over one table did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Swept {
    /// How it ended.
    pub cleaned: Cleaned,
    /// Files that nothing names and that stay for those who may still read them.
    pub waiting: u64,
    /// Manifests that are gone.
    pub trimmed: u64,
}

/// Cleans the tables that one room writes.
#[derive(Debug)]
pub struct Cleaner {
    catalog: Catalog,
    limits: Limits,
    /// The step in the names of its fail points, and the hook behind them.
    points: (&'static str, Points),
    memory: Memory,
}

impl Cleaner {
    /// One that has seen nothing yet: a restart waits for the grace anew.
    #[must_use]
    pub fn new(catalog: Catalog, limits: Limits, points: (&'static str, Points)) -> Self {
        Self { catalog, limits, points, memory: Memory::default() }
    }

    /// Deletes what may go of one table, where something may have changed since the last time.
    ///
    /// # Errors
    /// [`CatalogError`]; what was not deleted is found again by the next run.
    pub async fn run(&self, namespace: &Namespace, table: &Table) -> Result<Swept, CatalogError> {
        let root = self.root(namespace, table);
        if root.is_none_or(|root| self.memory.rests(&root, self.catalog.newest_version(namespace, table))) {
            return Ok(Swept { cleaned: Cleaned::Nothing, waiting: 0, trimmed: 0 });
        }
        self.sweep(namespace, table).await
    }

    /// Deletes what may go of one table.
    ///
    /// # Errors
    /// [`CatalogError`]; what was not deleted is found again by the next run.
    pub async fn sweep(&self, namespace: &Namespace, table: &Table) -> Result<Swept, CatalogError> {
        let mut swept = Swept { cleaned: Cleaned::Nothing, waiting: 0, trimmed: 0 };
        let Some(root) = self.root(namespace, table) else { return Ok(swept) };
        let (unnamed, newest) = self.look(&root, namespace, table).await?;
        swept.waiting = unnamed.len() as u64;
        let (mut ripe, mut soonest) = self.memory.ripe(&root, unnamed, self.limits.grace);
        swept.trimmed = self.catalog.trim_manifests(namespace, table, self.limits.manifests_max).await?;
        // Nothing is published until the files are gone.
        let retention = self.limits.external_retention;
        let held = if ripe.is_empty() { None } else { self.catalog.published((namespace, table), retention).await };
        ripe.retain(|path| match held.as_ref().and_then(|held| held.holds(path)) {
            Some(time) => {
                // It may be free sooner, when the published table is made anew: no manifest would tell.
                soonest = soonest.min(time).min(self.limits.grace);
                false
            }
            None => true,
        });
        ripe.truncate(DELETES_MAX);
        if ripe.is_empty() {
            self.memory.rest(root, newest.head().version, soonest);
            return Ok(swept);
        }
        self.point("written").await;
        if !newest.forbid_orphans(&self.catalog, namespace, table).await? {
            return Ok(Swept { cleaned: Cleaned::Lost, ..swept });
        }
        self.point("committed").await;
        self.delete(&ripe).await?;
        self.memory.forget(&root, &ripe);
        let deleted = ripe.len() as u64;
        Ok(Swept { cleaned: Cleaned::Deleted(deleted), waiting: swept.waiting - deleted, ..swept })
    }

    /// The data files of a table that its newest manifest does not name; none may be deleted by this alone.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn unnamed(&self, namespace: &Namespace, table: &Table) -> Result<Vec<ObjectPath>, CatalogError> {
        let Some(root) = self.root(namespace, table) else { return Ok(Vec::new()) };
        Ok(self.look(&root, namespace, table).await?.0)
    }

    async fn look(
        &self,
        root: &ObjectPath,
        namespace: &Namespace,
        table: &Table,
    ) -> Result<(Vec<ObjectPath>, Newest), CatalogError> {
        let mut listed = Vec::new();
        for directory in directories(root, table) {
            listed.extend(self.catalog.store().list(&directory).await?.into_iter().map(|object| object.location));
        }
        let newest = Newest::of(&self.catalog, namespace, table);
        Ok((pick::unnamed(listed, newest.named()), newest))
    }

    async fn delete(&self, ripe: &[ObjectPath]) -> Result<(), CatalogError> {
        ripe.iter().for_each(|path| tracing::info!(%path, "is deleted: no manifest names it"));
        self.catalog.store().delete_all(ripe.to_vec()).await?;
        self.point("deleted").await;
        Ok(())
    }

    async fn point(&self, moment: &str) {
        self.points.1.pass(self.points.0, moment).await;
    }

    /// The directory of a table; `None` of one that does not exist.
    fn root(&self, namespace: &Namespace, table: &Table) -> Option<ObjectPath> {
        match table {
            Table::Events => Some(paths::table(namespace, Table::EVENTS)),
            Table::Collection(name) => {
                let known = self.catalog.any_collection(namespace, name)?;
                Some(paths::table(namespace, &known.directory))
            }
        }
    }
}

/// Where the data files of a table lie.
fn directories(root: &ObjectPath, table: &Table) -> Vec<ObjectPath> {
    match table {
        Table::Events => vec![root.clone()],
        Table::Collection(_) => paths::data_directories(root).into(),
    }
}

/// The newest manifest of either kind of table.
enum Newest {
    Events(Arc<EventsManifest>),
    Collection(Arc<CollectionManifest>),
}

impl Newest {
    fn of(catalog: &Catalog, namespace: &Namespace, table: &Table) -> Self {
        match table {
            Table::Events => Self::Events(catalog.events(namespace)),
            Table::Collection(name) => Self::Collection(catalog.manifest(namespace, name)),
        }
    }

    fn head(&self) -> &Head {
        match self {
            Self::Events(manifest) => &manifest.head,
            Self::Collection(manifest) => &manifest.head,
        }
    }

    /// The paths it names.
    fn named(&self) -> Vec<&str> {
        match self {
            Self::Events(manifest) => manifest.every_file().map(|file| file.path).collect(),
            Self::Collection(manifest) => manifest.files().map(|file| file.path).collect(),
        }
    }

    /// Commits that no file planned up to now may be named any more; whether this manifest still was the newest.
    async fn forbid_orphans(
        &self,
        catalog: &Catalog,
        namespace: &Namespace,
        table: &Table,
    ) -> Result<bool, CatalogError> {
        let below = self.head().version + 1;
        match (self, table) {
            (Self::Events(manifest), _) => {
                let mut next = EventsManifest::clone(manifest);
                next.head.orphans_below = below;
                let commit = catalog.commit_events(namespace, manifest, next).await?;
                Ok(matches!(commit, Commit::Committed(_)))
            }
            (Self::Collection(manifest), Table::Collection(name)) => {
                let mut next = CollectionManifest::clone(manifest);
                next.head.orphans_below = below;
                let commit = catalog.commit_collection((namespace, name), manifest, next).await?;
                Ok(matches!(commit, Commit::Committed(_)))
            }
            (Self::Collection(_), Table::Events) => Ok(false),
        }
    }
}

impl Catalog {
    /// Deletes the manifests of a table that lie more than so many commits back, once twice as many are there; how many
    /// were deleted. What those of a collection stood for is written down, and the floor of the register raised, first.
    pub(crate) async fn trim_manifests(
        &self,
        namespace: &Namespace,
        table: &Table,
        kept: u64,
    ) -> Result<u64, CatalogError> {
        let newest = self.newest_version(namespace, table);
        let Some(register) = self.register(namespace, table).filter(|_| newest > kept.saturating_mul(2)) else {
            return Ok(0);
        };
        // In large steps, because the floor's own entries stay for ever.
        let floor = register.floor().await?;
        if newest - floor <= kept.saturating_mul(2) {
            return Ok(0);
        }
        self.check_owner().await?;
        if let Table::Collection(name) = table {
            self.keep_versions((namespace, name), &register, floor.max(1)..newest - kept).await?;
        }
        Ok(register.trim(newest - kept).await?)
    }
}

#[cfg(test)]
mod tests;
