//! Manifests: one numbered commit of a table (storage.md, Manifests).
//!
//! JSON, unknown fields refused, zstd above 64 KiB. Within this format version every entry is complete: difference
//! entries come with the issue that needs them, under the next format version.

mod past;
pub(crate) mod stored;

use serde::{Deserialize, Serialize};
use tidemark_model::{CollectionName, DocSchema, Instant, Mark, Positions, Seq, position::BEFORE_ALL};

pub use self::past::{Named, Outside, Snapshot, SnapshotKind, Taken, Window};

/// The format version written here.
pub const FORMAT: u32 = 1;

/// Both ends of something, included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range<T> {
    /// The least.
    pub min: T,
    /// The greatest.
    pub max: T,
}

/// What every manifest has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// The number of this commit, from 1.
    pub version: u64,
    /// The epoch of the owner that committed; only grows.
    pub epoch: u64,
    /// Unique to this attempt.
    pub put_id: String,
    /// Wall-clock time of the commit; for people only.
    pub committed_at: Instant,
    /// Orphans planned below this version may be deleted.
    pub orphans_below: u64,
}

impl Head {
    /// The head of the manifest that stands before the first commit and is never stored: version 0.
    #[must_use]
    pub const fn before_first() -> Self {
        Self {
            format: FORMAT,
            version: 0,
            epoch: 0,
            put_id: String::new(),
            committed_at: Instant::MIN,
            orphans_below: 0,
        }
    }
}

/// A file of the events table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsFile {
    /// Its path from the root of the lake.
    pub path: String,
    /// The manifest version it was planned on.
    pub planned_on: u64,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// The positions it holds, per shard.
    pub positions: Vec<Positions>,
    /// System times of its rows.
    pub system_time: Range<Instant>,
    /// Source times of its rows.
    pub ts: Range<Instant>,
    /// Which collections it contains.
    pub collections: Vec<CollectionRows>,
}

/// What an events file holds of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionRows {
    /// The collection.
    pub collection: CollectionName,
    /// Its rows.
    pub rows: u64,
    /// First and last sequence, in the collection's shard.
    pub seq: Range<Seq>,
    /// The schema in force at its newest row.
    pub schema_id: u32,
}

/// A sidecar of a commit: idempotency keys and event ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Its path from the root of the lake.
    pub path: String,
    /// Its entries.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// System times of its entries.
    pub system_time: Range<Instant>,
}

/// One commit of `{ns}.events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsManifest {
    /// Version, epoch, put id.
    pub head: Head,
    /// Up to where the log has been taken in.
    pub mark: Mark,
    /// The greatest system time taken in: every append of the namespace up to it is in the files.
    pub system_time: Instant,
    /// The files, oldest first.
    pub files: Vec<EventsFile>,
    /// Sidecars that still lie inside the deduplication window.
    pub sidecars: Vec<Sidecar>,
    /// What was erased with the namespace, of one that began anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
}

/// Up to where the events of a namespace were erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Up to these positions.
    pub mark: Mark,
    /// Up to this system time.
    pub system_time: Instant,
}

impl EventsManifest {
    /// The manifest before the first commit: nothing is in it.
    #[must_use]
    pub fn before_first() -> Self {
        let (files, sidecars) = (Vec::new(), Vec::new());
        let (mark, system_time) = (Mark::default(), Instant::MIN);
        Self { head: Head::before_first(), mark, system_time, files, sidecars, erased: None }
    }

    /// With nothing left of what was taken in: positions and system time go on.
    #[must_use]
    pub fn begun_anew(&self) -> Self {
        let erased = Some(Erased { mark: self.mark.clone(), system_time: self.system_time });
        Self { files: Vec::new(), sidecars: Vec::new(), erased, ..self.clone() }
    }

    /// Lets on a question about an instant of which something is kept.
    ///
    /// # Errors
    /// [`Outside`] for one whose events were erased.
    pub fn reaches(&self, at: Instant) -> Result<(), Outside> {
        match &self.erased {
            Some(erased) if at < erased.system_time => Err(Outside { before: None, after: erased.system_time }),
            _ => Ok(()),
        }
    }
}

