//! The handle of the catalog: who exists, the newest manifests, commits.
//!
//! 1. [`Catalog::open`] reads the lake, takes the next epoch, reads the register, then every table's newest manifest.
//! 2. Durable appends bring news ([`Catalog::observe`], memory only); [`Catalog::persist`] writes them down before the
//!    events that need them are committed.
//! 3. Rooms commit manifests ([`Catalog::commit_events`], [`Catalog::commit_collection`]).
//!
//! Reads answer from memory: this process is the owner, so what it knows is the newest there is.

pub(crate) mod error;
pub(crate) mod journal;
pub(crate) mod lake;
mod open;
pub(crate) mod owner;
mod past;
pub(crate) mod state;
pub(crate) mod tables;
mod tell;
mod versions;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tidemark_model::{
    Clock, CollectionName, DocSchema, Ids, Instant, Mark, Namespace, Seq, Shard, Table,
    schema::{SchemaChange, Steps},
    standing::Standing,
};
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};

pub(crate) use self::error::check_format;
pub use self::{
    error::CatalogError,
    owner::{Held, OwnLogs, Tenure},
    versions::Version,
};
use self::{
    journal::{Content, Entry, NamespaceChanges},
    lake::Lake,
    owner::Owner,
    state::{Slot, State, Unpersisted},
    tables::{Attempt, Copies},
};
use crate::{
    manifest::{
        CollectionManifest, EventsManifest, Head,
        stored::{self, Manifest},
    },
    metrics::{Metrics, Outcome},
};

/// How often persisting starts anew because the number was taken.
const PERSIST_ATTEMPTS: usize = 64;

/// What a catalog is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The lake's bytes.
    pub store: Store,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Unique ids.
    pub ids: Arc<Ids>,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
}

/// Settings of a catalog.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Shards of a lake that is created now; fixed for ever. Default 16.
    pub shards: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { shards: tidemark_model::position::SHARDS_DEFAULT }
    }
}

/// A collection as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its name.
    pub name: CollectionName,
    /// Its directory under the namespace.
    pub directory: String,
    /// The shard all its changes go to.
    pub shard: Shard,
    /// The system time of its first change.
    pub created_at: Instant,
    /// The schema of its newest durable row, tail included.
    pub schema: Arc<DocSchema>,
    /// The schemas it has had.
    pub steps: Arc<Steps>,
    /// Whether it is there; its namespace may be away.
    pub standing: Standing,
    /// The system time up to which everything was erased under this name, if ever.
    pub erased_at: Option<Instant>,
}

/// How a commit ended. `Lost` hands the work back: appends re-apply on the newer manifest, replacements plan again.
#[derive(Debug)]
#[must_use]
pub enum Commit<M> {
    /// It is the newest manifest now.
    Committed(Arc<M>),
    /// Another commit took the number.
    Lost {
        /// The newest manifest.
        latest: Arc<M>,
    },
}

/// The catalog of one lake. Cheap to clone; reads are in memory.
#[derive(Debug, Clone)]
pub struct Catalog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    lake: Lake,
    owner: Owner,
    state: RwLock<State>,
    /// The catalog register and the version of its newest entry; held while an entry is written ([`Catalog::journal`]).
    journal: tokio::sync::Mutex<Journal>,
    copies: Copies,
    metrics: Metrics,
    /// Held by whoever publishes, or deletes what may be published.
    publishing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Journal {
    register: Register,
    newest: u64,
    /// Whether something was told behind `newest` of which nobody knows if it is there.
    is_unsettled: bool,
}

