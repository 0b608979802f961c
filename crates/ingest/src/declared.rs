//! Declared schemas at the door: documents of a collection that has one must fit it.
//!
//! 1. [`rule`]: JSON Schema → a [`rule::Rule`]. The keywords that are spoken are those of 2020-12 that look at one value;
//!    every other keyword but annotations is refused when the schema is declared, so none is silently without effect.
//! 2. [`check`]: a document against a rule, on its text, without building a tree.
//! 3. [`Rules`]: the rules in force by namespace, read once a request. A namespace without any costs nothing.
//!
//! Declared fields also fix the types of columns: the kinds that a field may hold are seen with every request
//! ([`Declaration::observe`]), so a `number` is Float64 from the first document on, and values that would widen it are
//! refused. A field of the format `date-time` is a timestamp: its texts are seen as instants (`observe`), as long as its
//! column holds nothing else.

mod check;
mod rule;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tidemark_catalog::Catalog;
use tidemark_model::{
    CollectionName, Namespace,
    declared::{Declared, Strictness},
    json::Value,
    schema::{Kinds, Observed},
};

use self::rule::{Rule, Type};
use crate::{
    dedup::lock,
    error::Error,
    front::{Ingest, Room},
    observe::Touched,
};

/// The longest schema, in bytes.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// How deep a schema may nest.
const SCHEMA_DEPTH_MAX: usize = 32;
/// The most versions of the schema of one collection: all of them are kept.
const VERSIONS_MAX: u32 = 1000;

/// A schema in force.
#[derive(Debug)]
pub(crate) struct Declaration {
    version: u32,
    rule: Rule,
    /// The declared top-level fields and the kinds they may hold.
    columns: Vec<(String, Kinds)>,
    /// Those of them that hold instants.
    instants: HashSet<String>,
}

/// The schemas in force in one namespace.
pub(crate) type InForce = Arc<HashMap<CollectionName, Arc<Declaration>>>;

/// The schemas in force everywhere.
#[derive(Debug, Default)]
pub(crate) struct Rules(Mutex<HashMap<Namespace, InForce>>);

impl Declaration {
    /// Reads a schema.
    pub(crate) fn read(schema: &str, strictness: Strictness, version: u32) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Body { code: "invalid_schema", detail };
        if schema.len() > SCHEMA_BYTES_MAX || tidemark_model::json::depth(schema.as_bytes()) > SCHEMA_DEPTH_MAX {
            return Err(refuse(format!(
                "a schema takes at most {SCHEMA_BYTES_MAX} bytes and {SCHEMA_DEPTH_MAX} levels"
            )));
        }
        let json: serde_json::Value =
            serde_json::from_str(schema).map_err(|error| refuse(format!("the schema is no JSON: {error}")))?;
        let mut rule = Rule::read(&json, "").map_err(|wrong| refuse(format!("the schema cannot be used: {wrong}")))?;
        rule.close(strictness);
        let columns = rule.properties.iter().map(|(name, rule)| (name.clone(), kinds(rule))).collect();
        let instants = rule.properties.iter().filter(|(_, rule)| rule.is_instant).map(|(name, _)| name.clone());
        let instants = instants.collect();
        Ok(Self { version, rule, columns, instants })
    }

    /// Where a document does not fit, as a JSON pointer into it, and why.
    pub(crate) fn check(&self, document: &str) -> Result<(), (String, String)> {
        check::document(&self.rule, document)
            .map_err(|(pointer, why)| (pointer, format!("{why} (version {} of the declared schema)", self.version)))
    }

    /// Whether a field is declared to hold instants.
    pub(crate) fn is_instant(&self, field: &str) -> bool {
        !self.instants.is_empty() && self.instants.contains(field)
    }

    /// Sees the declared fields, so that their columns have their types from the beginning.
    fn observe(&self, observed: &mut Observed) {
        self.columns.iter().filter(|(_, kinds)| !kinds.is_empty()).for_each(|(name, kinds)| observed.see(name, *kinds));
    }
}

/// The kinds of values that a rule lets through; none where it names no type.
fn kinds(rule: &Rule) -> Kinds {
    let of = |kind: &Type| match kind {
        Type::Null => Kinds::of(&Value::Null),
        Type::Boolean => Kinds::of(&Value::Bool(true)),
        Type::Integer => Kinds::of(&Value::Int(0)),
        Type::Number => Kinds::of(&Value::Float(0.5)),
        Type::String if rule.is_instant => Kinds::INSTANT,
        Type::String => Kinds::of(&Value::String("".into())),
        Type::Object | Type::Array => Kinds::of(&Value::Nested("{}")),
    };
    rule.types.iter().map(of).fold(Kinds::default(), Kinds::union)
}

