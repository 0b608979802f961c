//! A base and the deltas after its mark → the next base, in one commit.
//!
//! Everything in files is closed, so a fold may take any prefix of the deltas. Winners are decided in memory; the parts
//! of the base stream through one at a time, and those that no winner falls into stay the files they are.

mod overlay;
mod parts;
pub(crate) mod pick;
mod publish;
mod tombstones;
pub(crate) mod write;

use pick::Pace;

use crate::{
    Error,
    job::Job,
    room::{More, Urgency},
};

/// Makes the next base of a collection if it is due.
pub(crate) async fn step(job: &Job<'_>, urgency: Urgency) -> Result<More, Error> {
    let pace = Pace::of(&job.tools.config);
    let Some(plan) = pick::plan(&job.manifest, pace.bytes_max) else { return Ok(More::No) };
    let is_due = match urgency {
        Urgency::Due => pace.is_due(&job.manifest),
        Urgency::Deltas => false,
        Urgency::All => true,
    };
    if !is_due {
        return Ok(More::No);
    }
    let base = write::write(job, &plan).await?;
    publish::publish(job, base).await
}
