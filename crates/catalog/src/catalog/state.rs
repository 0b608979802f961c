//! What the catalog knows in memory: namespaces, collections, the newest manifests, and what is not persisted yet.
//!
//! No I/O. Changes are applied idempotently and in any repetition: a collection that exists stays as it is, a schema
//! gives way only to one with a greater id.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_model::{CollectionName, DocSchema, Namespace, Table, declared::Declared, schema::SchemaChange};
use tidemark_storage::{Store, paths, register::Register};

use super::{
    Collection,
    journal::{CollectionRecord, Content, NamespaceChanges, NamespaceRecord},
};
use crate::manifest::{CollectionManifest, EventsManifest, stored::Manifest};

/// A table's register and the newest manifest known of it.
#[derive(Debug, Clone)]
pub(crate) struct Slot<M> {
    pub(crate) register: Register,
    pub(crate) manifest: Arc<M>,
}

impl<M: Manifest> Slot<M> {
    /// Takes a manifest in unless a newer one is known.
    pub(crate) fn advance(&mut self, manifest: &Arc<M>) {
        if manifest.head().version > self.manifest.head().version {
            self.manifest = Arc::clone(manifest);
        }
    }
}

#[derive(Debug)]
pub(crate) struct CollectionState {
    pub(crate) known: Arc<Collection>,
    pub(crate) slot: Slot<CollectionManifest>,
}

