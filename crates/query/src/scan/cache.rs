//! What is kept between questions, within a budget of bytes.
//!
//! Everything here is a pure function of immutable files or of positions, so nothing has to be invalidated; what is
//! not asked for falls out.

use std::{hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt64Array},
    compute::take_record_batch,
    error::ArrowError,
};
use moka::{future::Cache, sync};
use tidemark_fold::{columns::doc, shadow::BaseKeys};
use tidemark_model::{Instant, Seq};

use super::{ScanError, footer::Told, overlay::Overlay, reach::Reach, width::Width};

/// What an entry takes besides its value: its key with a path in it, and the cache's own books. Without it nothing
/// would bound the number of values that hold no rows.
const ENTRY_BYTES: u32 = 512;
/// What a column of a batch takes besides its rows: the array, and the heads of its buffers.
const COLUMN_BYTES: usize = 384;
/// How many times the bytes of its rows a batch may hold on to.
const HANGS_ON_MAX: usize = 4;

/// A collection for ever: the namespace and the directory, which a re-created collection does not share.
pub(crate) type Directory = Arc<str>;

/// Changes of one file under one schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    /// The file.
    pub(crate) path: String,
    /// The collection.
    pub(crate) directory: Directory,
    /// The schema its documents were derived under.
    pub(crate) schema: u32,
    /// The columns that were read.
    pub(crate) width: Width,
}

/// An overlay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OverlayKey {
    /// Over what.
    pub(crate) over: OverKey,
    /// How far it reaches.
    pub(crate) reach: Reach,
}

/// What overlays of one kind lie over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OverKey {
    /// The collection.
    pub(crate) directory: Directory,
    /// The mark of the base, the version it was planned on, its bound; the empty base is `(-1, 0, None)`.
    pub(crate) base: (Seq, u64, Option<Instant>),
    /// The bound on source time.
    pub(crate) valid_time: Option<Instant>,
    /// The schema of its columns.
    pub(crate) schema: u32,
    /// The columns of its documents.
    pub(crate) width: Width,
}

/// What is read of the entries of a base's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Keys {
    /// Their ids.
    Alone,
    /// Their ids and their order.
    WithOrder,
}

impl Keys {
    /// The columns to read.
    pub(crate) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Alone => &[doc::ID],
            Self::WithOrder => &[doc::ID, doc::TS, doc::SYSTEM_TIME, doc::SEQ, doc::BOOKMARK],
        }
    }
}

/// Changes derived from the tail: every one of the collection in (`after`, `last`].
#[derive(Debug, Clone)]
pub(crate) struct Derived {
    /// Positions above this one.
    pub(crate) after: Seq,
    /// Up to this one.
    pub(crate) last: Seq,
    /// The changes, in order of position.
    pub(crate) batches: Vec<RecordBatch>,
}

/// All caches.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Changes of deltas and events files.
    pub(crate) files: Cache<FileKey, Arc<Vec<RecordBatch>>>,
    /// Changes of the live tail, per collection and schema.
    pub(crate) tails: Cache<(Directory, u32), Arc<Derived>>,
    /// Key columns of base files.
    pub(crate) keys: Cache<(String, Keys), Arc<BaseKeys>>,
    /// Overlays.
    pub(crate) overlays: Cache<OverlayKey, Arc<Overlay>>,
    /// The overlay that reaches farthest by position, to be extended.
    pub(crate) newest: Cache<OverKey, (Seq, Arc<Overlay>)>,
    /// What the footers of base files tell of their columns, per schema.
    pub(crate) told: sync::Cache<(String, u32), Told>,
}

impl Caches {
    /// Shares a budget of bytes out: half to changes, a quarter each to keys and overlays; of the latter's a part to
    /// what footers told.
    pub(crate) fn within(bytes: u64) -> Self {
        let (quarter, eighth) = (bytes / 4, bytes / 8);
        let told = bytes / 32;
        Self {
            files: weighed(quarter, |_, batches: &Arc<Vec<RecordBatch>>| bytes_of(batches)),
            tails: weighed(quarter, |_, tail: &Arc<Derived>| bytes_of(&tail.batches)),
            keys: weighed(quarter, |_, keys: &Arc<BaseKeys>| bytes_of(&keys.batches)),
            overlays: weighed(eighth - told, |_, overlay: &Arc<Overlay>| overlay.bytes()),
            newest: weighed(eighth, |_, (_, overlay): &(Seq, Arc<Overlay>)| overlay.bytes()),
            told: sync::Cache::builder()
                .max_capacity(told)
                .weigher(|_, told: &Told| entry(u32::try_from(size_of_val(told.as_slice())).unwrap_or(u32::MAX)))
                .build(),
        }
    }

