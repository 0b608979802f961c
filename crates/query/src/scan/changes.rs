//! The changes after a base: deltas, events files, live tail.
//!
//! Files are picked from the manifests by ranges, never by LIST. A document becomes columns once per file, or once
//! per position of the tail, and schema; questions share the result. Every batch has the columns of [`Width::changes`].

use std::sync::Arc;

use arrow::{
    array::{AsArray, Int64Array, RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::cmp},
    datatypes::{Int64Type, SchemaRef},
};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use object_store::path::Path;
use tidemark_catalog::{
    Collection, CollectionManifest, View,
    manifest::{DeltaFile, EventsFile},
};
use tidemark_fold::{
    FoldError,
    columns::{doc, event},
    conform, derive,
    rest::Held,
};
use tidemark_model::{DocSchema, Seq};
use tidemark_storage::files::{self, Wanted};

use super::{
    At, Reader, ScanError,
    cache::{self, Derived, Directory, FileKey},
    width::Width,
};

/// Files read at once for one question.
const READS_AT_ONCE: usize = 4;

/// One collection of a view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The view.
    pub(crate) view: &'a View,
    /// What the catalog knows of the collection.
    pub(crate) collection: &'a Collection,
    /// Its manifest.
    pub(crate) manifest: &'a CollectionManifest,
    /// Which columns are read.
    pub(crate) width: &'a Width,
    /// Of this document only.
    pub(crate) id: Option<&'a str>,
    /// What the statement may hold: whatever is read for it counts, also where a cache keeps it for others.
    pub(crate) memory: &'a MemoryReservation,
}

impl Source<'_> {
    /// The collection for ever.
    pub(crate) fn directory(&self) -> Directory {
        format!("{}/{}", self.view.namespace, self.collection.directory).into()
    }

    /// Counts changes that are held while a statement's answer is made.
    pub(crate) fn hold(&self, changes: &[RecordBatch]) -> Result<(), ScanError> {
        Ok(self.memory.try_grow(cache::bytes_of(changes) as usize)?)
    }

    /// Those of some changes that are of the document that is asked for.
    fn narrowed(&self, changes: &[RecordBatch]) -> Result<Vec<RecordBatch>, ScanError> {
        let Some(id) = self.id else { return Ok(changes.to_vec()) };
        let wanted = StringArray::new_scalar(id);
        let of_it = changes.iter().map(|batch| {
            let ids = batch.column_by_name(doc::ID).ok_or(FoldError::Column(doc::ID))?;
            Ok(filter_record_batch(batch, &cmp::eq(ids, &wanted)?)?)
        });
        of_it.collect()
    }

    /// The columns of its changes.
    pub(crate) fn changes(&self) -> SchemaRef {
        self.width.changes(&self.collection.schema)
    }
}

/// Every change that a base does not hold and that may count at the instants; more than those may come, positions may
/// come twice.
pub(crate) async fn after(
    reader: &Reader,
    source: Source<'_>,
    held: Held,
    at: At,
) -> Result<Vec<RecordBatch>, ScanError> {
    let deltas = source.manifest.reaching(at.system_time, at.valid_time);
    let may_be_of = |delta: &DeltaFile| source.id.is_none_or(|id| *delta.id.min <= *id && *id <= *delta.id.max);
    let deltas = deltas.filter(|delta| held.leaves(delta.seq.max, delta.ts.max) && may_be_of(delta));
    let pending = source.view.pending_files().filter(|file| {
        leaves(file, source.collection, held) && file.system_time.min <= at.system_time && at.reaches_ts(file.ts.min)
    });
    let mut reads: Vec<BoxFuture<'_, Result<Arc<Vec<RecordBatch>>, ScanError>>> = Vec::new();
    for file in deltas {
        reads.push(delta(reader, source, file).boxed());
    }
    for file in pending {
        reads.push(events(reader, source, file).boxed());
    }
    let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
    let mut batches: Vec<RecordBatch> = Vec::new();
    while let Some(read) = reads.try_next().await? {
        let read = source.narrowed(&read)?;
        source.hold(&read)?;
        batches.extend(read);
    }
    let tail = source.narrowed(&tail(reader, source).await?)?;
    source.hold(&tail)?;
    batches.extend(tail);
    conformed(&batches, &source.changes())
}

fn leaves(file: &EventsFile, collection: &Collection, held: Held) -> bool {
    file.collections.iter().any(|rows| rows.collection == collection.name && held.leaves(rows.seq.max, file.ts.max))
}

