//! A base and the deltas after its mark → the next base, in one commit.
//!
//! Everything in files is closed, so a fold may take any prefix of the deltas. It goes span by span of ids: both deltas
//! and bases are sorted by id, so memory holds the changes of one span and one part of the base, however much is folded.
//! Parts that no winner falls into stay the files they are.

mod layer;
mod overlay;
mod parts;
pub(crate) mod pick;
mod publish;
mod spans;
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
    let Some(plan) = pick::plan(&job.manifest, &pace) else { return Ok(More::No) };
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
