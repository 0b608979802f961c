//! Sidecars: the keys and event ids of a commit, so that deduplication survives the log (storage.md, Idempotency).
//!
//! Parquet, sorted by `hash`; one row per id or key. Small sidecars are merged inside the commit of a later flush: when
//! there are [`SMALL_MAX`] of them, or when the oldest is an hour old. Those outside the window leave the manifest; what
//! they tell of producers, which are remembered for longer, goes into the sidecar of the commit that leaves them out.
//!
//! The columns are a persisted format, version 1: `hash` and `content` are big-endian 128-bit numbers; of an event id
//! `content` holds its 64-bit hash, of a key that of the body; `receipt` is the whole receipt and stands for keys only.
//! The row of a producer is that of a key whose receipt names the producer.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{
        Array, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use object_store::path::Path;
use tidemark_catalog::manifest::{Range, Sidecar};
use tidemark_fold::columns;
use tidemark_model::{Instant, Namespace};
use tidemark_storage::{
    Store, StoreError,
    files::{self, Content, FileError, FileKind, Wanted},
    paths,
};

use crate::{dedup, error::Error, flush::Flusher, receipt::Receipt, tail::Kept};

/// How many sidecars may be small before they are merged.
const SMALL_MAX: usize = 64;
/// A sidecar that spans an hour is not small, and a small one of that age is merged.
const MERGE_US: i64 = 3_600 * 1_000_000;
/// Nor is one with so many entries, and no more are merged at once: they are in memory then.
const MERGE_ROWS: u64 = 1_000_000;

/// One id or key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) hash: u128,
    pub(crate) content: u128,
    pub(crate) at: Instant,
    /// JSON of the receipt, of a key.
    pub(crate) receipt: Option<String>,
}

impl Entry {
    /// Whether it tells where a producer stands. Inside of texts JSON has no bare quotes.
    fn is_of_producer(&self) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.contains("\"producer\":{"))
    }

    /// Whether it need not be remembered any more.
    fn is_expired(&self, now: Instant) -> bool {
        if self.is_of_producer() { dedup::is_silent(self.at, now) } else { dedup::is_expired(self.at, now) }
    }
}

/// What a commit changes about sidecars.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The new one, if there is anything to remember.
    pub(crate) added: Option<Sidecar>,
    /// Paths of those that were merged into it.
    pub(crate) replaced: Vec<String>,
}

fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("hash", DataType::FixedSizeBinary(16), false),
            Field::new("content", DataType::FixedSizeBinary(16), false),
            Field::new("system_time", columns::timestamp(), false),
            Field::new("receipt", DataType::Utf8, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Writes the sidecar of a flush, with the small ones merged in if that is due.
pub(crate) async fn write(
    flusher: &Flusher,
    namespace: &Namespace,
    appends: &[Arc<Kept>],
    existing: &[Sidecar],
) -> Result<Written, Error> {
    let Some(now) = appends.last().map(|kept| kept.system_time) else { return Ok(Written::default()) };
    let mut entries: Vec<Entry> = appends.iter().flat_map(|kept| entries_of(kept)).collect();
    let mut replaced = Vec::new();
    for sidecar in to_merge(existing, now) {
        match read(flusher.catalog.store(), sidecar).await {
            Ok(old) => {
                entries.extend(old.into_iter().filter(|entry| !entry.is_expired(now)));
                replaced.push(sidecar.path.clone());
            }
            // It stays in the manifest as it is: a merge is not worth the flush.
            Err(error) => unreadable(flusher, sidecar, &error),
        }
    }
    entries.extend(carried(flusher, namespace, existing, now));
    let encoded = on_thread(move || {
        let entries = newest(entries);
        (!entries.is_empty()).then(|| (ends(&entries, now), encode(entries)))
    });
    let Some((ends, batch)) = encoded.await? else { return Ok(Written { added: None, replaced }) };
    let batch = batch.map_err(|error| Error::Rows("encoded", error))?;
    let path = paths::idempotency_file(namespace, ends.0, flusher.ids.ulid(flusher.clock.now()));
    let content = Content { schema: schema(), batches: vec![batch], metadata: Vec::new() };
    let written = files::write(flusher.catalog.store(), FileKind::Idempotency, path, content).await?;
    let added = Some(Sidecar {
        path: written.path.to_string(),
        rows: written.rows,
        bytes: written.bytes,
        sha256: written.sha256,
        system_time: Range { min: ends.0, max: ends.1 },
    });
    Ok(Written { added, replaced })
}

/// What sidecars that leave the manifest now tell of producers that were silent since.
fn carried(flusher: &Flusher, namespace: &Namespace, existing: &[Sidecar], now: Instant) -> Vec<Entry> {
    let leaving = existing.iter().map(|sidecar| sidecar.system_time.max).filter(|at| dedup::is_expired(*at, now));
    let Some(since) = leaving.max() else { return Vec::new() };
    let silent = flusher.producers.silent(namespace, since, now).into_iter();
    silent.filter_map(|(hash, stand)| entry_of((hash, stand.body), &stand.receipt)).collect()
}

/// Of each producer only where it stands last.
fn newest(entries: Vec<Entry>) -> Vec<Entry> {
    let (producers, mut others): (Vec<_>, Vec<_>) = entries.into_iter().partition(Entry::is_of_producer);
    let mut last: HashMap<u128, Entry> = HashMap::new();
    for entry in producers {
        match last.entry(entry.hash) {
            hash_map::Entry::Occupied(known) if known.get().at > entry.at => {}
            place => drop(place.insert_entry(entry)),
        }
    }
    others.extend(last.into_values());
    others
}

/// The instants a sidecar is about. What is carried over lies before them.
fn ends(entries: &[Entry], now: Instant) -> (Instant, Instant) {
    let mut within = entries.iter().map(|entry| entry.at).filter(|at| !dedup::is_expired(*at, now));
    let first = within.next().unwrap_or(now);
    within.fold((first, first), |(min, max), at| (min.min(at), max.max(at)))
}

/// Reads a sidecar.
async fn read(store: &Store, sidecar: &Sidecar) -> Result<Vec<Entry>, Error> {
    let batches = files::read(store, &Path::from(sidecar.path.as_str()), &Wanted::default()).await?;
    on_thread(move || batches.iter().flat_map(decode).collect()).await
}

/// Runs what takes CPU time for many entries where it holds nobody up.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_ended| Error::Internal("the task that works on a sidecar ended early".to_owned()))
}

