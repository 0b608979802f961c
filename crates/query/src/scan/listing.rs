//! What a table is kept in: its manifest versions, its snapshots and its files, as tables.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use futures::{StreamExt, TryStreamExt, stream};
use tidemark_catalog::{
    Base, CatalogError, CollectionManifest, EventsManifest, Version, View,
    manifest::{BaseFile, Range},
    view::Held,
};
use tidemark_fold::columns::timestamp;
use tidemark_model::{Instant, Seq};

use super::{Reader, ScanError, provider::Wanted};

/// The newest versions that are listed; each older one can still be asked for by its number.
const VERSIONS_MAX: u64 = 1000;
/// Entries read at once.
const READS_AT_ONCE: usize = 8;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// The manifest versions that are still kept, newest first.
    Manifests,
    /// The snapshots that are kept, oldest first; of quiet periods the one before, which it is derived from.
    Snapshots,
    /// The files of the newest manifest.
    Files,
}

impl Lists {
    /// The columns of the list.
    pub(crate) fn columns(self) -> SchemaRef {
        let int = |name| Field::new(name, DataType::Int64, true);
        let time = |name| Field::new(name, timestamp(), true);
        let text = |name| Field::new(name, DataType::Utf8, true);
        Arc::new(Schema::new(match self {
            Self::Manifests => vec![
                int("version"),
                time("system_time"),
                time("committed_at"),
                int("mark"),
                int("rows"),
                int("files"),
                int("bytes"),
            ],
            Self::Snapshots => vec![
                text("name"),
                text("kind"),
                time("system_time"),
                time("taken_at"),
                int("mark"),
                int("rows"),
                int("files"),
                int("bytes"),
                text("derived_from"),
            ],
            Self::Files => vec![
                text("kind"),
                text("path"),
                int("rows"),
                int("bytes"),
                text("sha256"),
                int("seq_min"),
                int("seq_max"),
                time("system_time_min"),
                time("system_time_max"),
                time("ts_min"),
                time("ts_max"),
                text("id_min"),
                text("id_max"),
            ],
        }))
    }
}

/// A list about one table.
#[derive(Debug)]
pub(crate) struct Listing {
    lists: Lists,
    view: Arc<View>,
    reader: Arc<Reader>,
    /// Up to where the view is complete.
    upto: Instant,
}

impl Listing {
    /// A list about the table of a view.
    pub(crate) fn new(lists: Lists, view: Arc<View>, reader: Arc<Reader>) -> Self {
        Self { lists, view, reader, upto: Instant::MIN }
    }

    /// The same up to an instant.
    pub(crate) fn upto(self, upto: Instant) -> Self {
        Self { upto, ..self }
    }

    async fn rows(&self) -> std::result::Result<RecordBatch, ScanError> {
        let columns = match self.lists {
            Lists::Manifests => versions(&self.manifests().await.map_err(Arc::new)?),
            Lists::Snapshots => snapshots(&self.view.snapshots(self.upto)),
            Lists::Files => files(&self.view),
        };
        Ok(RecordBatch::try_new(self.lists.columns(), columns)?)
    }

    /// The newest versions that are kept. Entries go from the oldest on, so the first that is missing ends the list.
    async fn manifests(&self) -> std::result::Result<Vec<Version>, CatalogError> {
        let View { namespace, table, .. } = self.view.as_ref();
        let newest = self.reader.catalog.newest_version(namespace, table);
        let oldest = newest.saturating_sub(VERSIONS_MAX - 1).max(1);
        let reads = (oldest..=newest).rev().map(|number| self.reader.catalog.version(namespace, table, number));
        let read: Vec<Option<Version>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(read.into_iter().map_while(|version| version).collect())
    }
}

#[async_trait]
impl TableProvider for Listing {
    fn schema(&self) -> SchemaRef {
        self.lists.columns()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted { columns: self.schema(), projection: projection.cloned() };
        let rows = self.rows().await?;
        wanted.united(wanted.memory(&[rows], Vec::new())?.into_iter().collect())
    }
}

pub(super) fn ints<T>(rows: &[T], of: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<Int64Array>())
}

pub(super) fn times<T>(rows: &[T], of: impl Fn(&T) -> Option<Instant>) -> ArrayRef {
    let times: TimestampMicrosecondArray = rows.iter().map(|row| of(row).map(Instant::micros)).collect();
    Arc::new(times.with_timezone("UTC"))
}

