//! `_tidemark/catalog/{version}.json`: the register of namespaces and collections.
//!
//! An entry holds differences; every 64th holds everything instead, so a cold start reads at most 64 entries.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tidemark_model::{
    CollectionName, DocSchema, Instant, Namespace, Shard, Standing, Stood,
    declared::Declared,
    retention::Kept,
    schema::{SchemaChange, Step, Steps},
};
use tidemark_storage::{paths, register::Register};

use super::CatalogError;

/// The format of an entry that is written here.
const FORMAT: u32 = 1;
/// Every entry whose version this divides holds everything.
const CHECKPOINT_EVERY: u64 = 64;
/// Entries read at once on a cold start.
const READS_MAX: usize = 16;

/// One entry, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    format: u32,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    put_id: String,
    pub(crate) committed_at: Instant,
    pub(crate) content: Content,
}

/// What an entry tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// What is new, by namespace.
    Changes(Vec<NamespaceChanges>),
    /// Everything there is.
    Checkpoint(Vec<NamespaceRecord>),
}

/// What is new in a namespace; a namespace appears with its first entry, also one without changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceChanges {
    pub(crate) namespace: Namespace,
    pub(crate) changes: Vec<SchemaChange>,
    /// What became of the schemas of collections, in order. Entries without hold the newest schema in `changes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Stepped>,
    /// Schemas that were declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) declared: Vec<Declared>,
    /// Retentions that were said, or taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retention: Vec<Kept>,
    /// What was dropped, brought back, erased, or begun anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) standings: Vec<Stood>,
}

/// One step of the schema of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stepped {
    pub(crate) collection: CollectionName,
    pub(crate) step: Step,
}

/// A whole namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceRecord {
    pub(crate) namespace: Namespace,
    pub(crate) collections: Vec<CollectionRecord>,
    /// Every version of every declared schema, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) declared: Vec<Declared>,
    /// Every retention in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retention: Vec<Kept>,
    /// Whether it is there.
    #[serde(default, skip_serializing_if = "Standing::is_live")]
    pub(crate) standing: Standing,
}

/// A whole collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionRecord {
    pub(crate) name: CollectionName,
    pub(crate) directory: String,
    pub(crate) shard: Shard,
    pub(crate) created_at: Instant,
    pub(crate) schema: DocSchema,
    /// How it became so.
    #[serde(default, skip_serializing_if = "Steps::is_empty")]
    pub(crate) steps: Steps,
    /// Whether it is there.
    #[serde(default, skip_serializing_if = "Standing::is_live")]
    pub(crate) standing: Standing,
    /// Up to where everything was erased under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erased_at: Option<Instant>,
}

impl NamespaceChanges {
    /// Nothing new of a namespace.
    pub(crate) fn of(namespace: Namespace) -> Self {
        let (changes, steps, declared, retention) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { namespace, changes, steps, declared, retention, standings: Vec::new() }
    }
}

impl Entry {
    pub(crate) fn new(version: u64, epoch: u64, put_id: String, committed_at: Instant, content: Content) -> Self {
        Self { format: FORMAT, version, epoch, put_id, committed_at, content }
    }

    /// Whether the entry of this version holds everything.
    pub(crate) const fn is_checkpoint(version: u64) -> bool {
        version.is_multiple_of(CHECKPOINT_EVERY)
    }

    pub(crate) fn encode(&self) -> Result<Bytes, CatalogError> {
        let json = serde_json::to_vec(self).map(Bytes::from);
        json.map_err(|error| CatalogError::unreadable(&place(self.version), error))
    }

    pub(crate) fn decode(version: u64, bytes: &[u8]) -> Result<Self, CatalogError> {
        let place = place(version);
        super::check_format(&place, bytes, FORMAT)?;
        serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(&place, error))
    }
}

fn place(version: u64) -> impl std::fmt::Display {
    paths::entry(&paths::catalog(), version)
}

/// The entries a cold start needs, oldest first: the newest checkpoint and what follows it.
pub(crate) async fn load(register: &Register) -> Result<Vec<Entry>, CatalogError> {
    let Some((newest, _bytes)) = register.latest(None).await? else { return Ok(Vec::new()) };
    let first = (newest - newest % CHECKPOINT_EVERY).max(1);
    let entries: Vec<Entry> =
        futures::stream::iter(first..=newest).map(|at| read(register, at)).buffered(READS_MAX).try_collect().await?;
    match entries.first() {
        Some(Entry { content: Content::Changes(_), version, .. }) if Entry::is_checkpoint(*version) => {
            Err(CatalogError::unreadable(&place(*version), "it should hold everything and does not"))
        }
        _ => Ok(entries),
    }
}

