//! The files of a base on their way: rows in order of id, documents or tombstones, are gathered and cut into parts of about
//! one size.
//!
//! A run of parts that changes is cut anew; it ends where a part begins that stays as it is. Parts have between three
//! quarters and one and a half of the wanted rows, so that neither slivers nor giants grow.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use tidemark_catalog::manifest::BaseFile;
use tidemark_fold::columns::{state_schema, tombstones_schema};
use tidemark_model::DocSchema;
use tidemark_storage::{
    ObjectPath,
    files::{Content, FileKind, Written},
    paths,
};

use super::pick::Place;
use crate::{
    Error,
    job::Job,
    ranges::{Ranges, ids},
};

/// What the rows are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'p> {
    /// Documents of a base that lies there.
    Documents(&'p Place),
    /// Ids and order of deleted ones.
    Tombstones,
}

impl Rows<'_> {
    fn kind(self) -> FileKind {
        match self {
            Self::Documents(_) => FileKind::State,
            Self::Tombstones => FileKind::Tombstones,
        }
    }

    /// The schema they are written in.
    pub(crate) fn schema(self, of: &DocSchema) -> SchemaRef {
        match self {
            Self::Documents(_) => state_schema(of),
            Self::Tombstones => tombstones_schema(),
        }
    }
}

/// Parts of the next base, in order.
#[derive(Debug)]
pub(crate) struct Parts<'j> {
    job: &'j Job<'j>,
    what: Rows<'j>,
    schema: SchemaRef,
    part_rows: usize,
    gathered: Vec<RecordBatch>,
    rows: usize,
    files: Vec<BaseFile>,
    /// How many were taken over as they were.
    kept: u64,
}

impl<'j> Parts<'j> {
    /// Gathers parts of about so many rows.
    pub(crate) fn new(job: &'j Job<'j>, what: Rows<'j>, part_rows: usize) -> Self {
        let schema = what.schema(&job.manifest.schema);
        let (gathered, files) = (Vec::new(), Vec::new());
        Self { job, what, schema, part_rows: part_rows.max(1), gathered, rows: 0, files, kept: 0 }
    }

    /// Whether what is gathered is too little for a part of its own, so that the next part should join it.
    pub(crate) const fn wants_more(&self) -> bool {
        self.rows > 0 && self.rows < self.part_rows / 2
    }

    /// Takes rows that follow in order.
    pub(crate) async fn push(&mut self, batches: Vec<RecordBatch>) -> Result<(), Error> {
        self.rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.gathered.extend(batches.into_iter().filter(|batch| batch.num_rows() > 0));
        while self.rows >= self.part_rows * 2 {
            self.cut(self.part_rows).await?;
        }
        Ok(())
    }

    /// Takes a part over as it is.
    pub(crate) async fn keep(&mut self, part: BaseFile) -> Result<(), Error> {
        self.end_run().await?;
        self.kept += 1;
        self.files.push(part);
        Ok(())
    }

    /// The files of all parts.
    pub(crate) async fn finish(mut self) -> Result<Vec<BaseFile>, Error> {
        self.end_run().await?;
        self.job.tools.metrics.kept_parts(self.kept);
        Ok(self.files)
    }

    async fn end_run(&mut self) -> Result<(), Error> {
        if self.rows > self.part_rows + self.part_rows / 2 {
            self.cut(self.rows / 2).await?;
        }
        self.cut(self.rows).await
    }

    fn path(&self) -> ObjectPath {
        let (table, version, id) = (self.job.table(), self.job.next_version(), self.job.unique());
        match self.what {
            Rows::Documents(Place::State) => paths::state_file(&table, version, self.files.len(), id),
            Rows::Documents(Place::Checkpoint) => paths::base_file(&table, version, self.files.len(), id),
            Rows::Documents(Place::Snapshot(name)) => paths::snapshot_file(&table, name, id),
            Rows::Tombstones => paths::tombstones_file(&table, version, id),
        }
    }

    /// Writes the first rows gathered.
    async fn cut(&mut self, rows: usize) -> Result<(), Error> {
        let batches = take_front(&mut self.gathered, rows);
        self.rows -= rows;
        let Some(id) = ids(&batches)? else { return Ok(()) };
        let metadata = Ranges::of(&batches)?.map(|ranges| ranges.metadata(self.job.manifest.schema.id));
        let path = self.path();
        let content = Content { schema: self.schema.clone(), batches, metadata: metadata.unwrap_or_default() };
        let Written { path, rows, bytes, sha256 } = self.job.write(self.what.kind(), path, content).await?;
        self.files.push(BaseFile { path: path.to_string(), rows, bytes, sha256, id });
        Ok(())
    }
}

/// Takes the first rows out of batches, cutting the one they end in.
fn take_front(batches: &mut Vec<RecordBatch>, rows: usize) -> Vec<RecordBatch> {
    let (mut front, mut left) = (Vec::new(), rows);
    let mut rest = std::mem::take(batches).into_iter();
    while left > 0
        && let Some(batch) = rest.next()
    {
        let taken = left.min(batch.num_rows());
        front.push(batch.slice(0, taken));
        if taken < batch.num_rows() {
            batches.push(batch.slice(taken, batch.num_rows() - taken));
        }
        left -= taken;
    }
    batches.extend(rest);
    front
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    #[test]
    fn the_front_is_cut_where_asked() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let batch = |from: i64, to: i64| {
            let column = Arc::new(Int64Array::from_iter_values(from..to));
            RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a batch")
        };
        for (rows, expected, left) in [(0, 0, 2), (3, 1, 2), (4, 1, 1), (7, 2, 1), (10, 2, 0)] {
            let mut batches = vec![batch(0, 4), batch(4, 10)];
            let front = take_front(&mut batches, rows);
            let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            assert_eq!((front.len(), batches.len()), (expected, left), "{rows}");
            assert_eq!((count(&front), count(&batches)), (rows, 10 - rows));
        }
    }
}
