//! Schemas as the owner admits them: ahead of what is durable, in the order of the log.
//!
//! [`Admission::admit`] runs under the log's lock, so the order of schema changes is the order of appends. An append
//! that fails has changed nothing durable: every later append carries the changes again until one of them is durable.
//!
//! `proposal`: what requests under way would make.

mod proposal;

use std::{collections::HashMap, sync::Mutex};

use tidemark_catalog::Catalog;
use tidemark_catalog::Collection;
use tidemark_model::{CollectionName, DocSchema, Instant, Namespace, Shard, Standing, schema::SchemaChange};

pub(crate) use self::proposal::Proposal;
use crate::{dedup::lock, envelope, error::Error, observe::Touched};

/// The most columns that the schemas have together which one request changes.
const CHANGING_FIELDS_MAX: usize = 100_000;

/// Every collection as the owner admits it.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    namespaces: Mutex<HashMap<Namespace, HashMap<CollectionName, Admitted>>>,
    /// Names that requests under way would make, and how many of them each. Locked behind `namespaces`.
    proposed: Mutex<HashMap<Namespace, HashMap<CollectionName, usize>>>,
}

#[derive(Debug)]
struct Admitted {
    shard: Shard,
    schema: DocSchema,
    /// The schema id that a durable append or the catalog holds; none before the collection itself is durable.
    durable: Option<u32>,
    /// Whether nothing was admitted since it was erased.
    is_erased: bool,
}

impl Admitted {
    /// As the catalog knows it. One that was erased is not durable: the next append makes it anew.
    fn of(collection: &Collection) -> Self {
        let is_erased = matches!(collection.standing, Standing::Erased { .. });
        let schema = DocSchema::clone(&collection.schema);
        let durable = (!is_erased).then_some(schema.id);
        Self { shard: collection.shard, schema, durable, is_erased }
    }

    /// One that comes with an append.
    fn new(shard: Shard) -> Self {
        Self { shard, schema: DocSchema::default(), durable: None, is_erased: false }
    }
}

impl Admission {
    /// Takes over what the catalog knows.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let admission = Self::default();
        for namespace in catalog.every_namespace() {
            admission.begin_anew(catalog, &namespace, None);
        }
        admission
    }

    /// Takes over what the catalog knows of a namespace, or of a collection of it.
    pub(crate) fn begin_anew(&self, catalog: &Catalog, namespace: &Namespace, only: Option<&CollectionName>) {
        let mut known = catalog.every_collection(namespace);
        known.retain(|collection| only.is_none_or(|only| *only == collection.name));
        let admitted = known.iter().map(|collection| (collection.name.clone(), Admitted::of(collection)));
        lock(&self.namespaces).entry(namespace.clone()).or_default().extend(admitted);
    }

    /// The shard of a collection: where it is, or where it will be.
    pub(crate) fn shard_of(&self, namespace: &Namespace, name: &CollectionName, shards: u16) -> Shard {
        let namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace).and_then(|collections| collections.get(name));
        known.map_or_else(|| envelope::shard_of(name.as_str(), shards), |admitted| admitted.shard)
    }

    /// Removes from a request what is admitted already, so that little is left to do under the log's lock.
    ///
    /// # Errors
    /// [`Error::TooMuchSchema`]: a schema that changes is written whole.
    pub(crate) fn without_known(&self, namespace: &Namespace, touched: &mut [Touched]) -> Result<(), Error> {
        let namespaces = lock(&self.namespaces);
        let Some(collections) = namespaces.get(namespace) else { return Ok(()) };
        let mut changing = 0;
        for touch in touched {
            let Some(admitted) = collections.get(&touch.collection) else { continue };
            match admitted.schema.evolved(&touch.observed) {
                Some(next) => changing += next.fields.len(),
                None => touch.observed = tidemark_model::schema::Observed::default(),
            }
            if changing > CHANGING_FIELDS_MAX {
                return Err(Error::TooMuchSchema { limit: CHANGING_FIELDS_MAX });
            }
        }
        Ok(())
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
    pub(crate) fn durable<'c>(&self, namespace: &Namespace, changes: impl Iterator<Item = &'c SchemaChange>) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut namespaces = lock(&self.namespaces);
        let collections = namespaces.entry(namespace.clone()).or_default();
        changes.for_each(|change| observe(collections, change));
    }
}

fn admit(
    collections: &mut HashMap<CollectionName, Admitted>,
    touch: &Touched,
    at: Instant,
) -> impl Iterator<Item = SchemaChange> + use<> {
    let name = &touch.collection;
    if !collections.contains_key(name) {
        collections.insert(name.clone(), Admitted::new(touch.shard));
    }
    let changes = collections.get_mut(name).map_or([None, None], |admitted| {
        admitted.is_erased = false;
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
            let admitted = collections.entry(collection.clone()).or_insert_with(|| Admitted::new(*shard));
            admitted.is_erased = false;
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

#[cfg(test)]
mod tests {
    use tidemark_model::{
        json::Value,
        schema::{Kinds, Observed},
    };

    use super::*;

    fn touched(collections: usize, fields: std::ops::Range<usize>) -> Vec<Touched> {
        let touch = |nth| {
            let mut observed = Observed::default();
            fields.clone().for_each(|field| observed.see(&format!("f{field}"), Kinds::of(&Value::Int(0))));
            Touched {
                collection: CollectionName::parse(&format!("c{nth}")).expect("a name"),
                shard: Shard(0),
                observed,
            }
        };
        (0..collections).map(touch).collect()
    }

    #[test]
    fn a_request_changes_so_much_schema_and_no_more() {
        let (admission, namespace) = (Admission::default(), Namespace::parse("shop").expect("a name"));
        admission.admit(&namespace, &touched(101, 0..999), Instant::from_micros(1));
        assert!(admission.without_known(&namespace, &mut touched(100, 999..1000)).is_ok());
        let refused = admission.without_known(&namespace, &mut touched(101, 999..1000));
        assert!(matches!(refused, Err(Error::TooMuchSchema { limit: CHANGING_FIELDS_MAX })), "{refused:?}");
        // What is known changes nothing, however much it is.
        assert!(admission.without_known(&namespace, &mut touched(101, 0..999)).is_ok());
    }
}
