//! Winners against the base: rows to add, rows of the base to hide.
//!
//! Cached by how far it reaches. The newest one is extended by the changes that came since: an id that has a winner
//! already keeps hiding what it hides, so only new ids are looked up in the base again. [`one`]: of one document alone.

mod one;

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::cmp},
    datatypes::SchemaRef,
};
use datafusion::{
    common::internal_err,
    datasource::{memory::MemorySourceConfig, source::DataSourceExec},
    error::DataFusionError,
    execution::memory_pool::MemoryReservation,
    physical_plan::ExecutionPlan,
};
use object_store::path::Path;
use tidemark_catalog::{Base, Collection, CollectionManifest, View, manifest::BaseFile};
use tidemark_fold::{
    FoldError,
    columns::{self, doc},
    conform,
    rest::{self, Held},
    shadow,
    shadow::{BaseKeys, Greatest, Shadows},
    winner::{self, Counts},
};
use tidemark_model::{Instant, Seq, position::BEFORE_ALL};
use tidemark_storage::files::{self, Wanted};

use super::{
    At, Reader, ScanError,
    cache::{self, Keys, OverKey, OverlayKey, bytes_of},
    changes::{self, Source},
    leaf::{Leaf, Said},
    provider,
    reach::{self, Reach},
    width::Width,
};
use crate::plan::shape;

/// Rows of one batch in memory scans.
const ROWS_MAX: usize = 8192;

/// What counts besides the base.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// The winners that stand, sorted by id, deletes included.
    pub(crate) winners: RecordBatch,
    /// The columns of their documents.
    width: Width,
    /// Their documents, in these columns of the table as plans scan it.
    rows: Vec<RecordBatch>,
    /// Whether it holds all there is of the documents that are asked for, so that the base is not read.
    pub(crate) replaces: bool,
    /// Bytes of winners and documents; views do not tell of the text they stand for.
    bytes: u32,
    /// Per part of the base: ascending row numbers that are hidden.
    pub(crate) hidden: Vec<Vec<u64>>,
}

impl Overlay {
    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> u32 {
        let hidden: usize = self.hidden.iter().map(|rows| rows.len() * size_of::<u64>()).sum();
        self.bytes.saturating_add(u32::try_from(hidden).unwrap_or(u32::MAX))
    }

    /// How much of it there is.
    pub(crate) fn says(&self) -> [Said; 2] {
        let rows: usize = self.rows.iter().map(RecordBatch::num_rows).sum();
        [("overlay_rows", rows.to_string()), ("overlay_bytes", self.bytes().to_string())]
    }

    /// A scan of its documents; none for no rows. It says how much there is where no base does.
    pub(crate) fn scan(
        &self,
        wanted: &provider::Wanted,
        is_alone: bool,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let Some(first) = self.rows.first() else { return Ok(None) };
        let Some(projection) = self.width.places(wanted.projection.as_ref()) else {
            return internal_err!("an overlay of {:?} was asked for {:?}", self.width, wanted.projection);
        };
        let rows = MemorySourceConfig::try_new(std::slice::from_ref(&self.rows), first.schema(), projection)?;
        let says =
            if is_alone { [("base", "none".to_owned())].into_iter().chain(self.says()).collect() } else { Vec::new() };
        Ok(Some(DataSourceExec::from_data_source(Leaf::new(rows, says))))
    }
}

/// What a question asks of an overlay.
#[derive(Debug)]
pub(crate) struct Asks<'a> {
    /// As of when.
    pub(crate) at: At,
    /// Which columns of documents.
    pub(crate) width: Width,
    /// Of this document only: others may be left out.
    pub(crate) id: Option<&'a str>,
    /// What may be held while it is built.
    pub(crate) memory: &'a MemoryReservation,
}

/// The overlay of a question over its base, with at least the columns that are wanted.
pub(crate) async fn of(
    reader: &Reader,
    view: &View,
    (collection, manifest): &(Arc<Collection>, Arc<CollectionManifest>),
    asks: &Asks<'_>,
) -> Result<Arc<Overlay>, ScanError> {
    let Asks { at, memory, .. } = *asks;
    let reach = reach::reach(view, manifest, at.system_time);
    let base = reach::base(manifest, at)?;
    let of_width = |width| {
        let source = Source { view, collection, manifest, width, id: None, memory };
        Building { reader, source, base, at }
    };
    let all = of_width(&Width::All);
    let full = OverlayKey { over: all.over(), reach };
    if let Some(known) = reader.caches.overlays.get(&full).await {
        reader.metrics.cache_hit("overlay");
        return Ok(known);
    }
    if let Some(id) = asks.id {
        let narrow = of_width(&asks.width);
        return Building { source: Source { id: asks.id, ..narrow.source }, ..narrow }.of_one(id).await;
    }
    let is_present = at.valid_time.is_none() && reach == reach::reach(view, manifest, Instant::MAX);
    let (building, key) = if is_present {
        (all, full)
    } else {
        let narrow = of_width(&asks.width);
        (narrow, OverlayKey { over: narrow.over(), reach })
    };
    if let Some(known) = reader.caches.overlays.get(&key).await {
        reader.metrics.cache_hit("overlay");
        return Ok(known);
    }
    cache::get(&reader.caches.overlays, key.clone(), async { building.build(&key).await }).await
}

