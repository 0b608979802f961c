//! Every change of a collection, one by one: what version rows, histories and lists of changes are made of.
//!
//! Unlike an overlay, nothing is thrown away and nothing is cached: files are picked by ranges, read one after the
//! other, and cut to what was asked at once, so that memory follows the answer. Positions come once: events files and
//! tail are cut by the collection's mark.

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch, StringArray},
    compute::filter_record_batch,
    datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType},
};
use datafusion::{common::Result as EngineResult, execution::memory_pool::MemoryReservation};
use object_store::path::Path;
use tidemark_catalog::manifest::Outside;
use tidemark_fold::{
    FoldError,
    columns::{doc, event},
    conform, derive,
};
use tidemark_model::{Instant, Seq};
use tidemark_storage::files::{self, Wanted};

use super::{At, Reader, ScanError, changes::Source};

/// Which changes are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Acknowledged after this instant.
    pub(crate) from: Option<Instant>,
    /// Acknowledged and happened up to here.
    pub(crate) upto: At,
    /// Of this document only.
    pub(crate) id: Option<String>,
}

impl Slice {
    /// Whether a file with rows of these ranges may hold some.
    fn reaches(&self, system: (Instant, Instant), first_ts: Instant) -> bool {
        system.0 <= self.upto.system_time
            && self.from.is_none_or(|from| system.1 > from)
            && self.upto.reaches_ts(first_ts)
    }

    fn may_be_of(&self, first: &str, last: &str) -> bool {
        self.id.as_deref().is_none_or(|id| (first..=last).contains(&id))
    }

    /// The rows of it, above a position.
    fn cut(&self, changes: &RecordBatch, above: Seq) -> Result<RecordBatch, ScanError> {
        let column = |name: &'static str| changes.column_by_name(name).ok_or(FoldError::Column(name));
        let times = |name| {
            let column = column(name)?.as_primitive_opt::<TimestampMicrosecondType>();
            column.map(|times| times.values()).ok_or(FoldError::Column(name))
        };
        let (system, ts) = (times(doc::SYSTEM_TIME)?, times(doc::TS)?);
        let positions = column(doc::SEQ)?.as_primitive_opt::<Int64Type>().ok_or(FoldError::Column(doc::SEQ))?;
        let ids: &StringArray = column(doc::ID)?.as_string_opt().ok_or(FoldError::Column(doc::ID))?;
        let from = self.from.unwrap_or(Instant::MIN);
        let (upto, valid) = (self.upto.system_time, self.upto.valid_time.unwrap_or(Instant::MAX));
        let wanted = |row: usize| {
            positions.value(row) > above
                && (self.from.is_none() || system[row] > from.micros())
                && system[row] <= upto.micros()
                && (self.upto.valid_time.is_none() || ts[row] <= valid.micros())
                && self.id.as_deref().is_none_or(|id| ids.value(row) == id)
        };
        let wanted: BooleanArray = (0..changes.num_rows()).map(wanted).collect::<Vec<bool>>().into();
        if wanted.true_count() == changes.num_rows() {
            return Ok(changes.clone());
        }
        Ok(filter_record_batch(changes, &wanted)?)
    }
}

/// What is read so far, and the memory it takes.
struct Gathered<'a> {
    slice: &'a Slice,
    columns: &'a SchemaRef,
    memory: &'a MemoryReservation,
    batches: Vec<RecordBatch>,
}

impl Gathered<'_> {
    fn take(&mut self, changes: &RecordBatch, above: Seq) -> EngineResult<()> {
        let cut = self.slice.cut(changes, above)?;
        let wanted = conform::to_schema(&cut, self.columns).map_err(ScanError::from)?;
        if wanted.num_rows() > 0 {
            self.memory.try_grow(wanted.get_array_memory_size())?;
            self.batches.push(wanted);
        }
        Ok(())
    }
}

/// The changes of a slice with these columns of changes, in no order.
///
/// # Errors
/// What the store says, or that the statement's memory does not hold them.
pub(crate) async fn changes(
    reader: &Reader,
    source: Source<'_>,
    slice: &Slice,
    columns: &SchemaRef,
) -> EngineResult<Vec<RecordBatch>> {
    // What was dropped cannot be told, and must not be passed over in silence. What was erased before the collection began
    // anew is no part of it.
    let erased_at = source.collection.erased_at;
    let is_whole = |dropped_to: Instant| match slice.from {
        Some(from) => from >= dropped_to,
        None => erased_at.is_some_and(|erased_at| dropped_to <= erased_at),
    };
    if let Some(window) = source.manifest.window.filter(|window| !is_whole(window.system_time)) {
        return Err(ScanError::Outside(Outside { before: None, after: window.system_time }).into());
    }
    let mut gathered = Gathered { slice, columns, memory: source.memory, batches: Vec::new() };
    let names = columns.fields().iter().map(|field| field.name().clone()).collect();
    let equal = slice.id.clone().map(|id| (doc::ID.to_owned(), id));
    let wanted = Wanted { columns: Some(names), equal, ..Wanted::default() };
    let deltas = source.manifest.deltas.iter().filter(|delta| {
        slice.reaches((delta.system_time.min, delta.system_time.max), delta.ts.min)
            && slice.may_be_of(&delta.id.min, &delta.id.max)
    });
    for file in deltas {
        for batch in read(reader, &file.path, &wanted).await? {
            gathered.take(&batch, tidemark_model::position::BEFORE_ALL)?;
        }
    }
    let mark = source.manifest.mark;
    let of = (event::COLLECTION.to_owned(), source.collection.name.as_str().to_owned());
    let wanted = Wanted { equal: Some(of), ..Wanted::default() };
    let pending = source.view.pending_files();
    for file in pending.filter(|file| slice.reaches((file.system_time.min, file.system_time.max), file.ts.min)) {
        for batch in read(reader, &file.path, &wanted).await? {
            gathered.take(&derived(&batch, source)?, mark)?;
        }
    }
    for batch in &source.view.tail.batches {
        gathered.take(&derived(batch, source)?, mark)?;
    }
    Ok(gathered.batches)
}

async fn read(reader: &Reader, path: &str, wanted: &Wanted) -> Result<Vec<RecordBatch>, ScanError> {
    Ok(files::read(reader.catalog.store(), &Path::from(path), wanted).await?)
}

fn derived(events: &RecordBatch, source: Source<'_>) -> Result<RecordBatch, ScanError> {
    Ok(derive::changes(events, &source.collection.schema)?)
}
