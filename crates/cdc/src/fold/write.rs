//! A plan → the next base: span by span, winners meet the base before.

use arrow::{array::RecordBatch, compute::concat_batches};
use tidemark_catalog::Base;
use tidemark_fold::{FoldError, shadow::Greatest};
use tidemark_model::{Instant, position::BEFORE_ALL};
use tidemark_storage::files::{Page, Span};

use super::{
    layer::Layer,
    overlay::{self, Changes, Overlay, Told},
    parts::Rows,
    pick::Plan,
    spans,
};
use crate::{Error, job::Job};

/// Rows of a part below which splitting by bytes does not go.
const PART_ROWS_MIN: u64 = 64;
/// Decompressed bytes of a part, about: two are held while they are cut, and text columns end at 2 GiB.
const PART_DECODED: u64 = 512 << 20;
/// Rows of a file of tombstones, about.
const TOMBSTONES_ROWS: usize = 1 << 20;

/// Folds a plan into the next base; nothing refers to its files yet.
pub(crate) async fn write(job: &Job<'_>, plan: &Plan<'_>) -> Result<Base, Error> {
    let changes = Changes::open(job, plan).await?;
    let pages = changes.pages()?;
    let (parts, tombstones) = plan.base.map_or((&[][..], &[][..]), |base| (&base.parts, &base.tombstones));
    // A part that was written under another schema is written anew, so that a base has one.
    let keeps_schema = plan.base.is_some_and(|base| base.schema.fields == job.manifest.schema.fields);
    let part_rows = part_rows(job, plan, &pages);
    let mut next = Next {
        documents: Layer::new(job, Rows::Documents(&plan.place), (parts, keeps_schema), part_rows),
        tombstones: Layer::new(job, Rows::Tombstones, (tombstones, true), TOMBSTONES_ROWS),
        greatest: plan.base.map(greatest_of),
    };
    let mut told = Told::default();
    for span in spans::cut(pages, (parts, tombstones), job.tools.config.fold_memory_bytes) {
        let overlay = changes.read(&span).await?;
        told = told.and(next.take(&span, overlay).await?);
    }
    job.tools.metrics.fold_held(told.held_bytes);
    base(job, plan, (next, told)).await
}

/// The base that comes, as far as spans were folded.
struct Next<'j> {
    documents: Layer<'j>,
    tombstones: Layer<'j>,
    /// The greatest of the base before.
    greatest: Option<Greatest>,
}

impl Next<'_> {
    /// Works the winners of the next span in: against the tombstones first, then against the parts one at a time.
    async fn take(&mut self, span: &Span, Overlay { winners, told }: Overlay) -> Result<Told, Error> {
        let mut buried = Vec::new();
        for falling in self.tombstones.falling(span, &winners)? {
            let greatest = self.greatest.clone();
            buried.push(self.tombstones.meet((falling.file(), span), falling.of(&winners), greatest).await?);
        }
        let standing = joined(&winners, buried.iter().map(|met| &met.standing))?;
        let mut deletes = Vec::new();
        for falling in self.documents.falling(span, &standing)? {
            let greatest = self.greatest.clone();
            let met = self.documents.meet((falling.file(), span), falling.of(&standing), greatest).await?;
            let (documents, removed) = overlay::split(&met.standing)?;
            self.documents.settle(met, documents).await?;
            deletes.push(removed);
        }
        let deletes = joined(&winners, &deletes)?;
        let falling = self.tombstones.falling(span, &deletes)?;
        for (met, falling) in buried.into_iter().zip(falling) {
            self.tombstones.settle(met, falling.of(&deletes)).await?;
        }
        Ok(told)
    }
}

fn joined<'b>(like: &RecordBatch, rows: impl IntoIterator<Item = &'b RecordBatch>) -> Result<RecordBatch, FoldError> {
    let filled: Vec<&RecordBatch> = rows.into_iter().filter(|rows| rows.num_rows() > 0).collect();
    match filled[..] {
        [only] => Ok(only.clone()),
        _ => Ok(concat_batches(like.schema_ref(), filled)?),
    }
}

async fn base(job: &Job<'_>, plan: &Plan<'_>, (next, told): (Next<'_>, Told)) -> Result<Base, Error> {
    let (parts, tombstones) = (next.documents.finish().await?, next.tombstones.finish().await?);
    let (mark, system_time) = told.last.unzip();
    let mark = plan.mark.or(mark).max(plan.base.map(|base| base.mark));
    let none = Greatest { ts: Instant::MIN, bookmark: None };
    let Greatest { ts, bookmark } = next.greatest.max(told.greatest).unwrap_or(none);
    Ok(Base {
        planned_on: job.manifest.head.version,
        mark: mark.unwrap_or(BEFORE_ALL),
        system_time: system_time.max(plan.base.map(|base| base.system_time)).unwrap_or(Instant::MIN),
        max_ts: ts,
        max_bookmark: bookmark,
        rows: parts.iter().map(|part| part.rows).sum(),
        changes: plan.base.map_or(0, |base| base.changes) + told.changes,
        parts,
        tombstones,
        schema: job.manifest.schema.clone(),
        bound: plan.bound,
    })
}

fn greatest_of(base: &Base) -> Greatest {
    Greatest { ts: base.max_ts, bookmark: base.max_bookmark.clone() }
}

/// Rows of a part: as many as wanted, fewer where documents are large in files (told by the deltas and the base before)
/// or in memory (told by the pages of the deltas).
fn part_rows(job: &Job<'_>, plan: &Plan<'_>, pages: &[Page]) -> usize {
    let config = &job.tools.config;
    let (rows, bytes) = (plan.deltas.iter().map(|delta| (delta.rows, delta.bytes)))
        .chain(plan.base.iter().flat_map(|base| &base.parts).map(|part| (part.rows, part.bytes)))
        .fold((0, 0), |(rows, bytes), (more, size)| (rows + more, bytes + size));
    let decoded = pages.iter().fold((0, 0), |(rows, bytes), page| (rows + page.rows, bytes + page.bytes));
    let fitting = fitting(config.part_bytes, (rows, bytes)).min(fitting(PART_DECODED, decoded)).max(PART_ROWS_MIN);
    config.part_rows.min(usize::try_from(fitting).unwrap_or(usize::MAX))
}

/// How many rows fit into a number of bytes, where so many rows take so many bytes.
fn fitting(into: u64, (rows, bytes): (u64, u64)) -> u64 {
    into.saturating_mul(rows).checked_div(bytes).filter(|_| rows > 0).unwrap_or(u64::MAX)
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
}
