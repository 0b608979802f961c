//! Checkpoints: bases bounded in source time, so that a history imported today, which spans years of source time and one
//! hour of system time, is as cheap to ask about as a live one (time.md, section 4).
//!
//! One is due where a question about a source time would have many changes to read. It is folded from the base before it
//! on that axis, at the border of a day (of an hour, where a day holds too much); late changes do not invalidate it: they
//! lie after its mark.

pub(crate) mod pick;

use tidemark_catalog::CollectionManifest;

use crate::{Error, fold, job::Job, metrics::Step, room::More};

/// Keeps the next checkpoint that is due.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    let pace = pick::Pace::of(&job.tools.config, &job.manifest);
    let Some(border) = pick::due(&job.manifest, &pace) else { return Ok(More::No) };
    let base = fold::write::write(job, &pick::plan(&job.manifest, border)?).await?;
    let mut next = CollectionManifest::clone(&job.manifest);
    next.checkpoints = pick::kept(next.checkpoints, base, &pace);
    job.publish(Step::Checkpoint, next).await
}