#[derive(Debug, Clone, Copy)]
struct Building<'a> {
    reader: &'a Reader,
    source: Source<'a>,
    base: Option<&'a Base>,
    at: At,
}

impl Building<'_> {
    fn over(&self) -> OverKey {
        OverKey {
            directory: self.source.directory(),
            base: (self.mark(), self.base.map_or(0, |base| base.planned_on), self.base.and_then(|base| base.bound)),
            valid_time: self.at.valid_time,
            schema: self.source.collection.schema.id,
            width: self.source.width.clone(),
        }
    }

    fn mark(&self) -> Seq {
        self.base.map_or(BEFORE_ALL, |base| base.mark)
    }

    async fn build(&self, key: &OverlayKey) -> Result<Arc<Overlay>, ScanError> {
        self.reader.metrics.cache_missed("overlay");
        let Reach::Position(reached) = key.reach else { return self.anew().await };
        let overlay = match self.reader.caches.newest.get(&key.over).await {
            Some((known, newest)) if known <= reached => self.extended(known, &newest).await?,
            _ => self.anew().await?,
        };
        let farther = self.reader.caches.newest.get(&key.over).await.is_none_or(|(known, _)| known < reached);
        if farther {
            self.reader.caches.newest.insert(key.over.clone(), (reached, Arc::clone(&overlay))).await;
        }
        Ok(overlay)
    }

    async fn anew(&self) -> Result<Arc<Overlay>, ScanError> {
        let held = Held { mark: self.mark(), bound: self.base.and_then(|base| base.bound) };
        let Shadows { overlay, hidden } = self.resolved(self.winners_beyond(held).await?).await?;
        self.finish(overlay, hidden)
    }

    /// The winners among the changes beyond what is held.
    async fn winners_beyond(&self, held: Held) -> Result<RecordBatch, ScanError> {
        let mut changes = changes::after(self.reader, self.source, held, self.at).await?;
        let At { system_time, valid_time } = self.at;
        let mut counts = Counts { after: held.mark, system_time, valid_time };
        if changes.is_empty() {
            return Ok(RecordBatch::new_empty(self.source.changes()));
        }
        if held.bound.is_some() {
            counts.after = BEFORE_ALL;
            changes = changes.iter().map(|batch| rest::rest(batch, held, &counts)).collect::<Result<_, _>>()?;
        }
        let winners = winner::winners(&changes, &counts)?;
        self.source.hold(std::slice::from_ref(&winners))?;
        Ok(winners)
    }

    /// Winners against the base; without one all stand.
    async fn resolved(&self, winners: RecordBatch) -> Result<Shadows, ScanError> {
        let Some(base) = self.base else { return Ok(Shadows { overlay: winners, hidden: Vec::new() }) };
        let greatest = greatest(base);
        let decides = if shadow::are_above(&winners, &greatest)? { Keys::Alone } else { Keys::WithOrder };
        let mut keys = Vec::with_capacity(base.parts.len() + base.tombstones.len());
        for file in base.parts.iter().chain(&base.tombstones) {
            keys.push(if may_hold(file, &winners)? {
                self.keys(file, decides).await?.as_ref().clone()
            } else {
                BaseKeys { batches: Vec::new() }
            });
        }
        let mut shadows = shadow::resolve(&winners, Some(&greatest), &keys)?;
        shadows.hidden.truncate(base.parts.len());
        Ok(shadows)
    }

    async fn keys(&self, file: &BaseFile, decides: Keys) -> Result<Arc<BaseKeys>, ScanError> {
        let known = &self.reader.caches.keys;
        if let Some(with_order) = known.get(&(file.path.clone(), Keys::WithOrder)).await {
            return Ok(with_order);
        }
        let build = async {
            self.reader.metrics.cache_missed("keys");
            let columns = decides.columns().iter().map(|name| (*name).to_owned()).collect();
            let wanted = Wanted { columns: Some(columns), ..Wanted::default() };
            let path = Path::from(file.path.as_str());
            let batches = files::read(self.reader.catalog.store(), &path, &wanted).await?;
            Ok(Arc::new(BaseKeys { batches }))
        };
        cache::get(known, (file.path.clone(), decides), build).await
    }

    /// The overlay that reaches farther than one that is known.
    async fn extended(&self, known: Seq, newest: &Arc<Overlay>) -> Result<Arc<Overlay>, ScanError> {
        let fresh = self.winners_beyond(Held { mark: known.max(self.mark()), bound: None }).await?;
        if fresh.num_rows() == 0 {
            return Ok(Arc::clone(newest));
        }
        self.reader.metrics.overlay_extended();
        let is_known = known_ids(&fresh, &newest.winners)?;
        let new_ids = filter_record_batch(&fresh, &arrow::compute::not(&is_known)?)?;
        let Shadows { overlay: standing, hidden } = self.resolved(new_ids).await?;
        let updates = filter_record_batch(&fresh, &is_known)?;
        let winners = winner::winners(&[newest.winners.clone(), updates, standing], &Counts::ALL)?;
        let hidden = newest.hidden.iter().zip(hidden).map(|(old, new)| merged(old, new)).collect();
        self.finish(winners, hidden)
    }

    fn finish(&self, winners: RecordBatch, hidden: Vec<Vec<u64>>) -> Result<Arc<Overlay>, ScanError> {
        Ok(Arc::new(self.overlay(winners, hidden)?))
    }

    fn overlay(&self, winners: RecordBatch, hidden: Vec<Vec<u64>>) -> Result<Overlay, ScanError> {
        let width = self.source.width.clone();
        let documents = documents(&winners, &width.table(&self.source.collection.schema))?;
        let rows = scanned(&documents)?;
        let bytes = [std::slice::from_ref(&winners), std::slice::from_ref(&documents), &rows].map(bytes_of);
        let bytes = bytes.into_iter().fold(0, u32::saturating_add);
        Ok(Overlay { winners, width, rows, replaces: false, bytes, hidden })
    }
}

