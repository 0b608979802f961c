//! Published Delta tables: copies of the events and of the newest states that other engines read without us.
//!
//! 1. `wanted`: what of the newest manifest is published.  `log`: what is published now.
//! 2. `pick`: the difference, a pure function.
//! 3. One commit per table to the log below its root: `{ns}/events/_delta_log`, `{ns}/{collection}/state/_delta_log`.
//!
//! 4. `rebuild`: a version that says everything, a checkpoint of it, and nothing older.
//!
//! The manifest is the truth. A published table names files that are there anyway, so publishing writes no data, and
//! deleting a log loses nothing: [`Publisher::publish`] with [`How::Anew`] writes it again. Publishing and the deletion of
//! files take turns ([`Catalog::published`]): what is published is named by the manifest at that moment, and what was
//! published stays until it has been gone from the published table for long enough.

mod log;
pub(crate) mod pick;
mod rebuild;
pub(crate) mod wanted;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Moment},
};

use tidemark_model::{Instant, Namespace, Standing, Table};
use tidemark_storage::{ObjectPath, paths};
use tokio::sync::OwnedMutexGuard;

pub(crate) use self::log::{Log, LogError};
use self::{
    log::Stamp,
    pick::{Wanted, pick},
};
use crate::{Catalog, CatalogError, point::Points};

/// Every point, `{step}.{moment}`: *picked* stands before the commit to the log, *committed* behind it; of a rebuild
/// *checkpointed* behind its checkpoint, *shortened* behind each thousand older objects that are deleted, *erased* behind the deletion of
/// a log that cannot go on.
pub const POINTS: [&str; 5] =
    ["publish.picked", "publish.committed", "publish.checkpointed", "publish.shortened", "publish.erased"];

/// How long publishing one table may take.
const PUBLISH_WITHIN: Duration = Duration::from_secs(120);
/// The most tables one tick looks at.
const TABLES_MAX: usize = 64;

/// Settings of publishing.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether tables are published as they change. Default true.
    pub enabled: bool,
    /// How long a published table stays as it is at least, seconds. Default 300.
    pub interval_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, interval_s: 300 }
    }
}

/// What becomes of the log that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It goes on.
    Further,
    /// A version that says everything is written from the newest manifest, and what is older is deleted; where the log cannot
    /// go on, it is deleted first.
    Anew,
}

/// What other engines see of a table now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Publication {
    /// `{ns}.{table}`.
    pub table: String,
    /// The root of the published table, from the root of the lake.
    pub root: String,
    /// Its version in the published log.
    pub version: u64,
    /// The manifest it was published from.
    pub manifest: u64,
    /// Its files.
    pub files: u64,
    /// Files that this version added; 0 where nothing was to be published.
    pub added: u64,
    /// Files that this version removed.
    pub removed: u64,
}

/// Whether a tick left something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum More {
    /// Tick again.
    Yes,
    /// Every table was looked at.
    No,
}

/// Publishes the tables of a catalog. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    catalog: Catalog,
    config: Config,
    points: Points,
    looked: Arc<Mutex<HashMap<(Namespace, Table), Looked>>>,
    /// Tables that were found behind their manifest, and since when.
    behind: Arc<Mutex<HashMap<(Namespace, Table), Moment>>>,
}

/// When a table was looked at, which manifest was the newest then, and what it said if that was published.
#[derive(Debug, Clone, Copy)]
struct Looked {
    at: Moment,
    manifest: u64,
    digest: Option<u64>,
}

/// A manifest, and what it says.
#[derive(Debug, Clone, Copy)]
struct Said {
    manifest: u64,
    digest: u64,
}