    /// About how many bytes each holds now.
    pub(crate) fn held(&self) -> [(&'static str, u64); 6] {
        [
            ("files", self.files.weighted_size()),
            ("tails", self.tails.weighted_size()),
            ("keys", self.keys.weighted_size()),
            ("overlays", self.overlays.weighted_size()),
            ("newest", self.newest.weighted_size()),
            ("footers", self.told.weighted_size()),
        ]
    }
}

/// The value of a key, built once by whoever comes first; an error is told to all who waited and not kept.
pub(crate) async fn get<K, V, F>(cache: &Cache<K, V>, key: K, build: F) -> Result<V, ScanError>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: Future<Output = Result<V, ScanError>>,
{
    cache.try_get_with(key, build).await.map_err(ScanError::Shared)
}

/// Bytes that batches take. Slices of one batch share its buffers, so each counts its own rows only.
pub(crate) fn bytes_of(batches: &[RecordBatch]) -> u32 {
    let of = |column: &ArrayRef| {
        let rows = column.to_data().get_slice_memory_size();
        COLUMN_BYTES + rows.unwrap_or_else(|_unsized| column.get_array_memory_size())
    };
    let bytes: usize = batches.iter().flat_map(RecordBatch::columns).map(of).sum();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The batch, copied where its rows hang on far more than they take: on the buffers of the whole request that brought them,
/// say, which nobody counts and the cache would keep.
pub(crate) fn alone(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let taken = bytes_of(std::slice::from_ref(&batch)) as usize;
    if batch.get_array_memory_size() <= HANGS_ON_MAX * taken {
        return Ok(batch);
    }
    let rows = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    take_record_batch(&batch, &rows)
}

/// What an entry weighs with a value of so many bytes.
const fn entry(value: u32) -> u32 {
    value.saturating_add(ENTRY_BYTES)
}

fn weighed<K, V>(bytes: u64, weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(bytes).weigher(move |key, value| entry(weigh(key, value))).build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn slices_weigh_what_their_rows_take() {
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..8000).map(|n| format!("{n:0100}"))));
        let whole = RecordBatch::try_from_iter([("text", text)]).expect("a batch");
        let slices: Vec<RecordBatch> = (0..8).map(|nth| whole.slice(nth * 1000, 1000)).collect();
        let (whole, slices) = (bytes_of(&[whole]), bytes_of(&slices));
        assert!(whole >= 800_000);
        assert!(slices >= whole && slices < whole + whole / 100, "{slices} of {whole}");
    }

    #[test]
    fn a_row_does_not_keep_the_request_that_brought_it() {
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..8000).map(|n| format!("{n:0100}"))));
        let whole = RecordBatch::try_from_iter([("text", text)]).expect("a batch");
        let row = alone(whole.slice(4000, 1)).expect("copied");
        assert_eq!(row, whole.slice(4000, 1));
        assert!(row.get_array_memory_size() < 4096, "{} bytes", row.get_array_memory_size());
        let shared = alone(whole.clone()).expect("kept");
        assert!(Arc::ptr_eq(shared.column(0), whole.column(0)), "nothing is won by a copy");
    }

    #[tokio::test]
    async fn values_without_rows_are_bounded_too() {
        let caches = Caches::within(4 << 20);
        let nothing = Arc::new(Vec::new());
        for nth in 0..20_000 {
            let key = FileKey { path: nth.to_string(), directory: "d".into(), schema: 0, width: Width::All };
            caches.files.insert(key, Arc::clone(&nothing)).await;
        }
        caches.files.run_pending_tasks().await;
        assert!(caches.files.entry_count() <= (1 << 20) / u64::from(ENTRY_BYTES), "{}", caches.files.entry_count());
        let (name, bytes) = caches.held()[0];
        assert!(name == "files" && 0 < bytes && bytes <= 1 << 20, "{bytes} bytes of {name}");
    }
}