/// The greatest order that was ever folded into a base.
fn greatest(base: &Base) -> Greatest {
    Greatest { ts: base.max_ts, bookmark: base.max_bookmark.clone() }
}

fn ids(batch: &RecordBatch) -> Result<&StringArray, FoldError> {
    batch.column_by_name(doc::ID).and_then(|ids| ids.as_string_opt::<i32>()).ok_or(FoldError::Column(doc::ID))
}

/// Whether the ids of sorted winners and those of a file overlap.
fn may_hold(file: &BaseFile, winners: &RecordBatch) -> Result<bool, FoldError> {
    let ids = ids(winners)?;
    let Some(last) = ids.len().checked_sub(1) else { return Ok(false) };
    Ok(ids.value(0) <= file.id.max.as_str() && file.id.min.as_str() <= ids.value(last))
}

/// Which of the fresh winners have an id that the known winners have too. Both are sorted.
fn known_ids(fresh: &RecordBatch, known: &RecordBatch) -> Result<BooleanArray, FoldError> {
    let (fresh, known) = (ids(fresh)?, ids(known)?);
    let mut from = 0;
    let found = (0..fresh.len()).map(|row| {
        let wanted = fresh.value(row);
        from += lower_bound(known, from, wanted);
        from < known.len() && known.value(from) == wanted
    });
    Ok(found.collect::<Vec<bool>>().into())
}

/// How many ids from here on lie below the wanted one.
fn lower_bound(ids: &StringArray, from: usize, wanted: &str) -> usize {
    let (mut low, mut high) = (from, ids.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if ids.value(middle) < wanted { low = middle + 1 } else { high = middle }
    }
    low - from
}

/// Two ascending lists as one.
fn merged(old: &[u64], mut new: Vec<u64>) -> Vec<u64> {
    new.extend_from_slice(old);
    new.sort_unstable();
    new.dedup();
    new
}

/// The winners that are deletes, in the columns of tombstones.
pub(crate) fn deletes(winners: &RecordBatch) -> Result<RecordBatch, ScanError> {
    let ops = winners.column_by_name(doc::OP).ok_or(FoldError::Column(doc::OP))?;
    let dies = cmp::eq(ops, &StringArray::new_scalar(tidemark_model::Op::Delete.as_str()))?;
    Ok(conform::to_schema(&filter_record_batch(winners, &dies)?, &columns::tombstones_schema())?)
}

/// The winners that are documents, in the columns of the table.
fn documents(winners: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ScanError> {
    let ops = winners.column_by_name(doc::OP).ok_or(FoldError::Column(doc::OP))?;
    let lives = cmp::neq(ops, &StringArray::new_scalar(tidemark_model::Op::Delete.as_str()))?;
    Ok(conform::to_schema(&filter_record_batch(winners, &lives)?, columns)?)
}

/// Documents as plans scan them, batch by batch. The views stand on the documents' own text.
fn scanned(documents: &RecordBatch) -> Result<Vec<RecordBatch>, ScanError> {
    let viewed = shape::stamp(documents, &shape::viewed(&documents.schema()))?;
    let starts = (0..viewed.num_rows()).step_by(ROWS_MAX);
    Ok(starts.map(|start| viewed.slice(start, ROWS_MAX.min(viewed.num_rows() - start))).collect())
}
