//! Appends → one Parquet file, sorted by (collection, type, ts), arrival deciding ties.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::{interleave_record_batch, max, min},
    datatypes::TimestampMicrosecondType,
    error::ArrowError,
};
use tidemark_catalog::manifest::{CollectionRows, EventsFile, Range};
use tidemark_fold::columns::{event, events_schema};
use tidemark_model::{Instant, Mark, Namespace, Positions};
use tidemark_storage::{
    files::{self, Content, FileKind},
    paths,
};

use super::Flusher;
use crate::{
    columns::EventColumns,
    error::Error,
    tail::{Kept, Prefix},
};

/// Rows of one batch that goes into the writer: text columns have i32 offsets, records are at most a few MiB.
const BATCH_ROWS: usize = 16 * 1024;

/// Writes the rows of some appends; none if there are no rows.
pub(super) async fn events_file(
    flusher: &Flusher,
    namespace: &Namespace,
    prefix: &Prefix,
    planned_on: u64,
) -> Result<Option<EventsFile>, Error> {
    if !prefix.is_whole() {
        flusher.metrics.broken_invariant("H2");
        return Err(Error::Internal(format!("the tail of {namespace} has other rows than its appends")));
    }
    let Prefix { appends, rows } = prefix;
    let batches = rows.clone();
    let (Some(first), Some(last)) = (appends.first(), appends.last()) else { return Ok(None) };
    let Some(ts) = ts_range(&batches) else { return Ok(None) };
    let sorted = tokio::task::spawn_blocking(move || sorted(&batches)).await;
    let batches = sorted
        .map_err(|_ended| Error::Internal("the task that sorts events ended early".to_owned()))?
        .map_err(|error| Error::Rows("sorted", error))?;
    let path = paths::events_file(namespace, first.system_time, flusher.ids.ulid(flusher.clock.now()));
    let (positions, system_time) = (positions(appends), Range { min: first.system_time, max: last.system_time });
    let metadata = footer(namespace, system_time, &positions);
    let content = Content { schema: events_schema(), batches, metadata };
    let written = files::write(flusher.catalog.store(), FileKind::Events, path, content).await?;
    Ok(Some(EventsFile {
        path: written.path.to_string(),
        planned_on,
        rows: written.rows,
        bytes: written.bytes,
        sha256: written.sha256,
        positions,
        system_time,
        ts,
        collections: collections(appends),
    }))
}

/// What the footer of an events file tells, so that a lost manifest can be rebuilt.
pub(crate) fn footer(
    namespace: &Namespace,
    system_time: Range<Instant>,
    positions: &[Positions],
) -> Vec<(String, String)> {
    vec![
        ("namespace".to_owned(), namespace.to_string()),
        ("system_time_min".to_owned(), system_time.min.micros().to_string()),
        ("system_time_max".to_owned(), system_time.max.micros().to_string()),
        ("positions".to_owned(), serde_json::to_string(positions).unwrap_or_default()),
    ]
}

/// Up to where these appends reach.
pub(super) fn mark(appends: &[Arc<Kept>]) -> Mark {
    let mut mark = Mark::default();
    appends.iter().flat_map(|kept| &kept.positions).for_each(|run| mark.raise(run.shard, run.last));
    mark
}

/// One run per shard: a prefix of the appends has no gaps in any shard.
fn positions(appends: &[Arc<Kept>]) -> Vec<Positions> {
    let mut runs: Vec<Positions> = Vec::new();
    for run in appends.iter().flat_map(|kept| &kept.positions) {
        match runs.iter_mut().find(|known| known.shard == run.shard) {
            Some(known) => known.last = run.last,
            None => runs.push(*run),
        }
    }
    runs.sort_unstable();
    runs
}

fn collections(appends: &[Arc<Kept>]) -> Vec<CollectionRows> {
    let mut known: HashMap<_, CollectionRows> = HashMap::new();
    for kept in appends {
        for (group, schema_id) in &kept.groups {
            let Some(name) = &group.collection else { continue };
            let Some(run) = crate::tail::positions_of(&kept.positions, group) else { continue };
            let rows = known.entry(name.clone()).or_insert_with(|| CollectionRows {
                collection: name.clone(),
                rows: 0,
                seq: Range { min: run.first, max: run.last },
                schema_id: 0,
            });
            rows.rows += run.count();
            rows.seq.max = run.last;
            rows.schema_id = *schema_id;
        }
    }
    let mut collections: Vec<_> = known.into_values().collect();
    collections.sort_by(|a, b| a.collection.cmp(&b.collection));
    collections
}

fn ts_range(batches: &[RecordBatch]) -> Option<Range<Instant>> {
    let column = |batch: &RecordBatch| {
        let times = batch.column_by_name(event::TS)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some((min(times)?, max(times)?))
    };
    let ends: Vec<(i64, i64)> = batches.iter().filter_map(column).collect();
    let least = ends.iter().map(|(min, _)| *min).min()?;
    let greatest = ends.iter().map(|(_, max)| *max).max()?;
    Some(Range { min: Instant::from_micros(least), max: Instant::from_micros(greatest) })
}

/// Sorts numbers instead of text: there are few pairs of collection and type, so each gets its rank first.
fn sorted(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut pairs: HashMap<(Option<&str>, &str), u32> = HashMap::new();
    let mut keys: Vec<(u32, i64, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (number, batch) in batches.iter().enumerate() {
        let columns = EventColumns::of(batch);
        let mut last = None;
        for row in 0..batch.num_rows() {
            let pair = (columns.collection(row), columns.event_type(row));
            let pair_number = match last {
                Some((known, number)) if known == pair => number,
                _ => {
                    let next = small(pairs.len());
                    *pairs.entry(pair).or_insert(next)
                }
            };
            last = Some((pair, pair_number));
            keys.push((pair_number, columns.ts(row).unwrap_or_default(), small(number), small(row)));
        }
    }
    let ranks = ranks(&pairs);
    keys.iter_mut().for_each(|key| key.0 = ranks[key.0 as usize]);
    keys.sort_unstable();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let chunk = |keys: &[(u32, i64, u32, u32)]| {
        let indices: Vec<(usize, usize)> = keys.iter().map(|key| (key.2 as usize, key.3 as usize)).collect();
        interleave_record_batch(&batches, &indices)
    };
    keys.chunks(BATCH_ROWS).map(chunk).collect()
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The rank of every pair, by its number.
fn ranks(pairs: &HashMap<(Option<&str>, &str), u32>) -> Vec<u32> {
    let mut ordered: Vec<_> = pairs.iter().collect();
    ordered.sort_unstable();
    let mut ranks = vec![0; pairs.len()];
    ordered.iter().enumerate().for_each(|(rank, (_, number))| ranks[**number as usize] = small(rank));
    ranks
}
