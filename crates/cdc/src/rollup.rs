//! Roll-up: many small deltas become few, each with a narrow range of source times; every change is kept.
//!
//! Only deltas that lie between the same two states are rolled into each other: a question that starts from the first of
//! these reads them together anyway, and one that starts from the second none of them.

mod pick;

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{concat_batches, sort_to_indices, take_record_batch},
};
use tidemark_catalog::{CollectionManifest, manifest::DeltaFile};
use tidemark_fold::{
    FoldError,
    columns::{changes_schema, doc},
    conform::to_schema,
    sort,
};
use tidemark_storage::files::Wanted;

use crate::{
    Error, delta,
    job::{Job, compute},
    metrics::Step,
    ranges::{BATCH_ROWS, Ranges},
    room::More,
};

/// Paths that are kept of bulky deltas.
const BULKY_MAX: usize = 10_000;

/// Deltas that were found to take too much memory to be rolled up, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Bulky(Mutex<HashSet<String>>);

impl Bulky {
    fn holds(&self, delta: &DeltaFile) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&delta.path)
    }

    fn note(&self, delta: &DeltaFile) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Most of them are gone by then; what is not is found again.
        if paths.len() >= BULKY_MAX {
            paths.clear();
        }
        paths.insert(delta.path.clone());
    }
}

/// Deltas that were read for a roll-up.
struct Run {
    numbers: Vec<u64>,
    changes: Vec<RecordBatch>,
}

/// Rolls the next run of deltas that is due.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    roll(job, pick::Pace::of(&job.tools.config)).await
}

/// Rolls the next run of small deltas, due or not.
pub(crate) async fn now(job: &Job<'_>) -> Result<More, Error> {
    roll(job, pick::Pace { files: 2, ..pick::Pace::of(&job.tools.config) }).await
}

async fn roll(job: &Job<'_>, pace: pick::Pace) -> Result<More, Error> {
    let is_bulky = |delta: &DeltaFile| job.tools.bulky.holds(delta);
    let Some(run) = pick::due(&job.manifest, &pace, is_bulky) else { return Ok(More::No) };
    let Some(run) = read(job, &run).await? else { return Ok(More::Yes) };
    let rolled = write(job, run.changes, pace.rows).await?;
    let mut next = CollectionManifest::clone(&job.manifest);
    next.deltas.retain(|delta| !run.numbers.contains(&delta.number));
    next.deltas.extend(rolled);
    job.publish(Step::RollUp, next).await
}

/// As many of the run, from its first on, as may be in memory together: two at least. None: one of them is bulky, and the run
/// has to be picked anew.
async fn read(job: &Job<'_>, run: &[&DeltaFile]) -> Result<Option<Run>, Error> {
    let schema = changes_schema(&job.manifest.schema);
    let limit = usize::try_from(job.tools.config.delta_memory_bytes).unwrap_or(usize::MAX);
    let mut held = 0;
    let mut read = Run { numbers: Vec::new(), changes: Vec::new() };
    for delta in run {
        let batches = job.read(&delta.path, &Wanted::default()).await?;
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        if bytes > limit / 2 {
            job.tools.bulky.note(delta);
            return Ok(None);
        }
        if held + bytes > limit && read.numbers.len() > 1 {
            break;
        }
        held += bytes;
        read.numbers.push(delta.number);
        for batch in &batches {
            read.changes.push(to_schema(batch, &schema)?);
        }
    }
    Ok(Some(read))
}

async fn write(job: &Job<'_>, changes: Vec<RecordBatch>, rows: u64) -> Result<Vec<DeltaFile>, Error> {
    let per_file = usize::try_from(rows).unwrap_or(usize::MAX);
    let files = compute("rolls deltas up", move || Ok(cut(&changes, per_file)?)).await?;
    let mut number = job.manifest.deltas.iter().map(|delta| delta.number).max().unwrap_or(0);
    let mut rolled = Vec::new();
    for batches in files {
        let Some(ranges) = Ranges::of(&batches)? else { continue };
        number += 1;
        rolled.push(delta::write::file(job, number, (batches, ranges), &job.manifest.schema).await?);
    }
    Ok(rolled)
}

/// Changes in order of source time, cut into files of about so many rows, each in the order of a delta.
fn cut(changes: &[RecordBatch], rows: usize) -> Result<Vec<Vec<RecordBatch>>, FoldError> {
    let Some(first) = changes.first() else { return Ok(Vec::new()) };
    let all = concat_batches(first.schema_ref(), changes)?;
    let times = all.column_by_name(doc::TS).ok_or(FoldError::Column(doc::TS))?;
    let order = sort_to_indices(times, None, None)?;
    let files = all.num_rows().div_ceil(rows.max(1)).max(1);
    let per_file = all.num_rows().div_ceil(files).max(1);
    let starts = (0..all.num_rows()).step_by(per_file);
    let file = |start: usize| {
        let indices: UInt32Array = order.slice(start, per_file.min(all.num_rows() - start));
        sort::changes(&[take_record_batch(&all, &indices)?], BATCH_ROWS)
    };
    starts.map(file).collect()
}
