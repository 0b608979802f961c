//! The tombstones of a base: ids and order of every document whose winner is a delete, for ever.
//!
//! They are held in memory during a fold: some sixty bytes each.

use arrow::array::RecordBatch;
use tidemark_catalog::manifest::BaseFile;
use tidemark_fold::{
    columns::tombstones_schema,
    conform::to_schema,
    merge::merge,
    shadow::{BaseKeys, Greatest, resolve},
};
use tidemark_storage::{
    files::{Content, FileKind, Wanted, Written},
    paths,
};

use crate::{
    Error,
    job::{Job, compute},
    ranges::{BATCH_ROWS, Ranges, ids},
};

/// Tombstones of the base before, those that winners hide marked.
#[derive(Debug)]
pub(crate) struct Tombstones {
    files: Vec<BaseFile>,
    rows: Vec<RecordBatch>,
    hidden: Vec<u64>,
}

impl Tombstones {
    /// Reads the tombstones of the base before and compares the winners with them; those that stand come back.
    pub(crate) async fn resolve(
        job: &Job<'_>,
        files: &[BaseFile],
        (winners, greatest): (RecordBatch, Option<Greatest>),
    ) -> Result<(Self, RecordBatch), Error> {
        let mut rows = Vec::new();
        for file in files {
            rows.extend(job.read(&file.path, &Wanted::default()).await?);
        }
        let files = files.to_vec();
        compute("looks winners up among tombstones", move || {
            let keys = BaseKeys { batches: rows };
            let shadows = resolve(&winners, greatest.as_ref(), std::slice::from_ref(&keys))?;
            let hidden = shadows.hidden.into_iter().flatten().collect();
            Ok((Self { files, rows: keys.batches, hidden }, shadows.overlay))
        })
        .await
    }

    /// Writes the tombstones of the next base: those not hidden, and the deletes that stand, sorted by id.
    pub(crate) async fn write(self, job: &Job<'_>, deletes: Vec<RecordBatch>) -> Result<Vec<BaseFile>, Error> {
        if self.hidden.is_empty() && deletes.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(self.files);
        }
        let batches = compute("merges tombstones", move || {
            let schema = tombstones_schema();
            let deletes = deletes.iter().map(|batch| to_schema(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
            let deletes = arrow::compute::concat_batches(&schema, &deletes).map_err(tidemark_fold::FoldError::from)?;
            Ok(merge(&self.rows, &self.hidden, &deletes, BATCH_ROWS)?)
        })
        .await?;
        let (Some(id), Some(ranges)) = (ids(&batches)?, Ranges::of(&batches)?) else { return Ok(Vec::new()) };
        let path = paths::tombstones_file(&job.table(), job.next_version(), job.unique());
        let metadata = ranges.metadata(job.manifest.schema.id);
        let content = Content { schema: tombstones_schema(), batches, metadata };
        let Written { path, rows, bytes, sha256 } = job.write(FileKind::Tombstones, path, content).await?;
        Ok(vec![BaseFile { path: path.to_string(), rows, bytes, sha256, id }])
    }
}