impl Ingest {
    /// Declares the next version of a schema; the same again is the version that stands. It binds the requests that come after.
    ///
    /// # Errors
    /// [`Error::Body`] for what is no schema; whatever the catalog says.
    pub async fn declare(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        strictness: Strictness,
        schema: String,
    ) -> Result<Arc<Declared>, Error> {
        let room = self.open_room()?;
        // Read before it is stored: what is stored can be used.
        Declaration::read(&schema, strictness, 0)?;
        let newest = room.catalog.declared(namespace, collection).pop();
        let is_same = |known: &Declared| known.strictness == strictness && known.schema == schema;
        if newest.is_some_and(|known| known.version >= VERSIONS_MAX && !is_same(&known)) {
            let detail = format!("a collection takes at most {VERSIONS_MAX} versions of its schema, and has them");
            return Err(Error::Body { code: "too_many_schema_versions", detail });
        }
        // To its end, also when who asked goes away: a word of which nobody knows whether it holds shuts the name for a while.
        let of = (namespace.clone(), collection.clone());
        self.finish(async move { room.declare(of, strictness, schema).await }).await
    }
}

impl Room {
    async fn declare(
        &self,
        (namespace, collection): (Namespace, CollectionName),
        strictness: Strictness,
        schema: String,
    ) -> Result<Arc<Declared>, Error> {
        let _stands = self.stands(&namespace, [&collection]).await?;
        let saying = self.standings.say((namespace.clone(), Some(collection.clone())));
        let declared = self.catalog.declare((&namespace, &collection), strictness, schema).await?;
        saying.holds();
        let declaration = Declaration::read(&declared.schema, declared.strictness, declared.version)?;
        self.rules.put(&namespace, &declared, declaration);
        tracing::info!(%namespace, %collection, version = declared.version, "a schema was declared");
        Ok(declared)
    }
}

impl Rules {
    /// The newest schemas that the catalog knows.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let rules = Self::default();
        catalog.every_namespace().iter().for_each(|namespace| rules.learn(catalog, namespace, None));
        rules
    }

    /// Takes over what the catalog knows of a namespace, or of a collection of it.
    pub(crate) fn learn(&self, catalog: &Catalog, namespace: &Namespace, only: Option<&CollectionName>) {
        let known = catalog.declared_newest(namespace).into_iter();
        for declared in known.filter(|declared| only.is_none_or(|only| *only == declared.collection)) {
            match Declaration::read(&declared.schema, declared.strictness, declared.version) {
                Ok(declaration) => self.put(namespace, &declared, declaration),
                Err(error) => {
                    tracing::error!(%namespace, collection = %declared.collection, %error, "a declared schema cannot be read and does not hold")
                }
            }
        }
    }

    /// Puts a schema in force, unless a newer one is.
    pub(crate) fn put(&self, namespace: &Namespace, declared: &Declared, declaration: Declaration) {
        let mut rules = lock(&self.0);
        let in_force = Arc::make_mut(rules.entry(namespace.clone()).or_default());
        let is_newer = in_force.get(&declared.collection).is_none_or(|known| known.version < declaration.version);
        if is_newer {
            in_force.insert(declared.collection.clone(), Arc::new(declaration));
        }
    }

    /// Forgets what was declared of a namespace, or of a collection of it, before it was erased: what the catalog still knows
    /// was declared since.
    pub(crate) fn begin_anew(&self, catalog: &Catalog, namespace: &Namespace, collection: Option<&CollectionName>) {
        let mut rules = lock(&self.0);
        match collection {
            None => drop(rules.remove(namespace)),
            Some(name) => {
                let in_force = rules.get_mut(namespace).map(Arc::make_mut);
                in_force.into_iter().for_each(|in_force| drop(in_force.remove(name)));
            }
        }
        drop(rules);
        self.learn(catalog, namespace, collection);
    }

    /// What holds in a namespace now.
    pub(crate) fn in_force(&self, namespace: &Namespace) -> Option<InForce> {
        lock(&self.0).get(namespace).cloned()
    }

    /// Sees the declared fields of the collections that a request touches.
    pub(crate) fn observe(&self, namespace: &Namespace, touched: &mut [Touched]) {
        let Some(in_force) = self.in_force(namespace) else { return };
        for touch in touched {
            if let Some(declaration) = in_force.get(&touch.collection) {
                declaration.observe(&mut touch.observed);
            }
        }
    }
}
