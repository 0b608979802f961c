//! One commit: the deltas and the mark it reaches.

use tidemark_catalog::CollectionManifest;
use tidemark_model::DocSchema;

use super::write::Written;
use crate::{Error, job::Job, metrics::Step, room::More};

/// Commits a delta step.
pub(crate) async fn publish(job: &Job<'_>, written: Written<'_>) -> Result<More, Error> {
    let mut next = CollectionManifest::clone(&job.manifest);
    let taken = written.deltas.iter().map(|delta| delta.seq.max).max().unwrap_or(next.mark);
    next.mark = next.mark.max(written.plan.mark).max(taken);
    next.system_time = next.system_time.max(written.plan.system_time);
    next.schema = DocSchema::clone(&written.schema);
    next.deltas.extend(written.deltas);
    job.publish(Step::Delta, next).await
}
