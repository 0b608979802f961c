//! The files of a base before, its parts or its tombstones, and winners that fall into them → the files that follow.
//!
//! Both are runs of sorted files that together hold every id: a file begins with its least id, the first one with all
//! ids, and ends where the next begins. A file that nothing falls into stays the file it is.

use std::ops::Range;

use arrow::array::{RecordBatch, StringArray};
use tidemark_catalog::manifest::BaseFile;
use tidemark_fold::{
    columns::doc,
    conform::to_schema,
    merge::merge,
    shadow::{BaseKeys, Greatest, Shadows, resolve},
};
use tidemark_storage::files::{Span, Wanted};

use super::parts::{Parts, Rows};
use crate::{
    Error,
    job::{Job, compute},
    ranges::{BATCH_ROWS, column},
};

/// One kind of files of a base on its way into the next.
#[derive(Debug)]
pub(crate) struct Layer<'j> {
    job: &'j Job<'j>,
    what: Rows<'j>,
    before: &'j [BaseFile],
    /// Whether files may stay as they are.
    keeps: bool,
    batch_rows: usize,
    next: Parts<'j>,
}

/// Rows that fall into one file of a layer, as row numbers; into none where the layer has no files.
#[derive(Debug, Clone)]
pub(crate) struct Falling<'j> {
    file: Option<&'j BaseFile>,
    pub(crate) rows: Range<usize>,
}

/// A file after winners met it.
#[derive(Debug)]
pub(crate) struct Met<'j> {
    file: Option<&'j BaseFile>,
    span: Span,
    /// Its rows within the span; `None` where none had to be looked at.
    rows: Option<Vec<RecordBatch>>,
    hidden: Vec<u64>,
    /// The winners that stand.
    pub(crate) standing: RecordBatch,
}

impl<'j> Layer<'j> {
    /// The files of the base before, and that they may stay as they are; parts of about so many rows come out.
    pub(crate) fn new(
        job: &'j Job<'j>,
        what: Rows<'j>,
        (before, keeps): (&'j [BaseFile], bool),
        part_rows: usize,
    ) -> Self {
        let batch_rows = BATCH_ROWS.min(part_rows);
        Self { job, what, before, keeps, batch_rows, next: Parts::new(job, what, part_rows) }
    }

    /// Which rows, sorted and within a span, fall into each file that ids of the span belong to.
    pub(crate) fn falling(&self, span: &Span, rows: &RecordBatch) -> Result<Vec<Falling<'j>>, Error> {
        let ids = column::<StringArray>(rows, doc::ID)?;
        let before_id = |id: &str| partition_point(rows.num_rows(), |row| ids.value(row) < id);
        if self.before.is_empty() {
            return Ok(vec![Falling { file: None, rows: 0..rows.num_rows() }]);
        }
        let mut falling = Vec::new();
        for (at, file) in self.before.iter().enumerate() {
            let begin = if at == 0 { "" } else { file.id.min.as_str() };
            let end = self.before.get(at + 1).map(|next| next.id.min.as_str());
            let is_behind = span.below.as_deref().is_some_and(|below| begin >= below);
            let is_ahead = span.from.as_deref().is_some_and(|from| end.is_some_and(|end| end <= from));
            if !is_behind && !is_ahead {
                let rows = before_id(begin)..end.map_or(rows.num_rows(), before_id);
                falling.push(Falling { file: Some(file), rows });
            }
        }
        Ok(falling)
    }

    /// Compares winners with the file they fall into.
    pub(crate) async fn meet(
        &self,
        (file, span): (Option<&'j BaseFile>, &Span),
        winners: RecordBatch,
        greatest: Option<Greatest>,
    ) -> Result<Met<'j>, Error> {
        let span = span.clone();
        if winners.num_rows() == 0 {
            return Ok(Met { file, span, rows: None, hidden: Vec::new(), standing: winners });
        }
        let keys = BaseKeys { batches: self.read(file, &span).await? };
        let (rows, Shadows { overlay, hidden }) = compute("looks winners up in a base", move || {
            let shadows = resolve(&winners, greatest.as_ref(), std::slice::from_ref(&keys))?;
            Ok((keys.batches, shadows))
        })
        .await?;
        let hidden = hidden.into_iter().flatten().collect();
        Ok(Met { file, span, rows: Some(rows), hidden, standing: overlay })
    }

    /// Works rows into a file that was met.
    pub(crate) async fn settle(&mut self, met: Met<'j>, incoming: RecordBatch) -> Result<(), Error> {
        let is_unchanged = met.hidden.is_empty() && incoming.num_rows() == 0;
        if let Some(file) = met.file
            && is_unchanged
            && self.keeps
            && met.span.holds(&file.id.min, &file.id.max)
            && !self.next.wants_more()
        {
            return self.next.keep(file.clone()).await;
        }
        let rows = match met.rows {
            Some(rows) => rows,
            None => self.read(met.file, &met.span).await?,
        };
        let (schema, batch_rows) = (self.what.schema(&self.job.manifest.schema), self.batch_rows);
        let merged = compute("works winners into a base", move || {
            Ok(merge(&rows, &met.hidden, &to_schema(&incoming, &schema)?, batch_rows)?)
        });
        self.next.push(merged.await?).await
    }

    /// The files that follow.
    pub(crate) async fn finish(self) -> Result<Vec<BaseFile>, Error> {
        self.next.finish().await
    }

    /// The rows of a file within a span.
    async fn read(&self, file: Option<&BaseFile>, span: &Span) -> Result<Vec<RecordBatch>, Error> {
        let met = file.filter(|file| span.meets(&file.id.min, &file.id.max));
        let Some(file) = met else { return Ok(Vec::new()) };
        let is_whole = span.holds(&file.id.min, &file.id.max);
        let wanted = Wanted { span: (!is_whole).then(|| span.clone()), ..Wanted::default() };
        let rows = self.job.read(&file.path, &wanted).await?;
        let schema = self.what.schema(&self.job.manifest.schema);
        let conformed = move || Ok(rows.iter().map(|batch| to_schema(batch, &schema)).collect::<Result<_, _>>()?);
        compute("brings rows to a schema", conformed).await
    }
}

impl<'j> Falling<'j> {
    /// The file.
    pub(crate) const fn file(&self) -> Option<&'j BaseFile> {
        self.file
    }

    /// The rows that fall into it.
    pub(crate) fn of(&self, rows: &RecordBatch) -> RecordBatch {
        rows.slice(self.rows.start, self.rows.len())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_ends_where_it_ends() {
        for rows in 0..20 {
            for end in 0..=rows {
                assert_eq!(partition_point(rows, |row| row < end), end);
            }
        }
    }
}