fn key(source: Source<'_>, path: &str, width: &Width) -> FileKey {
    let (path, directory, schema) = (path.to_owned(), source.directory(), source.collection.schema.id);
    FileKey { path, directory, schema, width: width.clone() }
}

/// The changes of a delta, of the wanted columns only, unless all of them are known.
async fn delta(reader: &Reader, source: Source<'_>, file: &DeltaFile) -> Result<Arc<Vec<RecordBatch>>, ScanError> {
    if let Some(known) = reader.caches.files.get(&key(source, &file.path, &Width::All)).await {
        return Ok(known);
    }
    let schema = source.changes();
    let build = async {
        reader.metrics.cache_missed("delta");
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let equal = source.id.map(|id| (doc::ID.to_owned(), id.to_owned()));
        let wanted = Wanted { columns: Some(columns), equal, ..Wanted::default() };
        let read = files::read(reader.catalog.store(), &Path::from(file.path.as_str()), &wanted).await?;
        Ok(Arc::new(conformed(&read, &schema)?))
    };
    if source.id.is_some() {
        return build.await;
    }
    cache::get(&reader.caches.files, key(source, &file.path, source.width), build).await
}

/// The changes of an events file. A document becomes columns as a whole.
async fn events(reader: &Reader, source: Source<'_>, file: &EventsFile) -> Result<Arc<Vec<RecordBatch>>, ScanError> {
    let build = async {
        reader.metrics.cache_missed("events");
        let of = (event::COLLECTION.to_owned(), source.collection.name.as_str().to_owned());
        let wanted = Wanted { equal: Some(of), ..Wanted::default() };
        let read = files::read(reader.catalog.store(), &Path::from(file.path.as_str()), &wanted).await?;
        Ok(Arc::new(derived(&read, &source.collection.schema)?))
    };
    cache::get(&reader.caches.files, key(source, &file.path, &Width::All), build).await
}

/// Changes of the live tail. What was derived for an earlier question is taken over, the rest is derived.
async fn tail(reader: &Reader, source: Source<'_>) -> Result<Vec<RecordBatch>, ScanError> {
    let from = source.view.events.mark.seq(source.collection.shard).max(source.manifest.mark);
    let last = source.view.tail.batches.iter().rev().find_map(last_position).unwrap_or(from);
    if last <= from {
        return Ok(Vec::new());
    }
    let key = (source.directory(), source.collection.schema.id);
    let known = reader.caches.tails.get(&key).await.filter(|known| known.after <= from && from <= known.last);
    let (mut batches, known_to) = match &known {
        Some(known) if known.last >= last => return Ok(known.batches.clone()),
        Some(known) => (newer(&known.batches, from), known.last),
        None => (Vec::new(), from),
    };
    let fresh = source.view.tail.batches.iter().map(|batch| above(batch, event::SEQ, known_to));
    for batch in derived(&fresh.collect::<Result<Vec<_>, _>>()?, &source.collection.schema)? {
        batches.push(cache::alone(batch)?);
    }
    let derived = Derived { after: from, last, batches: batches.clone() };
    reader.caches.tails.insert(key, Arc::new(derived)).await;
    Ok(batches)
}

/// The batches that hold anything above a position.
fn newer(batches: &[RecordBatch], position: Seq) -> Vec<RecordBatch> {
    batches.iter().filter(|batch| last_position(batch).is_some_and(|last| last > position)).cloned().collect()
}

/// The last position of a batch in order of position.
fn last_position(batch: &RecordBatch) -> Option<Seq> {
    let positions = batch.column_by_name(event::SEQ)?.as_primitive_opt::<Int64Type>()?;
    positions.values().last().copied()
}

/// The rows above a position.
pub(crate) fn above(batch: &RecordBatch, column: &str, position: Seq) -> Result<RecordBatch, ScanError> {
    let positions = batch.column_by_name(column).ok_or(FoldError::Column(event::SEQ))?;
    Ok(filter_record_batch(batch, &cmp::gt(positions, &Int64Array::new_scalar(position))?)?)
}

fn derived(events: &[RecordBatch], schema: &DocSchema) -> Result<Vec<RecordBatch>, ScanError> {
    let changes: Result<Vec<_>, _> =
        events.iter().filter(|batch| batch.num_rows() > 0).map(|batch| derive::changes(batch, schema)).collect();
    conformed(&changes?, &Width::All.changes(schema))
}

fn conformed(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<RecordBatch>, ScanError> {
    let conformed = batches.iter().map(|batch| conform::to_schema(batch, schema));
    Ok(conformed.collect::<Result<_, _>>()?)
}