impl Catalog {
    /// Opens or creates a lake: `format.json`, the next epoch in the owner register, the catalog register, and the
    /// newest manifest of every table.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn open(config: Config, deps: Deps) -> Result<Self, CatalogError> {
        Self::open_as(config, deps, &Tenure::default()).await
    }

    /// The same for a process that says how it means to hold the lake.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`] when it was not its turn, [`CatalogError::LogInStore`], or any other.
    pub async fn open_as(config: Config, deps: Deps, tenure: &Tenure) -> Result<Self, CatalogError> {
        open::open(config, deps, tenure).await.map(|inner| Self(Arc::new(inner)))
    }

    /// The lake's bytes, metered.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The id of the lake.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.0.lake.cluster
    }

    /// The epoch this process owns the lake in.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.owner.epoch
    }

    /// Shards of the lake.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.0.lake.shards
    }

    /// Every namespace that is there, in order.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Namespace> {
        let state = self.state();
        let live = state.namespaces.iter().filter(|(_, known)| known.standing.is_live());
        live.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// The collections of a namespace that are there, in order of names; empty for one that is not.
    #[must_use]
    pub fn collections(&self, namespace: &Namespace) -> Vec<Arc<Collection>> {
        let state = self.state();
        let live = state.namespaces.get(namespace).filter(|known| known.standing.is_live());
        let collections = live.into_iter().flat_map(|known| known.collections.values());
        let live = collections.filter(|collection| collection.known.standing.is_live());
        live.map(|collection| Arc::clone(&collection.known)).collect()
    }

    /// One collection that is there.
    #[must_use]
    pub fn collection(&self, namespace: &Namespace, name: &CollectionName) -> Option<Arc<Collection>> {
        let state = self.state();
        let live = state.namespaces.get(namespace).filter(|known| known.standing.is_live())?;
        let collection = live.collections.get(name).filter(|collection| collection.known.standing.is_live());
        collection.map(|collection| Arc::clone(&collection.known))
    }

    /// Every namespace, whatever became of it: what is kept has to be looked after.
    #[must_use]
    pub fn every_namespace(&self) -> Vec<Namespace> {
        self.state().namespaces.keys().cloned().collect()
    }

    /// The collections of a namespace, whatever became of them.
    #[must_use]
    pub fn every_collection(&self, namespace: &Namespace) -> Vec<Arc<Collection>> {
        let state = self.state();
        let collections = state.namespaces.get(namespace).into_iter().flat_map(|known| known.collections.values());
        collections.map(|collection| Arc::clone(&collection.known)).collect()
    }

    /// One collection, whatever became of it.
    #[must_use]
    pub fn any_collection(&self, namespace: &Namespace, name: &CollectionName) -> Option<Arc<Collection>> {
        let state = self.state();
        state.namespaces.get(namespace)?.collections.get(name).map(|collection| Arc::clone(&collection.known))
    }

    /// Takes in what a durable append of this system time brought (in memory; the log holds it until [`Self::persist`]). A
    /// namespace appears with its first append. Idempotent, so that replay may repeat it.
    pub fn observe(&self, namespace: &Namespace, at: Instant, changes: &[SchemaChange]) {
        let is_there = || {
            let state = self.state();
            state.namespaces.get(namespace).is_some_and(|known| !known.standing.begins_anew(at))
        };
        if !changes.is_empty() || !is_there() {
            self.state_mut().observe(namespace, at, changes);
        }
    }

    /// Writes what was observed of a namespace into the catalog register, if anything is new. Called before the commit
    /// of the events that brought it.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn persist(&self, namespace: &Namespace) -> Result<(), CatalogError> {
        let mut journal = self.journal().await?;
        for _attempt in 0..PERSIST_ATTEMPTS {
            let Some(news) = self.state().unpersisted(namespace) else { return Ok(()) };
            self.0.owner.check().await?;
            let entry = self.entry(journal.newest + 1, namespace, &news);
            match journal.register.create(entry.version, entry.encode()?).await? {
                Created::Won => {
                    journal.newest = entry.version;
                    self.state_mut().persisted(namespace, &news);
                    self.0.metrics.persisted();
                    return Ok(());
                }
                // Perhaps our own from an attempt whose outcome stayed unknown.
                Created::Lost | Created::Fenced => {
                    let there = journal::read(&journal.register, entry.version).await?;
                    self.0.owner.admits(there.epoch)?;
                    self.state_mut().absorb(&there);
                    journal.newest = entry.version;
                }
            }
        }
        Err(tell::without_pause())
    }

    fn entry(&self, version: u64, namespace: &Namespace, news: &Unpersisted) -> Entry {
        let content = if Entry::is_checkpoint(version) {
            Content::Checkpoint(self.state().checkpoint())
        } else {
            let Unpersisted { changes, steps, standings } = news.clone();
            Content::Changes(vec![NamespaceChanges {
                changes,
                steps,
                standings,
                ..NamespaceChanges::of(namespace.clone())
            }])
        };
        let at = self.0.clock.now();
        Entry::new(version, self.epoch(), self.0.ids.ulid(at).to_string(), at, content)
    }

    /// The newest events manifest; version 0 (never stored) before the first commit.
    #[must_use]
    pub fn events(&self, namespace: &Namespace) -> Arc<EventsManifest> {
        let state = self.state();
        let known = state.namespaces.get(namespace).map(|known| Arc::clone(&known.events.manifest));
        known.unwrap_or_else(|| Arc::new(EventsManifest::before_first()))
    }

    /// The newest events manifest that was committed in this epoch or one before it; the one before the first where there is
    /// none, or where the chain does not reach so far back. Epochs only grow along the chain, so few of it are read.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn events_committed_up_to(
        &self,
        namespace: &Namespace,
        epoch: u64,
    ) -> Result<Arc<EventsManifest>, CatalogError> {
        let newest = self.events(namespace);
        let Some(register) = self.register(namespace, &Table::Events) else { return Ok(newest) };
        if newest.head.version == 0 || newest.head.epoch <= epoch {
            return Ok(newest);
        }
        let mut found = EventsManifest::before_first();
        // The chain ends at the floor: below it may stand what a fenced owner left, such as an earlier one of this log. What
        // stands at `after` and behind it is of a later epoch, what stands before `from` is not, or is gone.
        let (mut from, mut after) = (register.floor().await?.max(1), newest.head.version);
        while from < after {
            let version = from + (after - from) / 2;
            let Some(bytes) = register.read(version).await? else {
                from = version + 1;
                continue;
            };
            let manifest: EventsManifest = stored::decode(register.path(version).as_ref(), &bytes)?;
            if manifest.head.epoch <= epoch {
                (from, found) = (version + 1, manifest);
            } else {
                after = version;
            }
        }
        Ok(Arc::new(found))
    }

    /// The newest manifest of a collection; version 0 (never stored) before the first commit.
    #[must_use]
    pub fn manifest(&self, namespace: &Namespace, collection: &CollectionName) -> Arc<CollectionManifest> {
        let state = self.state();
        let known = state.namespaces.get(namespace).and_then(|known| known.collections.get(collection));
        let known = known.map(|collection| Arc::clone(&collection.slot.manifest));
        known.unwrap_or_else(|| Arc::new(CollectionManifest::before_first()))
    }

    /// Commits the successor of `on`: version, epoch, put id and time of `next` are set here.
    ///
    /// # Errors
    /// [`CatalogError`]; [`CatalogError::Fenced`] ends the process.
    pub async fn commit_events(
        &self,
        namespace: &Namespace,
        on: &EventsManifest,
        next: EventsManifest,
    ) -> Result<Commit<EventsManifest>, CatalogError> {
        let register = self.register(namespace, &Table::Events);
        let register = register.ok_or_else(|| unknown(namespace, &Table::Events))?;
        let commit = self.commit(&register, &on.head, next).await?;
        if let Some(known) = self.state_mut().namespaces.get_mut(namespace) {
            known.events.advance(commit.newest());
        }
        Ok(commit)
    }

    /// Commits the successor of `on`; as [`Self::commit_events`].
    ///
    /// # Errors
    /// [`CatalogError`]; [`CatalogError::Fenced`] ends the process.
    pub async fn commit_collection(
        &self,
        table: (&Namespace, &CollectionName),
        on: &CollectionManifest,
        next: CollectionManifest,
    ) -> Result<Commit<CollectionManifest>, CatalogError> {
        let (namespace, name) = table;
        let found = self.with_collection(table, |slot, known| (slot.register.clone(), known.directory.clone()));
        let (register, directory) = found.ok_or_else(|| unknown(namespace, &Table::Collection(name.clone())))?;
        let commit = self.commit(&register, &on.head, next).await?;
        self.with_collection(table, |slot, _known| slot.advance(commit.newest()));
        if let Commit::Committed(manifest) = &commit {
            let copy = paths::manifest_copy(namespace, &directory);
            self.0.copies.offer(&self.0.store, &copy, manifest.as_ref()).await;
        }
        Ok(commit)
    }

    /// The register of a table's manifests; `None` of one that does not exist.
    pub(crate) fn register(&self, namespace: &Namespace, table: &Table) -> Option<Register> {
        match table {
            Table::Events => self.state().namespaces.get(namespace).map(|known| known.events.register.clone()),
            Table::Collection(name) => self.with_collection((namespace, name), |slot, _known| slot.register.clone()),
        }
    }

    async fn commit<M: Manifest>(&self, register: &Register, on: &Head, next: M) -> Result<Commit<M>, CatalogError> {
        let at = self.0.clock.now();
        let attempt = Attempt { owner: &self.0.owner, put_id: self.0.ids.ulid(at).to_string(), at };
        let commit = attempt.commit(register, on, next).await;
        let outcome = match &commit {
            Ok(Commit::Committed(_)) => Outcome::Committed,
            Ok(Commit::Lost { .. }) => Outcome::Lost,
            Err(_) => Outcome::Failed,
        };
        self.0.metrics.committed(M::TABLE, outcome);
        commit
    }

    fn with_collection<T>(
        &self,
        (namespace, name): (&Namespace, &CollectionName),
        what: impl FnOnce(&mut Slot<CollectionManifest>, &Collection) -> T,
    ) -> Option<T> {
        let mut state = self.state_mut();
        let collection = state.namespaces.get_mut(namespace)?.collections.get_mut(name)?;
        Some(what(&mut collection.slot, &collection.known))
    }

    /// The first free sequence of every (namespace, shard) and the greatest system time that committed manifests cover:
    /// what a log starts behind.
    #[must_use]
    pub fn frontier(&self) -> (BTreeMap<(Namespace, Shard), Seq>, Instant) {
        let state = self.state();
        let mut next = BTreeMap::new();
        let mut above = Instant::MIN;
        for (namespace, known) in &state.namespaces {
            let events = &known.events.manifest;
            above = above.max(events.system_time);
            next.extend(events.mark.iter().map(|(shard, last)| ((namespace.clone(), shard), last + 1)));
        }
        (next, above)
    }

    /// The mark of the events table of a namespace.
    #[must_use]
    pub fn events_mark(&self, namespace: &Namespace) -> Mark {
        self.events(namespace).mark.clone()
    }

    /// A turn in which nothing is published. Whoever holds a turn to commit or to delete files takes it behind that, never the other
    /// way round.
    pub async fn publishing_turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.0.publishing).lock_owned().await
    }

    /// An error when another process owns the lake.
    pub(crate) async fn check_owner(&self) -> Result<(), CatalogError> {
        self.0.owner.check().await
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.clock.now()
    }

    pub(crate) fn unique(&self, at: Instant) -> ulid::Ulid {
        self.0.ids.ulid(at)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Commit<M> {
    /// The newest manifest, whoever committed it.
    #[must_use]
    pub const fn newest(&self) -> &Arc<M> {
        match self {
            Self::Committed(manifest) | Self::Lost { latest: manifest } => manifest,
        }
    }
}

fn unknown(namespace: &Namespace, table: &Table) -> CatalogError {
    CatalogError::unreadable(&format!("{namespace}.{table}"), "the catalog does not know it: observe it first")
}

#[cfg(test)]
mod tests;