/// A delta: changes of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaFile {
    /// Its number, from 1.
    pub number: u64,
    /// Its path from the root of the lake.
    pub path: String,
    /// The manifest version it was planned on.
    pub planned_on: u64,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Sequences of its rows.
    pub seq: Range<Seq>,
    /// System times of its rows.
    pub system_time: Range<Instant>,
    /// Source times of its rows.
    pub ts: Range<Instant>,
    /// Keys of its rows.
    pub id: Range<String>,
    /// The schema it was written under.
    pub schema_id: u32,
}

/// A file of a base: a state part or its tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseFile {
    /// Its path from the root of the lake.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Keys of its rows.
    pub id: Range<String>,
}

/// A stored fold of the changes up to its mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The manifest version it was planned on.
    pub planned_on: u64,
    /// The last sequence folded.
    pub mark: Seq,
    /// The greatest system time folded.
    pub system_time: Instant,
    /// The greatest source time folded, deletes and losers included, carried from base to base.
    pub max_ts: Instant,
    /// The greatest bookmark at `max_ts`.
    pub max_bookmark: Option<String>,
    /// Live documents.
    pub rows: u64,
    /// Changes folded since the first.
    pub changes: u64,
    /// State parts, ascending and non-overlapping by id.
    pub parts: Vec<BaseFile>,
    /// Tombstones, if any.
    pub tombstones: Vec<BaseFile>,
    /// The schema it was written under.
    pub schema: DocSchema,
    /// Only changes with a source time up to here are folded; without one all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Instant>,
}

impl Base {
    /// The files, parts first.
    pub fn files(&self) -> impl Iterator<Item = &BaseFile> {
        self.parts.iter().chain(&self.tombstones)
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

/// One commit of `{ns}.{collection}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionManifest {
    /// Version, epoch, put id.
    pub head: Head,
    /// The last sequence of the collection's shard that deltas hold; everything of the collection up to it is in them.
    pub mark: Seq,
    /// The greatest system time the deltas cover.
    pub system_time: Instant,
    /// The schema of the newest row taken in.
    pub schema: DocSchema,
    /// Every delta, by number.
    pub deltas: Vec<DeltaFile>,
    /// Bases, oldest first; the last is the current state.
    pub bases: Vec<Base>,
    /// Bases bounded in source time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Base>,
    /// Snapshots in the order they were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// Up to where the calendar's snapshots have been taken.
    #[serde(default, skip_serializing_if = "Taken::is_nothing")]
    pub taken: Taken,
    /// From where on history is whole; without one everything is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl CollectionManifest {
    /// With nothing left of what was taken in up to a mark of the collection's shard and a system time: an empty base stands
    /// there, from which what comes later is read, and earlier instants are refused.
    #[must_use]
    pub fn begun_anew(&self, (mark, system_time): (Seq, Instant), schema: DocSchema) -> Self {
        let nothing = Base {
            planned_on: self.head.version,
            mark,
            system_time,
            max_ts: Instant::MIN,
            max_bookmark: None,
            rows: 0,
            changes: 0,
            parts: Vec::new(),
            tombstones: Vec::new(),
            schema: schema.clone(),
            bound: None,
        };
        let window = Window { system_time, valid_time: Instant::MIN, mark, bound: Instant::MIN };
        Self {
            mark,
            system_time,
            schema,
            bases: vec![nothing],
            window: Some(window),
            head: self.head.clone(),
            taken: self.taken,
            ..Self::before_first()
        }
    }

    /// Whether nothing is left in it, of up to a mark at least.
    #[must_use]
    pub fn is_begun_anew(&self, mark: Seq) -> bool {
        let is_empty = self.deltas.is_empty() && self.files().next().is_none();
        is_empty && self.window.is_some() && self.mark >= mark
    }

    /// The manifest before the first commit: nothing is in it.
    #[must_use]
    pub fn before_first() -> Self {
        Self {
            head: Head::before_first(),
            mark: BEFORE_ALL,
            system_time: Instant::MIN,
            schema: DocSchema::default(),
            deltas: Vec::new(),
            bases: Vec::new(),
            checkpoints: Vec::new(),
            snapshots: Vec::new(),
            taken: Taken::default(),
            window: None,
        }
    }
}