impl Publisher {
    /// A publisher that has looked at nothing yet.
    #[must_use]
    pub fn new(catalog: Catalog, config: Config, points: Points) -> Self {
        Self { catalog, config, points, looked: Arc::default(), behind: Arc::default() }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Publishes tables that have changed and whose interval has passed, a bounded number of them.
    ///
    /// # Errors
    /// The first error; the other tables had their turn all the same.
    pub async fn tick(&self) -> Result<More, CatalogError> {
        if !self.config.enabled {
            return Ok(More::No);
        }
        let behind: Vec<_> = self.tables(None).into_iter().filter(|table| self.is_behind(table)).collect();
        self.note_lag(&behind);
        let due: Vec<_> = behind.into_iter().filter(|table| self.is_due(table)).collect();
        let mut failed = None;
        for (namespace, table) in due.iter().filter(|named| !self.passes_over(named)).take(TABLES_MAX) {
            if let Err(error) = self.publish(namespace, table, How::Further).await {
                if matches!(error, CatalogError::Fenced { .. }) {
                    return Err(error);
                }
                failed = failed.or(Some(error));
            }
        }
        failed.map_or(Ok(if due.len() > TABLES_MAX { More::Yes } else { More::No }), Err)
    }

    /// The tables that are kept, whatever became of them: of one namespace or of all.
    #[must_use]
    pub fn tables(&self, of: Option<&Namespace>) -> Vec<(Namespace, Table)> {
        let mut namespaces = self.catalog.every_namespace();
        namespaces.retain(|namespace| of.is_none_or(|of| of == namespace));
        let tables = |namespace: Namespace| {
            let collections = self.catalog.every_collection(&namespace);
            let collections = collections.iter().map(|one| Table::Collection(one.name.clone())).collect::<Vec<_>>();
            std::iter::once(Table::Events).chain(collections).map(move |table| (namespace.clone(), table))
        };
        namespaces.into_iter().flat_map(tables).collect()
    }

    /// Whether a table is there for those who ask; what was dropped is published on, so that it can be brought back.
    #[must_use]
    pub fn is_there(&self, namespace: &Namespace, table: &Table) -> bool {
        match table {
            Table::Events => self.catalog.namespaces().contains(namespace),
            Table::Collection(name) => self.catalog.collection(namespace, name).is_some(),
        }
    }

    /// A table is behind when its manifest is another one than when it was looked at last.
    fn is_behind(&self, named: &(Namespace, Table)) -> bool {
        let newest = self.catalog.newest_version(&named.0, &named.1);
        newest > 0 && lock(&self.looked).get(named).is_none_or(|looked| looked.manifest != newest)
    }

    /// One that is behind is due when it was looked at long enough ago.
    fn is_due(&self, named: &(Namespace, Table)) -> bool {
        let interval = Duration::from_secs(self.config.interval_s);
        lock(&self.looked).get(named).is_none_or(|looked| looked.at.elapsed() >= interval)
    }

    /// Passes a table over whose newest manifest says what was published last, such as where only deltas came; whether it did. No
    /// log is read to see that.
    fn passes_over(&self, named: &(Namespace, Table)) -> bool {
        let Some((_root, wanted)) = self.catalog.wanted(&named.0, &named.1) else { return false };
        let mut looked = lock(&self.looked);
        let Some(last) = looked.get_mut(named).filter(|last| last.digest == Some(wanted.digest())) else {
            return false;
        };
        (last.at, last.manifest) = (Moment::now(), wanted.manifest);
        lock(&self.behind).remove(named);
        true
    }

    /// Measures for how long tables have been behind.
    fn note_lag(&self, tables: &[(Namespace, Table)]) {
        let (mut behind, now) = (lock(&self.behind), Moment::now());
        *behind = tables.iter().map(|named| (named.clone(), behind.get(named).copied().unwrap_or(now))).collect();
        let lag = behind.values().map(|since| now.duration_since(*since)).max();
        self.catalog.metrics().publish_lag(lag.unwrap_or_default());
    }

    /// Publishes a table as its newest manifest says; `None` where there is nothing to publish.
    ///
    /// # Errors
    /// [`CatalogError::Publish`]; the log is as it was, or has the new version all the same: publish again.
    pub async fn publish(
        &self,
        namespace: &Namespace,
        table: &Table,
        how: How,
    ) -> Result<Option<Publication>, CatalogError> {
        let manifest = self.catalog.newest_version(namespace, table);
        // One who asked may go away in the middle: then the job goes on with it.
        lock(&self.looked).remove(&(namespace.clone(), table.clone()));
        let published = match tokio::time::timeout(PUBLISH_WITHIN, self.attempt(namespace, table, how)).await {
            Ok(published) => published,
            Err(_late) => Err(failed(namespace, table, "it took too long")),
        };
        // After a failure too: the next attempt waits for its turn like every other.
        let at = Moment::now();
        let looked = match &published {
            Ok(Some((said, _))) => Looked { at, manifest: said.manifest, digest: Some(said.digest) },
            Ok(None) => Looked { at, manifest, digest: None },
            Err(_) => Looked { at, manifest: 0, digest: None },
        };
        let published = published.map(|attempt| attempt.and_then(|(_said, publication)| publication));
        lock(&self.looked).insert((namespace.clone(), table.clone()), looked);
        if published.is_ok() {
            // A commit that came since makes it fall behind anew.
            lock(&self.behind).remove(&(namespace.clone(), table.clone()));
        }
        self.catalog.metrics().published(published.as_ref().ok().map(Option::as_ref));
        published
    }

    /// Says besides which manifest it was that is published now: the newest one by then, not by the time it was begun.
    async fn attempt(
        &self,
        namespace: &Namespace,
        table: &Table,
        how: How,
    ) -> Result<Option<(Said, Option<Publication>)>, CatalogError> {
        let _turn = self.catalog.publishing_turn().await;
        let Some((root, wanted)) = self.catalog.wanted(namespace, table) else { return Ok(None) };
        let said = Said { manifest: wanted.manifest, digest: wanted.digest() };
        let away = |error: LogError| failed(namespace, table, error);
        let store = self.catalog.store();
        // Of what was erased nothing is to be told, and a log that cannot be read would hold its files for ever.
        let is_gone = wanted.files.is_empty() && self.is_erased(namespace, table);
        if how == How::Anew || is_gone {
            self.erase_unless_it_goes_on(&root).await.map_err(|error| error.of(namespace, table))?;
        }
        if let Some(up_to) = wanted.erased {
            self.erase_what_was(&root, up_to).await?;
        }
        let log = Log::open(store, &root).await.map_err(away)?;
        let told = |version, (added, removed): (usize, usize)| Publication {
            table: format!("{namespace}.{table}"),
            root: root.to_string(),
            version,
            manifest: wanted.manifest,
            files: wanted.files.len() as u64,
            added: added as u64,
            removed: removed as u64,
        };
        let plan = match (&log.published, how) {
            (Some(published), How::Anew) => Some(pick::restated(published, &wanted)),
            (published, _) => pick(published.as_ref(), &wanted),
        };
        let Some(plan) = plan else {
            self.shorten(&root, &log).await.map_err(|error| error.of(namespace, table))?;
            let published = log.published.as_ref().map(|published| told(published.version, (0, 0)));
            return Ok(Some((said, published)));
        };
        let (counts, restates) = ((plan.adds.len(), plan.removes.len()), plan.restates);
        self.points.pass("publish", "picked").await;
        self.catalog.check_owner().await?;
        let version = log.commit(plan, &wanted, &self.stamp(namespace, table)).await.map_err(away)?;
        self.points.pass("publish", "committed").await;
        tracing::debug!(%root, version, manifest = wanted.manifest, added = counts.0, removed = counts.1, "published");
        if restates || log.rebuilt.is_some() {
            let log = Log::open(store, &root).await.map_err(away)?;
            self.shorten(&root, &log).await.map_err(|error| error.of(namespace, table))?;
        }
        Ok(Some((said, Some(told(version, counts)))))
    }

    fn is_erased(&self, namespace: &Namespace, table: &Table) -> bool {
        let is_erased = |of| matches!(self.catalog.standing(namespace, of), Some(Standing::Erased { .. }));
        is_erased(None) || matches!(table, Table::Collection(name) if is_erased(Some(name)))
    }

    fn stamp(&self, namespace: &Namespace, table: &Table) -> Stamp {
        let at = self.catalog.now();
        Stamp { at, id: u128::from(self.catalog.unique(at)), name: format!("{namespace}.{table}") }
    }
}

/// What other engines may read of a table, and a turn in which nothing is published.
#[derive(Debug)]
pub struct Held {
    /// The root of the published table.
    root: ObjectPath,
    /// Files below it, and when they were removed; `None` where the log cannot be read, so that nobody knows.
    files: Option<BTreeMap<String, Option<Instant>>>,
    /// How long files stay after that, and what the time was.
    retention: Duration,
    now: Instant,
    _turn: OwnedMutexGuard<()>,
}

impl Held {
    /// How long a file, told from the root of the lake, must stay at least; `None` if it need not.
    #[must_use]
    pub fn holds(&self, path: &ObjectPath) -> Option<Duration> {
        let below = paths::below(&self.root, path.as_ref())?;
        let Some(files) = &self.files else { return Some(Duration::ZERO) };
        let removed = *files.get(below)?;
        let gone = removed.map_or(0, |at| self.now.micros().saturating_sub(at.micros()));
        Some(self.retention.saturating_sub(Duration::from_micros(gone.try_into().unwrap_or(0))))
    }
}

impl Catalog {
    /// The files of a table that its published copy names, or named until less than `retention` ago. While the answer is
    /// held nothing is published. Where the log cannot be read, everything below its root is held.
    pub async fn published(&self, (namespace, table): (&Namespace, &Table), retention: Duration) -> Option<Held> {
        let turn = self.publishing_turn().await;
        let root = self.published_root(namespace, table)?;
        let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let now = self.now();
        let since = now.plus_micros(micros.saturating_neg());
        let read = async { Log::open(self.store(), &root).await?.held(since).await };
        let files = read.await.inspect_err(|error| {
            tracing::warn!(%root, %error, "the published log cannot be read: no file below it is deleted");
        });
        Some(Held { root, files: files.ok(), retention, now, _turn: turn })
    }

