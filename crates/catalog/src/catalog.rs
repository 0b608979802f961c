//! The handle of the catalog: who exists, the newest manifests, commits.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_model::{Clock, CollectionName, DocSchema, Ids, Instant, Mark, Namespace, Shard, schema::SchemaChange};
use tidemark_storage::{Store, StoreError};

use crate::manifest::{CollectionManifest, EventsManifest};

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

/// What the catalog could not do.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry that cannot be read.
    #[error("{path} is not readable: {reason}")]
    Unreadable {
        /// The object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The lake was written by a newer release.
    #[error("the lake has format {found}, this release reads up to {known}: use a newer release")]
    NewerFormat {
        /// In the lake.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// A newer owner has taken over: this process must end.
    #[error("epoch {ours} was fenced by epoch {theirs}: another process owns this lake now")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The newer one.
        theirs: u64,
    },
}

/// The catalog of one lake. Cheap to clone; reads are in memory.
#[derive(Debug, Clone)]
pub struct Catalog {}

impl Catalog {
    /// Opens or creates a lake: `format.json`, the next epoch in the owner register, the catalog register, and the
    /// newest manifest of every table.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn open(config: Config, deps: Deps) -> Result<Self, CatalogError> {
        let _ = (config, deps);
        todo!()
    }

    /// The lake's bytes.
    #[must_use]
    pub fn store(&self) -> &Store {
        todo!()
    }

    /// The id of the lake.
    #[must_use]
    pub fn cluster(&self) -> &str {
        todo!()
    }

    /// The epoch this process owns the lake in.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        todo!()
    }

    /// Shards of the lake.
    #[must_use]
    pub fn shards(&self) -> u16 {
        todo!()
    }

    /// Every namespace, in order.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Namespace> {
        todo!()
    }

    /// The collections of a namespace, in order of names; empty for one that does not exist.
    #[must_use]
    pub fn collections(&self, namespace: &Namespace) -> Vec<Arc<Collection>> {
        let _ = namespace;
        todo!()
    }

    /// One collection.
    #[must_use]
    pub fn collection(&self, namespace: &Namespace, name: &CollectionName) -> Option<Arc<Collection>> {
        let _ = (namespace, name);
        todo!()
    }

    /// Takes in what durable appends brought (in memory; the log holds it until [`Self::persist`]). A namespace appears
    /// with its first append. Idempotent, so that replay may repeat it.
    pub fn observe(&self, namespace: &Namespace, changes: &[SchemaChange]) {
        let _ = (namespace, changes);
        todo!()
    }

    /// Writes what was observed of a namespace into the catalog register, if anything is new. Called before the commit
    /// of the events that brought it.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn persist(&self, namespace: &Namespace) -> Result<(), CatalogError> {
        let _ = namespace;
        todo!()
    }

    /// The newest events manifest; version 0 (never stored) before the first commit.
    #[must_use]
    pub fn events(&self, namespace: &Namespace) -> Arc<EventsManifest> {
        let _ = namespace;
        todo!()
    }

    /// The newest manifest of a collection; version 0 (never stored) before the first commit.
    #[must_use]
    pub fn manifest(&self, namespace: &Namespace, collection: &CollectionName) -> Arc<CollectionManifest> {
        let _ = (namespace, collection);
        todo!()
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
        let _ = (namespace, on, next);
        todo!()
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
        let _ = (table, on, next);
        todo!()
    }

    /// The first free sequence of every (namespace, shard) and the greatest system time that committed manifests cover:
    /// what a log starts behind.
    #[must_use]
    pub fn frontier(&self) -> (BTreeMap<(Namespace, Shard), tidemark_model::Seq>, Instant) {
        todo!()
    }

    /// The mark of the events table of a namespace.
    #[must_use]
    pub fn events_mark(&self, namespace: &Namespace) -> Mark {
        self.events(namespace).mark.clone()
    }
}
