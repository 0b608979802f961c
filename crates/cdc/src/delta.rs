//! Change events after a collection's mark → delta files and a new mark, in one commit.

pub(crate) mod pick;
mod publish;
pub(crate) mod write;

use pick::{Backlog, Pace};

use crate::{
    Error,
    job::Job,
    room::{More, Urgency},
};

/// Makes one delta of a collection if it is due.
pub(crate) async fn step(job: &Job<'_>, backlog: &Backlog<'_>, urgency: Urgency) -> Result<More, Error> {
    let pace = Pace::of(&job.tools.config);
    if urgency == Urgency::Due && !pace.is_due(backlog, job.now()) {
        return Ok(More::No);
    }
    let plan = pick::plan(&job.events, job.collection.shard, backlog, &pace);
    let written = write::write(job, plan).await?;
    publish::publish(job, written).await
}
