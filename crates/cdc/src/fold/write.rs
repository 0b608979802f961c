//! Winners meet the base, part by part, and the next base comes out.

use std::ops::Range;

use arrow::array::RecordBatch;
use tidemark_catalog::{Base, manifest::BaseFile};
use tidemark_fold::{
    columns::state_schema,
    conform::to_schema,
    merge::merge,
    shadow::{BaseKeys, Greatest, resolve},
};
use tidemark_model::{DocSchema, Instant, position::BEFORE_ALL};
use tidemark_storage::files::Wanted;

use super::{
    overlay::{self, Overlay},
    parts::Parts,
    pick::Plan,
    tombstones::Tombstones,
};
use crate::{
    Error,
    job::{Job, compute},
    ranges::BATCH_ROWS,
};

/// Rows of a part below which splitting by bytes does not go.
const PART_ROWS_MIN: u64 = 64;
/// Decoded bytes of a part, about: two are held while they are cut, and text columns end at 2 GiB.
const PART_DECODED: u64 = 512 << 20;

/// Folds a plan into the next base; nothing refers to its files yet.
pub(crate) async fn write(job: &Job<'_>, plan: &Plan<'_>) -> Result<Base, Error> {
    let Overlay { winners, greatest: folded, last, changes } = overlay::read(job, plan).await?;
    let greatest = plan.base.map(greatest_of);
    let before = plan.base.map_or(&[][..], |base| &base.tombstones);
    let (tombstones, standing) = Tombstones::resolve(job, before, (winners, greatest.clone())).await?;
    let (parts, deletes) = parts(job, plan, (standing, greatest.as_ref())).await?;
    let tombstones = tombstones.write(job, deletes).await?;
    let (mark, system_time) = last.unzip();
    let mark = plan.mark.or(mark).max(plan.base.map(|base| base.mark));
    let Greatest { ts, bookmark } = greatest.max(folded).unwrap_or(Greatest { ts: Instant::MIN, bookmark: None });
    Ok(Base {
        planned_on: job.manifest.head.version,
        mark: mark.unwrap_or(BEFORE_ALL),
        system_time: system_time.max(plan.base.map(|base| base.system_time)).unwrap_or(Instant::MIN),
        max_ts: ts,
        max_bookmark: bookmark,
        rows: parts.iter().map(|part| part.rows).sum(),
        changes: plan.base.map_or(0, |base| base.changes) + changes,
        parts,
        tombstones,
        schema: job.manifest.schema.clone(),
        bound: plan.bound,
    })
}

fn greatest_of(base: &Base) -> Greatest {
    Greatest { ts: base.max_ts, bookmark: base.max_bookmark.clone() }
}

/// The parts of the next base, and the deletes that stand.
async fn parts(
    job: &Job<'_>,
    plan: &Plan<'_>,
    (winners, greatest): (RecordBatch, Option<&Greatest>),
) -> Result<(Vec<BaseFile>, Vec<RecordBatch>), Error> {
    let part_rows = part_rows(job, plan, &winners);
    let batch_rows = BATCH_ROWS.min(part_rows);
    let mut next = Parts::new(job, &plan.place, part_rows);
    let before = plan.base.map_or(&[][..], |base| &base.parts);
    if before.is_empty() {
        let (documents, deletes) = overlay::split(&winners)?;
        let documents = to_schema(&documents, &state_schema(&job.manifest.schema))?;
        next.push(slices(&documents, batch_rows)).await?;
        return Ok((next.finish().await?, vec![deletes]));
    }
    // A part that was written under another schema is written anew, so that a base has one.
    let keeps_schema = plan.base.is_some_and(|base| base.schema.fields == job.manifest.schema.fields);
    let mut deletes = Vec::new();
    for (part, range) in before.iter().zip(ranges(&winners, before)?) {
        if range.is_empty() && keeps_schema && !next.wants_more() {
            next.keep(part.clone()).await?;
            continue;
        }
        let falling = winners.slice(range.start, range.len());
        let rows = job.read(&part.path, &Wanted::default()).await?;
        let worked = work_in((job.manifest.schema.clone(), batch_rows), rows, (falling, greatest.cloned())).await?;
        if worked.is_unchanged && keeps_schema && !next.wants_more() {
            next.keep(part.clone()).await?;
        } else {
            next.push(worked.rows).await?;
        }
        deletes.push(worked.deletes);
    }
    Ok((next.finish().await?, deletes))
}