/// Tells of a sidecar that cannot be read.
fn unreadable(flusher: &Flusher, sidecar: &Sidecar, error: &Error) {
    flusher.metrics.sidecar_unreadable();
    let error = error as &dyn std::error::Error;
    tracing::error!(error, file = sidecar.path, "a sidecar cannot be read: what it remembers may be stored twice");
}

/// Remembers what a sidecar holds, at start. One that is gone or damaged is passed over: no restart would bring it
/// back, and without it only the repetition of a request of its time can be stored twice.
pub(crate) async fn recall(
    flusher: &Flusher,
    namespace: &Namespace,
    sidecar: &Sidecar,
    now: Instant,
) -> Result<(), Error> {
    match read(flusher.catalog.store(), sidecar).await {
        Ok(entries) => remember(flusher, namespace, entries, now),
        Err(error @ Error::File(FileError::Parquet { .. } | FileError::Store(StoreError::NotFound { .. }))) => {
            unreadable(flusher, sidecar, &error)
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Which sidecars are merged now.
fn to_merge(existing: &[Sidecar], now: Instant) -> Vec<&Sidecar> {
    let span_us = |sidecar: &Sidecar| sidecar.system_time.max.micros() - sidecar.system_time.min.micros();
    let is_small = |sidecar: &&Sidecar| span_us(sidecar) < MERGE_US && sidecar.rows < MERGE_ROWS;
    let live = existing.iter().filter(|sidecar| !dedup::is_expired(sidecar.system_time.max, now));
    let small: Vec<&Sidecar> = live.filter(is_small).collect();
    let oldest = small.iter().map(|sidecar| now.micros() - sidecar.system_time.min.micros()).max().unwrap_or(0);
    let is_due = small.len() >= SMALL_MAX || (small.len() > 1 && oldest >= MERGE_US);
    if !is_due {
        return Vec::new();
    }
    let mut rows = 0;
    let fits = |sidecar: &&Sidecar| {
        let fits = rows < MERGE_ROWS;
        rows += sidecar.rows;
        fits
    };
    small.into_iter().take_while(fits).collect()
}

fn entries_of(kept: &Kept) -> impl Iterator<Item = Entry> + '_ {
    let at = kept.system_time;
    let id =
        move |entry: &crate::batch::IdEntry| Entry { hash: entry.id, content: entry.content.into(), at, receipt: None };
    let key = kept.key.as_ref().and_then(|(record, receipt)| entry_of((record.key, record.body), receipt));
    kept.entries.iter().map(id).chain(key)
}

fn entry_of((hash, content): (u128, u128), receipt: &Receipt) -> Option<Entry> {
    Some(Entry { hash, content, at: receipt.system_time, receipt: Some(serde_json::to_string(receipt).ok()?) })
}

fn encode(mut entries: Vec<Entry>) -> Result<RecordBatch, ArrowError> {
    entries.sort_unstable();
    let numbers = |of: fn(&Entry) -> u128| -> Result<FixedSizeBinaryArray, ArrowError> {
        let mut builder = FixedSizeBinaryBuilder::with_capacity(entries.len(), 16);
        entries.iter().try_for_each(|entry| builder.append_value(of(entry).to_be_bytes()))?;
        Ok(builder.finish())
    };
    let times: TimestampMicrosecondArray = entries.iter().map(|entry| Some(entry.at.micros())).collect();
    let receipts: StringArray = entries.iter().map(|entry| entry.receipt.as_deref()).collect();
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(numbers(|entry| entry.hash)?),
            Arc::new(numbers(|entry| entry.content)?),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(receipts),
        ],
    )
}