pub(super) fn texts<'r, T>(rows: &'r [T], of: impl Fn(&'r T) -> Option<&'r str>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

pub(super) fn count(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

fn versions(versions: &[Version]) -> Vec<ArrayRef> {
    vec![
        ints(versions, |version| count(version.number)),
        times(versions, |version| Some(version.system_time)),
        times(versions, |version| Some(version.committed_at)),
        ints(versions, |version| version.mark),
        ints(versions, |version| count(version.rows)),
        ints(versions, |version| count(version.files)),
        ints(versions, |version| count(version.bytes)),
    ]
}

fn snapshots(held: &[Held<'_>]) -> Vec<ArrayRef> {
    let files = |base: &Base| count((base.parts.len() + base.tombstones.len()) as u64);
    let from = |held: &Held<'_>| held.is_derived().then(|| held.stored.name.clone());
    vec![
        texts(held, |held| Some(held.name.as_str())),
        texts(held, |held| Some(held.stored.kind.as_str())),
        times(held, |held| Some(held.instant)),
        times(held, |held| Some(held.stored.taken_at)),
        ints(held, |held| Some(held.stored.base.mark)),
        ints(held, |held| count(held.stored.base.rows)),
        ints(held, |held| files(&held.stored.base)),
        ints(held, |held| count(held.stored.base.bytes())),
        Arc::new(held.iter().map(from).collect::<StringArray>()),
    ]
}

/// A file, whatever its kind.
pub(super) struct File<'m> {
    pub(super) kind: &'static str,
    pub(super) path: &'m str,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: &'m str,
    seq: Option<Range<Seq>>,
    system_time: Option<Range<Instant>>,
    ts: Option<Range<Instant>>,
    id: Option<&'m Range<String>>,
}

impl<'m> File<'m> {
    fn of_base(kind: &'static str, file: &'m BaseFile) -> Self {
        File {
            kind,
            path: &file.path,
            rows: file.rows,
            bytes: file.bytes,
            sha256: &file.sha256,
            seq: None,
            system_time: None,
            ts: None,
            id: Some(&file.id),
        }
    }
}

fn files(view: &View) -> Vec<ArrayRef> {
    columns(&match &view.collection {
        Some((_, manifest)) => files_of_collection(manifest),
        None => files_of_events(&view.events),
    })
}

/// The files that a manifest of a collection names, deltas first.
pub(super) fn files_of_collection(manifest: &CollectionManifest) -> Vec<File<'_>> {
    let deltas = manifest.deltas.iter().map(|delta| File {
        kind: "delta",
        path: &delta.path,
        rows: delta.rows,
        bytes: delta.bytes,
        sha256: &delta.sha256,
        seq: Some(delta.seq),
        system_time: Some(delta.system_time),
        ts: Some(delta.ts),
        id: Some(&delta.id),
    });
    let bases = manifest.every_base().flat_map(|base| {
        let parts = base.parts.iter().map(|file| File::of_base("state", file));
        parts.chain(base.tombstones.iter().map(|file| File::of_base("tombstones", file)))
    });
    deltas.chain(bases).collect()
}

/// The files that a manifest of an events table names, sidecars last.
pub(super) fn files_of_events(manifest: &EventsManifest) -> Vec<File<'_>> {
    let events = manifest.files.iter().map(|file| File {
        kind: "events",
        path: &file.path,
        rows: file.rows,
        bytes: file.bytes,
        sha256: &file.sha256,
        seq: None,
        system_time: Some(file.system_time),
        ts: Some(file.ts),
        id: None,
    });
    let sidecars = manifest.sidecars.iter().map(|file| File {
        kind: "idempotency",
        path: &file.path,
        rows: file.rows,
        bytes: file.bytes,
        sha256: &file.sha256,
        seq: None,
        system_time: Some(file.system_time),
        ts: None,
        id: None,
    });
    events.chain(sidecars).collect()
}

fn columns(files: &[File<'_>]) -> Vec<ArrayRef> {
    vec![
        texts(files, |file| Some(file.kind)),
        texts(files, |file| Some(file.path)),
        ints(files, |file| count(file.rows)),
        ints(files, |file| count(file.bytes)),
        texts(files, |file| Some(file.sha256)),
        ints(files, |file| file.seq.map(|seq| seq.min)),
        ints(files, |file| file.seq.map(|seq| seq.max)),
        times(files, |file| file.system_time.map(|times| times.min)),
        times(files, |file| file.system_time.map(|times| times.max)),
        times(files, |file| file.ts.map(|times| times.min)),
        times(files, |file| file.ts.map(|times| times.max)),
        texts(files, |file| file.id.map(|ids| ids.min.as_str())),
        texts(files, |file| file.id.map(|ids| ids.max.as_str())),
    ]
}