    /// The greatest system time whose rows other engines see of a table; `None` where nothing is published, or the log
    /// cannot be read.
    pub async fn published_up_to(&self, namespace: &Namespace, table: &Table) -> Option<Instant> {
        let root = self.published_root(namespace, table)?;
        let read = Log::open(self.store(), &root).await;
        let log = read.inspect_err(|error| tracing::warn!(%root, %error, "the published log cannot be read"));
        Some(log.ok()?.published?.newest)
    }

    /// Where a table is published.
    fn published_root(&self, namespace: &Namespace, table: &Table) -> Option<ObjectPath> {
        match table {
            Table::Events => Some(paths::table(namespace, Table::EVENTS)),
            Table::Collection(name) => {
                let directory = self.any_collection(namespace, name)?.directory.clone();
                Some(paths::states(&paths::table(namespace, &directory)))
            }
        }
    }

    /// What the newest manifest wants published, and where.
    fn wanted(&self, namespace: &Namespace, table: &Table) -> Option<(ObjectPath, Wanted)> {
        let root = self.published_root(namespace, table)?;
        let wanted = match table {
            Table::Events => Some(wanted::of_events(&root, &self.events(namespace))),
            Table::Collection(name) => wanted::of_state(&root, &self.manifest(namespace, name)),
        };
        wanted.map(|wanted| (root, wanted))
    }
}

fn failed(namespace: &Namespace, table: &Table, reason: impl std::fmt::Display) -> CatalogError {
    CatalogError::Publish { table: format!("{namespace}.{table}"), reason: reason.to_string() }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