fn decode(batch: &RecordBatch) -> Vec<Entry> {
    let columns = (
        batch.column(0).as_fixed_size_binary_opt(),
        batch.column(1).as_fixed_size_binary_opt(),
        batch.column(2).as_primitive_opt::<TimestampMicrosecondType>(),
        batch.column(3).as_string_opt::<i32>(),
    );
    let (Some(hashes), Some(contents), Some(times), Some(receipts)) = columns else {
        tracing::error!("a sidecar has other columns than this release writes; its entries are not remembered");
        return Vec::new();
    };
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u128::from_be_bytes);
    let entry = |row: usize| Entry {
        hash: number(hashes.value(row)),
        content: number(contents.value(row)),
        at: Instant::from_micros(times.value(row)),
        receipt: receipts.is_valid(row).then(|| receipts.value(row).to_owned()),
    };
    (0..batch.num_rows()).map(entry).collect()
}

fn remember(flusher: &Flusher, namespace: &Namespace, entries: Vec<Entry>, now: Instant) {
    for entry in entries.into_iter().filter(|entry| !entry.is_expired(now)) {
        match &entry.receipt {
            None => {
                let content = u64::try_from(entry.content & u128::from(u64::MAX)).unwrap_or(0);
                let id = crate::batch::IdEntry { id: entry.hash, content };
                flusher.seen_ids.remember(namespace, [id], entry.at);
            }
            Some(receipt) => match serde_json::from_str::<Receipt>(receipt) {
                Ok(receipt) if receipt.producer.is_some() => {
                    flusher.producers.remember(namespace, (entry.hash, entry.content), receipt);
                }
                Ok(receipt) => flusher.seen_keys.remember(namespace, (entry.hash, entry.content), receipt),
                Err(error) => tracing::error!(%error, %namespace, "a receipt in a sidecar cannot be read"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(min: i64, max: i64) -> Sidecar {
        let at = Instant::from_micros;
        Sidecar {
            path: format!("{min}-{max}"),
            rows: 1,
            bytes: 1,
            sha256: String::new(),
            system_time: Range { min: at(min), max: at(max) },
        }
    }

    #[test]
    fn entries_round_trip_sorted() {
        let at = Instant::from_micros(7);
        let key = Entry { hash: u128::MAX, content: 1 << 100, at, receipt: Some("{}".to_owned()) };
        let id = Entry { hash: 3, content: u64::MAX.into(), at, receipt: None };
        let batch = encode(vec![key.clone(), id.clone()]).expect("encodes");
        assert_eq!(decode(&batch), [id, key]);
    }

    #[test]
    fn of_a_producer_the_last_is_kept() {
        let at = Instant::from_micros;
        let of = |hash, at, receipt: Option<&str>| Entry { hash, content: 0, at, receipt: receipt.map(str::to_owned) };
        let producer = Some(r#"{"producer":{"id":"p"}}"#);
        let (early, late) = (of(1, at(5), producer), of(1, at(9), producer));
        let others = [of(2, at(1), None), of(2, at(1), None), of(3, at(2), Some(r#"{"message":"\"producer\":{"}"#))];
        let mut all = vec![late.clone(), early];
        all.extend(others.clone());
        let mut kept = newest(all);
        kept.sort_unstable();
        assert_eq!(kept, [late.clone(), others[0].clone(), others[1].clone(), others[2].clone()]);
        let now = at(dedup::WINDOW_US + 7);
        assert!(!late.is_expired(now) && others[2].is_expired(now));
        assert_eq!(ends(&kept, now), (at(9), at(9)), "what is carried over does not count");
        assert_eq!(ends(&[], now), (now, now));
    }

    #[test]
    fn small_sidecars_are_merged_when_many_or_old() {
        let hour = MERGE_US;
        let few: Vec<_> = (0..3).map(|n| sidecar(n, n + 1)).collect();
        let many: Vec<_> = (0..64).map(|n| sidecar(n, n + 1)).collect();
        let at = Instant::from_micros;
        assert_eq!(to_merge(&few, at(100)).len(), 0);
        assert_eq!(to_merge(&few, at(hour)).len(), 3);
        assert_eq!(to_merge(&many, at(100)).len(), 64);
        assert_eq!(to_merge(&[sidecar(0, hour), sidecar(hour, hour + 1)], at(3 * hour)).len(), 0);
        assert_eq!(to_merge(&few, at(dedup::WINDOW_US + hour)).len(), 0);
        let large = |rows| (0..64).map(|n| Sidecar { rows, ..sidecar(n, n + 1) }).collect::<Vec<_>>();
        assert_eq!(to_merge(&large(MERGE_ROWS / 10), at(100)).len(), 10);
        assert_eq!(to_merge(&large(MERGE_ROWS), at(100)).len(), 0);
    }
}