/// A part after the winners that fall into it.
struct Worked {
    rows: Vec<RecordBatch>,
    deletes: RecordBatch,
    is_unchanged: bool,
}

async fn work_in(
    (schema, batch_rows): (DocSchema, usize),
    part: Vec<RecordBatch>,
    (winners, greatest): (RecordBatch, Option<Greatest>),
) -> Result<Worked, Error> {
    compute("works winners into a part", move || {
        let schema = state_schema(&schema);
        let part = part.iter().map(|batch| to_schema(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
        let keys = BaseKeys { batches: part };
        let shadows = resolve(&winners, greatest.as_ref(), std::slice::from_ref(&keys))?;
        let hidden: Vec<u64> = shadows.hidden.into_iter().flatten().collect();
        let (documents, deletes) = overlay::split(&shadows.overlay)?;
        let is_unchanged = hidden.is_empty() && documents.num_rows() == 0;
        let rows = merge(&keys.batches, &hidden, &to_schema(&documents, &schema)?, batch_rows)?;
        Ok(Worked { rows, deletes, is_unchanged })
    })
    .await
}

/// Which winners fall into each part: those from its first id on; into the first also those below.
fn ranges(winners: &RecordBatch, parts: &[BaseFile]) -> Result<Vec<Range<usize>>, Error> {
    let rows = winners.num_rows();
    let ids = crate::ranges::column::<arrow::array::StringArray>(winners, tidemark_fold::columns::doc::ID)?;
    let begin = |part: &BaseFile| partition_point(rows, |row| ids.value(row) < part.id.min.as_str());
    let begins: Vec<usize> = parts.iter().skip(1).map(begin).collect();
    let ends = begins.iter().copied().chain([rows]);
    Ok(std::iter::once(0).chain(begins.iter().copied()).zip(ends).map(|(from, to)| from..to).collect())
}

/// The first of `rows` where a condition ends that holds from the beginning on.
fn partition_point(rows: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Rows of a part: as many as wanted, fewer where documents are large in files (told by the deltas and the base before)
/// or in memory (told by the winners).
fn part_rows(job: &Job<'_>, plan: &Plan<'_>, winners: &RecordBatch) -> usize {
    let config = &job.tools.config;
    let (rows, bytes) = (plan.deltas.iter().map(|delta| (delta.rows, delta.bytes)))
        .chain(plan.base.iter().flat_map(|base| &base.parts).map(|part| (part.rows, part.bytes)))
        .fold((0, 0), |(rows, bytes), (more, size)| (rows + more, bytes + size));
    let decoded = (winners.num_rows() as u64, winners.get_array_memory_size() as u64);
    let fitting = fitting(config.part_bytes, (rows, bytes)).min(fitting(PART_DECODED, decoded)).max(PART_ROWS_MIN);
    config.part_rows.min(usize::try_from(fitting).unwrap_or(usize::MAX))
}

/// How many rows fit into a number of bytes, where so many rows take so many bytes.
fn fitting(into: u64, (rows, bytes): (u64, u64)) -> u64 {
    into.saturating_mul(rows).checked_div(bytes).filter(|_| rows > 0).unwrap_or(u64::MAX)
}

fn slices(batch: &RecordBatch, rows_max: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows_max.max(1));
    starts.map(|from| batch.slice(from, rows_max.min(batch.num_rows() - from))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_rows_make_small_parts() {
        for (rows, bytes, expected) in [(10, 100, 100), (0, 0, u64::MAX), (0, 9, u64::MAX), (1, 10_000, 0)] {
            assert_eq!(fitting(1000, (rows, bytes)), expected, "{rows} {bytes}");
        }
    }

    #[test]
    fn a_condition_ends_where_it_ends() {
        for rows in 0..20 {
            for end in 0..=rows {
                assert_eq!(partition_point(rows, |row| row < end), end);
            }
        }
    }
}