#[derive(Debug)]
pub(crate) struct NamespaceState {
    pub(crate) events: Slot<EventsManifest>,
    pub(crate) collections: BTreeMap<CollectionName, CollectionState>,
    /// Versions of declared schemas, oldest first; also of collections that do not exist yet.
    pub(crate) declared: BTreeMap<CollectionName, Vec<Arc<Declared>>>,
    /// Whether the register knows the namespace.
    is_persisted: bool,
    /// Changes that the register does not hold yet, in order.
    unpersisted: Vec<SchemaChange>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct State {
    store: Store,
    pub(crate) namespaces: BTreeMap<Namespace, NamespaceState>,
}

/// What of a namespace is to be persisted: the changes, and how many observed ones they stand for.
#[derive(Debug)]
pub(crate) struct Unpersisted {
    pub(crate) changes: Vec<SchemaChange>,
    observed: usize,
}

impl State {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, namespaces: BTreeMap::new() }
    }

    /// Takes in what a durable append brought.
    pub(crate) fn observe(&mut self, namespace: &Namespace, changes: &[SchemaChange]) {
        for change in changes {
            if self.apply(namespace, change) {
                self.namespace(namespace).unpersisted.push(change.clone());
            }
        }
        self.namespace(namespace);
    }

    /// Takes in an entry of the register.
    pub(crate) fn absorb(&mut self, content: &Content) {
        match content {
            Content::Changes(namespaces) => {
                for NamespaceChanges { namespace, changes, declared } in namespaces {
                    self.namespace(namespace).is_persisted = true;
                    for change in changes {
                        self.apply(namespace, change);
                    }
                    declared.iter().for_each(|declared| self.declare(namespace, declared));
                }
            }
            Content::Checkpoint(namespaces) => {
                for NamespaceRecord { namespace, collections, declared } in namespaces {
                    self.namespace(namespace).is_persisted = true;
                    collections.iter().for_each(|record| self.apply_record(namespace, record));
                    declared.iter().for_each(|declared| self.declare(namespace, declared));
                }
            }
        }
    }

    /// Takes a declared schema in, unless its version is known.
    pub(crate) fn declare(&mut self, namespace: &Namespace, declared: &Declared) {
        let known = self.namespace(namespace);
        known.is_persisted = true;
        let versions = known.declared.entry(declared.collection.clone()).or_default();
        if versions.last().is_none_or(|last| last.version < declared.version) {
            versions.push(Arc::new(declared.clone()));
        }
    }

    fn apply_record(&mut self, namespace: &Namespace, record: &CollectionRecord) {
        let CollectionRecord { name: collection, directory, shard, created_at, schema } = record.clone();
        let created = SchemaChange::Created { collection: collection.clone(), directory, shard, created_at };
        self.apply(namespace, &created);
        self.apply(namespace, &SchemaChange::Evolved { collection, schema });
    }

    /// Applies one change; whether it was news.
    fn apply(&mut self, namespace: &Namespace, change: &SchemaChange) -> bool {
        let store = self.store.clone();
        let collections = &mut self.namespace(namespace).collections;
        match change {
            SchemaChange::Created { collection, .. } if collections.contains_key(collection) => false,
            SchemaChange::Created { collection: name, directory, shard, created_at } => {
                let register = Register::new(store, paths::manifests(namespace, directory));
                let known = Collection {
                    name: name.clone(),
                    directory: directory.clone(),
                    shard: *shard,
                    created_at: *created_at,
                    schema: Arc::new(DocSchema::default()),
                };
                let slot = Slot { register, manifest: Arc::new(CollectionManifest::before_first()) };
                collections.insert(name.clone(), CollectionState { known: Arc::new(known), slot });
                true
            }
            SchemaChange::Evolved { collection, schema } => match collections.get_mut(collection) {
                Some(state) if schema.id > state.known.schema.id => {
                    state.known = Arc::new(Collection { schema: Arc::new(schema.clone()), ..(*state.known).clone() });
                    true
                }
                _ => false,
            },
        }
    }

    /// The namespace, which appears when it is first named.
    fn namespace(&mut self, namespace: &Namespace) -> &mut NamespaceState {
        let store = &self.store;
        self.namespaces.entry(namespace.clone()).or_insert_with(|| NamespaceState {
            events: Slot {
                register: Register::new(store.clone(), paths::manifests(namespace, Table::EVENTS)),
                manifest: Arc::new(EventsManifest::before_first()),
            },
            collections: BTreeMap::new(),
            declared: BTreeMap::new(),
            is_persisted: false,
            unpersisted: Vec::new(),
        })
    }

    /// Everything, as a checkpoint holds it. What is not persisted yet may be in it: it is durable in the log.
    pub(crate) fn checkpoint(&self) -> Vec<NamespaceRecord> {
        let record = |known: &Collection| CollectionRecord {
            name: known.name.clone(),
            directory: known.directory.clone(),
            shard: known.shard,
            created_at: known.created_at,
            schema: known.schema.as_ref().clone(),
        };
        let records = |(namespace, state): (&Namespace, &NamespaceState)| NamespaceRecord {
            namespace: namespace.clone(),
            collections: state.collections.values().map(|collection| record(&collection.known)).collect(),
            declared: state.declared.values().flatten().map(|declared| Declared::clone(declared)).collect(),
        };
        self.namespaces.iter().map(records).collect()
    }

    /// What the register does not hold of a namespace yet; of many schemas of one collection only the newest.
    pub(crate) fn unpersisted(&self, namespace: &Namespace) -> Option<Unpersisted> {
        let state = self.namespaces.get(namespace)?;
        if state.is_persisted && state.unpersisted.is_empty() {
            return None;
        }
        let is_last = |at: usize, change: &SchemaChange| match change {
            SchemaChange::Created { .. } => true,
            SchemaChange::Evolved { collection: name, .. } => !state.unpersisted[at + 1..]
                .iter()
                .any(|later| matches!(later, SchemaChange::Evolved { collection, .. } if collection == name)),
        };
        let numbered = state.unpersisted.iter().enumerate();
        let changes =
            numbered.filter(|(at, change)| is_last(*at, change)).map(|(_at, change)| change.clone()).collect();
        Some(Unpersisted { changes, observed: state.unpersisted.len() })
    }

    /// The register holds it now.
    pub(crate) fn persisted(&mut self, namespace: &Namespace, what: &Unpersisted) {
        let state = self.namespace(namespace);
        state.is_persisted = true;
        state.unpersisted.drain(..what.observed.min(state.unpersisted.len()));
    }
}
