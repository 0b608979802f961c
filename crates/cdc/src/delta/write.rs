//! Reads the planned changes, gives them typed columns, sorts them and writes delta files.
//!
//! Many changes at once, against the documents there are, go into several files one after the other by position: a
//! question about an instant among them reads the files up to it, not all.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tidemark_catalog::manifest::DeltaFile;
use tidemark_fold::{
    columns::{changes_schema, event},
    derive, sort,
};
use tidemark_model::DocSchema;
use tidemark_storage::{
    files::{Content, FileKind, Wanted},
    paths,
};

use super::pick::Plan;
use crate::{
    Error,
    job::{Job, compute},
    ranges::{BATCH_ROWS, Ranges},
};

/// Changes below which a delta is not cut into pieces.
const PIECE_ROWS_MIN: u64 = 50_000;

/// What a delta step made: the files, none where there was no row, and the schema they were written under.
#[derive(Debug)]
pub(crate) struct Written<'e> {
    /// What was taken in.
    pub(crate) plan: Plan<'e>,
    pub(crate) deltas: Vec<DeltaFile>,
    pub(crate) schema: Arc<DocSchema>,
}

/// Writes the deltas of a plan, of its first files where these decode to more than expected.
pub(crate) async fn write<'e>(job: &Job<'_>, plan: Plan<'e>) -> Result<Written<'e>, Error> {
    let schema = Arc::clone(&job.collection.schema);
    let (mut events, mut decoded, mut taken) = (Vec::new(), 0, 0);
    for file in &plan.files {
        let rows = job.read(&file.path, &wanted(job)).await?;
        decoded += rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() as u64;
        events.extend(rows);
        taken += 1;
        if decoded > job.tools.config.delta_memory_bytes {
            break;
        }
    }
    let plan = plan.first(taken);
    let piece = piece_rows(job.manifest.bases.last().map_or(0, |base| base.rows));
    let pieces = compute("sorts a delta", {
        let schema = Arc::clone(&schema);
        move || sort(events, &schema, piece)
    })
    .await?;
    let mut deltas = Vec::with_capacity(pieces.len());
    let mut number = job.manifest.deltas.last().map_or(0, |last| last.number);
    for sorted in pieces {
        let Some(ranges) = Ranges::of(&sorted)? else { continue };
        number += 1;
        deltas.push(file(job, number, (sorted, ranges), &schema).await?);
    }
    Ok(Written { plan, deltas, schema })
}

/// Changes of one file: about half as many as there are documents, since no base stands between these.
fn piece_rows(live: u64) -> usize {
    usize::try_from((live / 2).max(PIECE_ROWS_MIN)).unwrap_or(usize::MAX)
}

/// Writes one delta file of sorted changes under a number of its own.
pub(crate) async fn file(
    job: &Job<'_>,
    number: u64,
    (batches, ranges): (Vec<RecordBatch>, Ranges),
    schema: &DocSchema,
) -> Result<DeltaFile, Error> {
    let path = paths::delta_file(&job.table(), number, ranges.system_time.min, job.unique());
    let content = Content { schema: changes_schema(schema), batches, metadata: ranges.metadata(schema.id) };
    let file = job.write(FileKind::Delta, path, content).await?;
    Ok(DeltaFile {
        number,
        path: file.path.to_string(),
        planned_on: job.manifest.head.version,
        rows: file.rows,
        bytes: file.bytes,
        sha256: file.sha256,
        seq: ranges.seq,
        system_time: ranges.system_time,
        ts: ranges.ts,
        id: ranges.id,
        schema_id: schema.id,
    })
}

fn wanted(job: &Job<'_>) -> Wanted {
    Wanted {
        columns: Some(derive::INPUT.map(str::to_owned).into()),
        above: Some((event::SEQ.to_owned(), job.manifest.mark)),
        equal: Some((event::COLLECTION.to_owned(), job.collection.name.as_str().to_owned())),
        ..Wanted::default()
    }
}

fn sort(events: Vec<RecordBatch>, schema: &DocSchema, piece: usize) -> Result<Vec<Vec<RecordBatch>>, Error> {
    let mut changes = Vec::with_capacity(events.len());
    for batch in events {
        changes.push(derive::changes(&batch, schema)?);
    }
    Ok(sort::pieces(&changes, piece, BATCH_ROWS)?)
}