/// One entry that must exist.
pub(crate) async fn read(register: &Register, version: u64) -> Result<Entry, CatalogError> {
    match register.read(version).await? {
        Some(bytes) => Entry::decode(version, &bytes),
        None => Err(CatalogError::unreadable(&place(version), "it is missing")),
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::{Retention, declared::Strictness};

    use super::*;

    fn entry(content: Content) -> Entry {
        Entry::new(3, 1, "01J0000000000000000000000A".into(), Instant::from_micros(7), content)
    }

    fn schema() -> DocSchema {
        serde_json::from_str(r#"{"id":1,"fields":[{"id":1,"name":"origin","kinds":32}]}"#).unwrap()
    }

    #[test]
    fn bytes_are_pinned() {
        let (namespace, collection) = (Namespace::parse("nyc").unwrap(), CollectionName::parse("flights").unwrap());
        let (directory, shard, created_at) = ("flights".to_owned(), Shard(3), Instant::from_micros(5));
        let created =
            SchemaChange::Created { collection: collection.clone(), directory: directory.clone(), shard, created_at };
        let evolved = SchemaChange::Evolved { collection: collection.clone(), schema: schema() };
        let step = DocSchema::default().step_to(&schema(), created_at);
        let stepped = Stepped { collection: collection.clone(), step: step.clone() };
        let none = Steps::default();
        let changes = |changes, steps| {
            Content::Changes(vec![NamespaceChanges { changes, steps, ..NamespaceChanges::of(namespace.clone()) }])
        };
        let record = |steps| CollectionRecord {
            name: collection.clone(),
            directory: directory.clone(),
            shard,
            created_at,
            schema: schema(),
            steps,
            standing: Standing::Live,
            erased_at: None,
        };
        let checkpoint = |steps| {
            let collections = vec![record(steps)];
            let (declared, retention, standing) = (Vec::new(), Vec::new(), Standing::Live);
            let namespace = namespace.clone();
            Content::Checkpoint(vec![NamespaceRecord { namespace, collections, declared, retention, standing }])
        };
        let mut steps = Steps::default();
        steps.push(step);
        for (stored, content) in [
            // From before the steps of schemas were written down.
            (
                include_bytes!("../../fixtures/catalog_changes_v1.json").as_slice(),
                changes(vec![created.clone(), evolved], vec![]),
            ),
            (include_bytes!("../../fixtures/catalog_checkpoint_v1.json").as_slice(), checkpoint(none)),
            (
                include_bytes!("../../fixtures/catalog_changes_v1_steps.json").as_slice(),
                changes(vec![created], vec![stepped]),
            ),
            (include_bytes!("../../fixtures/catalog_checkpoint_v1_steps.json").as_slice(), checkpoint(steps)),
        ] {
            let entry = entry(content);
            assert_eq!(
                String::from_utf8_lossy(&entry.encode().unwrap()),
                String::from_utf8_lossy(stored.trim_ascii_end())
            );
            assert_eq!(Entry::decode(3, stored).unwrap(), entry);
        }
    }

    #[test]
    fn declared_schemas_stand_beside_changes() {
        let declared = Declared {
            collection: CollectionName::parse("flights").unwrap(),
            version: 1,
            declared_at: Instant::from_micros(5),
            strictness: Strictness::Lenient,
            schema: r#"{"type":"object"}"#.to_owned(),
        };
        let namespace = Namespace::parse("nyc").unwrap();
        let changes = NamespaceChanges { declared: vec![declared], ..NamespaceChanges::of(namespace) };
        let (entry, stored) =
            (entry(Content::Changes(vec![changes])), include_bytes!("../../fixtures/catalog_declared_v1.json"));
        assert_eq!(String::from_utf8_lossy(&entry.encode().unwrap()), String::from_utf8_lossy(stored.trim_ascii_end()));
        assert_eq!(Entry::decode(3, stored).unwrap(), entry);
    }

    #[test]
    fn retentions_stand_beside_changes() {
        let namespace = Namespace::parse("nyc").unwrap();
        let said = Retention { history_window_s: Some(86_400), daily: Some(7), monthly: None };
        let of = |name: &str| Some(CollectionName::parse(name).unwrap());
        let kept = |collection, retention| Kept { collection, retention };
        let retention = vec![kept(None, said), kept(of("flights"), Retention::default())];
        let changes = NamespaceChanges { retention, ..NamespaceChanges::of(namespace) };
        let stored = include_bytes!("../../fixtures/catalog_retention_v1.json");
        let told = entry(Content::Changes(vec![changes]));
        assert_eq!(String::from_utf8_lossy(&told.encode().unwrap()), String::from_utf8_lossy(stored.trim_ascii_end()));
        assert_eq!(Entry::decode(3, stored).unwrap(), told);
    }

    #[test]
    fn standings_stand_beside_changes() {
        let at = Instant::from_micros;
        let stood = |collection: Option<&str>, standing| Stood {
            collection: collection.map(|name| CollectionName::parse(name).unwrap()),
            standing,
        };
        let standings = vec![
            stood(Some("flights"), Standing::Dropped { at: at(5), until: at(9) }),
            stood(Some("planes"), Standing::Erasing),
            stood(Some("weather"), Standing::Erased { at: at(7) }),
            stood(None, Standing::Live),
        ];
        let changes = NamespaceChanges { standings, ..NamespaceChanges::of(Namespace::parse("nyc").unwrap()) };
        let stored = include_bytes!("../../fixtures/catalog_standings_v1.json");
        let told = entry(Content::Changes(vec![changes]));
        assert_eq!(String::from_utf8_lossy(&told.encode().unwrap()), String::from_utf8_lossy(stored.trim_ascii_end()));
        assert_eq!(Entry::decode(3, stored).unwrap(), told);
    }

    #[test]
    fn unknown_fields_and_newer_formats_are_refused() {
        for bad in [r#"{"format":1,"x":2}"#, "", "[]"] {
            assert!(matches!(Entry::decode(1, bad.as_bytes()), Err(CatalogError::Unreadable { .. })), "{bad}");
        }
        assert!(matches!(Entry::decode(1, br#"{"format":9}"#), Err(CatalogError::NewerFormat { found: 9, known: 1 })));
    }
}
