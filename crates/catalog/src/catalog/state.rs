//! What the catalog knows in memory: namespaces, collections, the newest manifests, and what is not persisted yet.
//!
//! No I/O. Changes are applied idempotently and in any repetition: a collection that exists stays as it is, a schema
//! gives way only to one with a greater id, and how it became so is kept: the schema of every instant of the past is known.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_model::{
    CollectionName, DocSchema, Instant, Namespace, Retention, Standing, Stood, Table,
    declared::Declared,
    retention::Kept,
    schema::{SchemaChange, Step, Steps},
};
use tidemark_storage::{Store, paths, register::Register};

use super::{
    Collection,
    journal::{CollectionRecord, Content, Entry, NamespaceChanges, NamespaceRecord, Stepped},
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

/// Whether what is said of a name is about what it was before it began anew: an entry that holds everything is of the moment
/// at which it was begun to be written.
fn is_past(said: Standing, (standing, begun_at): (Standing, Instant)) -> bool {
    standing.is_live() && matches!(said, Standing::Erased { at } if at < begun_at)
}

impl CollectionState {
    /// What became of it. Of an erased one only the name is left, and the number of its schema.
    fn stand(&mut self, standing: Standing) {
        // One that was made by name alone may be younger than the erasure, which is of the last append.
        let is_known = |at| self.known.erased_at.is_some_and(|erased_at| erased_at >= at);
        if matches!(standing, Standing::Erased { at } if self.known.standing.is_live() && is_known(at)) {
            return;
        }
        self.become_what(standing);
    }

    /// The same, whatever it was before.
    fn become_what(&mut self, standing: Standing) {
        let mut known = Collection::clone(&self.known);
        if let Standing::Erased { at } = standing {
            let schema = known.schema.begun_anew();
            known.steps = Arc::new(Steps::from(at, &schema));
            known.erased_at = Some(at);
            known.schema = Arc::new(schema);
        }
        self.known = Arc::new(Collection { standing, ..known });
    }
}

#[derive(Debug)]
pub(crate) struct NamespaceState {
    pub(crate) events: Slot<EventsManifest>,
    pub(crate) collections: BTreeMap<CollectionName, CollectionState>,
    /// Versions of declared schemas, oldest first; also of collections that do not exist yet.
    pub(crate) declared: BTreeMap<CollectionName, Vec<Arc<Declared>>>,
    /// How long the past is kept, of the namespace and of single collections; also of ones that do not exist yet.
    pub(crate) retention: BTreeMap<Option<CollectionName>, Retention>,
    /// Whether it is there.
    pub(crate) standing: Standing,
    /// The system time of the append with which it began anew; the least where it never did.
    begun_at: Instant,
    /// Whether the register knows the namespace.
    is_persisted: bool,
    /// What the register does not hold yet, in order.
    unpersisted: Vec<News>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct State {
    store: Store,
    pub(crate) namespaces: BTreeMap<Namespace, NamespaceState>,
}

/// What an append brought.
#[derive(Debug, Clone)]
enum News {
    Created(SchemaChange),
    Stepped(Stepped),
    /// A namespace that was erased begins anew.
    Begun,
}

/// What of a namespace is to be persisted.
#[derive(Debug, Clone)]
pub(crate) struct Unpersisted {
    /// Collections that appeared.
    pub(crate) changes: Vec<SchemaChange>,
    /// What became of schemas.
    pub(crate) steps: Vec<Stepped>,
    /// What begins anew.
    pub(crate) standings: Vec<Stood>,
}

impl Unpersisted {
    fn len(&self) -> usize {
        self.changes.len() + self.steps.len() + self.standings.len()
    }
}

impl State {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, namespaces: BTreeMap::new() }
    }

    /// Takes in what a durable append brought.
    pub(crate) fn observe(&mut self, namespace: &Namespace, at: Instant, changes: &[SchemaChange]) {
        let known = self.namespace(namespace);
        if known.standing.begins_anew(at) {
            (known.standing, known.begun_at) = (Standing::Live, at);
            known.unpersisted.push(News::Begun);
        }
        for change in changes {
            let news = match change {
                SchemaChange::Created { .. } => self.create(namespace, change).then(|| News::Created(change.clone())),
                SchemaChange::Evolved { collection, schema } => {
                    let step = self.next_step(namespace, collection, schema, at);
                    step.filter(|stepped| self.step(namespace, stepped)).map(News::Stepped)
                }
            };
            self.namespace(namespace).unpersisted.extend(news);
        }
    }

    /// Takes in an entry of the register.
    pub(crate) fn absorb(&mut self, entry: &Entry) {
        match &entry.content {
            Content::Changes(namespaces) => {
                for NamespaceChanges { namespace, changes, steps, declared, retention, standings } in namespaces {
                    self.namespace(namespace).is_persisted = true;
                    for change in changes {
                        match change {
                            SchemaChange::Created { .. } => {
                                self.create(namespace, change);
                            }
                            SchemaChange::Evolved { collection, schema } => {
                                self.begin_steps(namespace, collection, (schema, entry.committed_at));
                            }
                        }
                    }
                    steps.iter().for_each(|stepped| _ = self.step(namespace, stepped));
                    declared.iter().for_each(|declared| self.declare(namespace, declared));
                    retention.iter().for_each(|kept| self.keep(namespace, kept));
                    standings.iter().for_each(|stood| self.stand(namespace, stood));
                }
            }
            Content::Checkpoint(namespaces) => {
                for NamespaceRecord { namespace, collections, declared, retention, standing } in namespaces {
                    let known = self.namespace(namespace);
                    known.is_persisted = true;
                    if !is_past(*standing, (known.standing, known.begun_at)) {
                        known.standing = *standing;
                    }
                    collections.iter().for_each(|record| self.apply_record(namespace, record, entry.committed_at));
                    declared.iter().for_each(|declared| self.declare(namespace, declared));
                    // What was taken back is not in it.
                    self.namespace(namespace).retention.clear();
                    retention.iter().for_each(|kept| self.keep(namespace, kept));
                }
            }
        }
    }

    /// Takes in how long the past of a collection or a namespace is kept.
    fn keep(&mut self, namespace: &Namespace, Kept { collection, retention }: &Kept) {
        let known = &mut self.namespace(namespace).retention;
        if retention.is_nothing() {
            known.remove(collection);
        } else {
            known.insert(collection.clone(), *retention);
        }
    }

    /// Takes in what became of a namespace or a collection.
    fn stand(&mut self, namespace: &Namespace, Stood { collection, standing }: &Stood) {
        let known = self.namespace(namespace);
        match collection {
            Some(name) => {
                known.collections.get_mut(name).into_iter().for_each(|collection| collection.stand(*standing));
                if let Standing::Erased { .. } = standing {
                    known.declared.remove(name);
                    known.retention.remove(collection);
                }
            }
            None => {
                if is_past(*standing, (known.standing, known.begun_at)) {
                    return;
                }
                known.standing = *standing;
                if let Standing::Erased { .. } = standing {
                    known.collections.values_mut().for_each(|collection| collection.become_what(*standing));
                    known.declared.clear();
                    known.retention.clear();
                }
            }
        }
    }

    /// Takes a declared schema in, unless its version is known.
    fn declare(&mut self, namespace: &Namespace, declared: &Declared) {
        let known = self.namespace(namespace);
        known.is_persisted = true;
        let versions = known.declared.entry(declared.collection.clone()).or_default();
        if versions.last().is_none_or(|last| last.version < declared.version) {
            versions.push(Arc::new(declared.clone()));
        }
    }

    fn apply_record(&mut self, namespace: &Namespace, record: &CollectionRecord, committed_at: Instant) {
        let CollectionRecord { name: collection, directory, shard, created_at, schema, steps, standing, erased_at } =
            record.clone();
        self.create(namespace, &SchemaChange::Created { collection: collection.clone(), directory, shard, created_at });
        if steps.is_empty() {
            self.begin_steps(namespace, &collection, (&schema, committed_at));
        } else {
            self.with_known(namespace, &collection, |known| {
                (schema.id > known.schema.id).then(|| Collection {
                    schema: Arc::new(schema),
                    steps: Arc::new(steps),
                    ..known.clone()
                })
            });
        }
        self.stand(namespace, &Stood { collection: Some(collection.clone()), standing });
        self.with_known(namespace, &collection, |known| {
            (known.erased_at < erased_at).then(|| Collection { erased_at, ..known.clone() })
        });
    }

    /// A collection appears, or begins anew; whether it is news.
    fn create(&mut self, namespace: &Namespace, change: &SchemaChange) -> bool {
        let SchemaChange::Created { collection: name, directory, shard, created_at } = change else { return false };
        let store = self.store.clone();
        let collections = &mut self.namespace(namespace).collections;
        if let Some(there) = collections.get_mut(name) {
            let begins_anew = there.known.standing.begins_anew(*created_at);
            if begins_anew {
                let known = Collection::clone(&there.known);
                there.known = Arc::new(Collection { created_at: *created_at, standing: Standing::Live, ..known });
            }
            return begins_anew;
        }
        let register = Register::new(store, paths::manifests(namespace, directory));
        let known = Collection {
            name: name.clone(),
            directory: directory.clone(),
            shard: *shard,
            created_at: *created_at,
            schema: Arc::default(),
            steps: Arc::default(),
            standing: Standing::Live,
            erased_at: None,
        };
        let slot = Slot { register, manifest: Arc::new(CollectionManifest::before_first()) };
        collections.insert(name.clone(), CollectionState { known: Arc::new(known), slot });
        true
    }

    /// What turns the schema of a collection into a newer one; `None` where it is not newer.
    fn next_step(
        &mut self,
        namespace: &Namespace,
        collection: &CollectionName,
        schema: &DocSchema,
        at: Instant,
    ) -> Option<Stepped> {
        let known = &self.namespace(namespace).collections.get(collection)?.known;
        let step = (schema.id > known.schema.id).then(|| known.schema.step_to(schema, at))?;
        Some(Stepped { collection: collection.clone(), step })
    }

    /// The schema of a collection makes a step; whether it is news.
    fn step(&mut self, namespace: &Namespace, Stepped { collection, step }: &Stepped) -> bool {
        self.with_known(namespace, collection, |known| {
            let Step { id, .. } = step;
            (*id > known.schema.id).then(|| {
                let schema = known.schema.as_ref().clone().stepped(step);
                let mut steps = known.steps.as_ref().clone();
                steps.push(step.clone());
                Collection { schema: Arc::new(schema), steps: Arc::new(steps), ..known.clone() }
            })
        })
    }

    /// A schema from before steps were written down.
    fn begin_steps(
        &mut self,
        namespace: &Namespace,
        collection: &CollectionName,
        (schema, committed_at): (&DocSchema, Instant),
    ) {
        self.with_known(namespace, collection, |known| {
            (schema.id > known.schema.id).then(|| Collection {
                schema: Arc::new(schema.clone()),
                steps: Arc::new(Steps::from(committed_at, schema)),
                ..known.clone()
            })
        });
    }

    /// What is known of a collection becomes something else, if it does; whether it did.
    fn with_known(
        &mut self,
        namespace: &Namespace,
        collection: &CollectionName,
        becomes: impl FnOnce(&Collection) -> Option<Collection>,
    ) -> bool {
        let Some(state) = self.namespace(namespace).collections.get_mut(collection) else { return false };
        let next = becomes(&state.known);
        let is_news = next.is_some();
        if let Some(next) = next {
            state.known = Arc::new(next);
        }
        is_news
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
            retention: BTreeMap::new(),
            standing: Standing::Live,
            begun_at: Instant::MIN,
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
            steps: known.steps.as_ref().clone(),
            standing: known.standing,
            erased_at: known.erased_at,
        };
        let kept = |(collection, retention): (&Option<CollectionName>, &Retention)| Kept {
            collection: collection.clone(),
            retention: *retention,
        };
        let records = |(namespace, state): (&Namespace, &NamespaceState)| NamespaceRecord {
            namespace: namespace.clone(),
            collections: state.collections.values().map(|collection| record(&collection.known)).collect(),
            declared: state.declared.values().flatten().map(|declared| Declared::clone(declared)).collect(),
            retention: state.retention.iter().map(kept).collect(),
            standing: state.standing,
        };
        self.namespaces.iter().map(records).collect()
    }

    /// What the register does not hold of a namespace yet.
    pub(crate) fn unpersisted(&self, namespace: &Namespace) -> Option<Unpersisted> {
        let state = self.namespaces.get(namespace)?;
        if state.is_persisted && state.unpersisted.is_empty() {
            return None;
        }
        let (mut changes, mut steps, mut standings) = (Vec::new(), Vec::new(), Vec::new());
        for news in &state.unpersisted {
            match news {
                News::Created(change) => changes.push(change.clone()),
                News::Stepped(stepped) => steps.push(stepped.clone()),
                News::Begun => standings.push(Stood { collection: None, standing: Standing::Live }),
            }
        }
        Some(Unpersisted { changes, steps, standings })
    }

    /// The register holds it now.
    pub(crate) fn persisted(&mut self, namespace: &Namespace, what: &Unpersisted) {
        let state = self.namespace(namespace);
        state.is_persisted = true;
        state.unpersisted.drain(..what.len().min(state.unpersisted.len()));
    }
}
