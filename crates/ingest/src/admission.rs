//! Schemas as the owner admits them: ahead of what is durable, in the order of the log.
//!
//! [`Admission::admit`] runs under the log's lock, so the order of schema changes is the order of appends. An append
//! that fails has changed nothing durable: every later append carries the changes again until one of them is durable.

use std::{collections::HashMap, sync::Mutex};

use tidemark_catalog::Catalog;
use tidemark_model::{CollectionName, DocSchema, Instant, Namespace, Shard, schema::SchemaChange};

use crate::{dedup::lock, envelope, observe::Touched};

/// Every collection as the owner admits it.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    namespaces: Mutex<HashMap<Namespace, HashMap<CollectionName, Admitted>>>,
}

#[derive(Debug)]
struct Admitted {
    shard: Shard,
    schema: DocSchema,
    /// The schema id that a durable append or the catalog holds; none before the collection itself is durable.
    durable: Option<u32>,
}

impl Admission {
    /// Takes over what the catalog knows.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let admission = Self::default();
        for namespace in catalog.namespaces() {
            let known = catalog.collections(&namespace).into_iter().map(|collection| {
                let schema = DocSchema::clone(&collection.schema);
                let durable = Some(schema.id);
                (collection.name.clone(), Admitted { shard: collection.shard, schema, durable })
            });
            lock(&admission.namespaces).insert(namespace, known.collect());
        }
        admission
    }

    /// The shard of a collection: where it is, or where it will be.
    pub(crate) fn shard_of(&self, namespace: &Namespace, name: &CollectionName, shards: u16) -> Shard {
        let namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace).and_then(|collections| collections.get(name));
        known.map_or_else(|| envelope::shard_of(name.as_str(), shards), |admitted| admitted.shard)
    }

    /// How many collections the namespace would have with these.
    pub(crate) fn count_with(&self, namespace: &Namespace, names: &[CollectionName]) -> usize {
        let namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace);
        let is_new = |name: &&CollectionName| known.is_none_or(|known| !known.contains_key(*name));
        known.map_or(0, HashMap::len) + names.iter().filter(is_new).count()
    }

    /// Removes from a request what is admitted already, so that little is left to do under the log's lock.
    pub(crate) fn without_known(&self, namespace: &Namespace, touched: &mut [Touched]) {
        let namespaces = lock(&self.namespaces);
        let Some(collections) = namespaces.get(namespace) else { return };
        for touch in touched {
            let known = collections.get(&touch.collection);
            if known.is_some_and(|admitted| admitted.schema.evolved(&touch.observed).is_none()) {
                touch.observed = tidemark_model::schema::Observed::default();
            }
        }
    }

    /// Admits an append and returns the changes that must travel with it.
    pub(crate) fn admit(&self, namespace: &Namespace, touched: &[Touched], at: Instant) -> Vec<SchemaChange> {
        if touched.is_empty() {
            return Vec::new();
        }
        let mut namespaces = lock(&self.namespaces);
        let collections = namespaces.entry(namespace.clone()).or_default();
        touched.iter().flat_map(|touch| admit(collections, touch, at)).collect()
    }

    /// Takes in what a durable append brought.
    pub(crate) fn durable(&self, namespace: &Namespace, changes: &[SchemaChange]) {
        if changes.is_empty() {
            return;
        }
        let mut namespaces = lock(&self.namespaces);
        let collections = namespaces.entry(namespace.clone()).or_default();
        changes.iter().for_each(|change| observe(collections, change));
    }
}

fn admit(
    collections: &mut HashMap<CollectionName, Admitted>,
    touch: &Touched,
    at: Instant,
) -> impl Iterator<Item = SchemaChange> + use<> {
    let name = &touch.collection;
    if !collections.contains_key(name) {
        collections.insert(name.clone(), Admitted { shard: touch.shard, schema: DocSchema::default(), durable: None });
    }
    let changes = collections.get_mut(name).map_or([None, None], |admitted| {
        if let Some(next) = admitted.schema.evolved(&touch.observed) {
            admitted.schema = next;
        }
        let created = admitted.durable.is_none().then(|| SchemaChange::Created {
            collection: name.clone(),
            directory: name.as_str().to_owned(),
            shard: admitted.shard,
            created_at: at,
        });
        let is_news = admitted.durable.unwrap_or(0) < admitted.schema.id;
        let evolved =
            is_news.then(|| SchemaChange::Evolved { collection: name.clone(), schema: admitted.schema.clone() });
        [created, evolved]
    });
    changes.into_iter().flatten()
}

fn observe(collections: &mut HashMap<CollectionName, Admitted>, change: &SchemaChange) {
    match change {
        SchemaChange::Created { collection, shard, .. } => {
            let admitted = collections.entry(collection.clone()).or_insert_with(|| Admitted {
                shard: *shard,
                schema: DocSchema::default(),
                durable: None,
            });
            admitted.durable = admitted.durable.or(Some(0));
        }
        SchemaChange::Evolved { collection, schema } => {
            if let Some(admitted) = collections.get_mut(collection) {
                admitted.durable = admitted.durable.max(Some(schema.id));
                if admitted.schema.id < schema.id {
                    admitted.schema = schema.clone();
                }
            }
        }
    }
}
