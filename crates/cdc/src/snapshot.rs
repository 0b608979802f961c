//! Snapshots: the state of a collection exactly as of an instant of system time (time.md, section 5).
//!
//! The calendar's are taken when their instant has passed and everything up to it is in deltas, however late that is: a
//! fold of exactly the changes acknowledged by then, from the best base there is. Parts that no change since that base
//! fell into are referred to, not copied. A period in which nothing changed writes nothing. Named ones are taken when a
//! person asks and stay until they are dropped.

mod named;
pub(crate) mod pick;
pub(crate) mod publish;

use std::{sync::Arc, time::Duration};

use tidemark_catalog::{CollectionManifest, View};
use tidemark_fold::columns::event;
use tidemark_model::{Instant, Table};

pub(crate) use self::named::{drop_named, take_named};
use crate::{
    Error,
    fold::{self, pick::Place, pick::Plan},
    job::Job,
    room::More,
};

/// How long an instant may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Takes the next snapshot of the calendar that is due.
pub(crate) async fn step(mut job: Job<'_>) -> Result<More, Error> {
    let keep = pick::Keep::of(&job.retention());
    let Some(due) = pick::due(&job.manifest, job.tools.live.now(), &keep) else { return Ok(More::No) };
    let Some(manifest) = covering(&job, due.instant).await? else { return Ok(More::No) };
    job.manifest = manifest;
    // The manifest may have grown meanwhile, by changes of this period too.
    let Some(due) = pick::due(&job.manifest, job.tools.live.now(), &keep) else { return Ok(More::No) };
    let Ok(plan) = Plan::as_of(&job.manifest, due.instant, Place::Snapshot(due.name.clone())) else {
        return publish::passed(&job, &due).await;
    };
    let base = fold::write::write(&job, &plan).await?;
    publish::calendar(&job, due, base, &keep).await
}

/// The newest manifest of the collection, if every change acknowledged up to the instant is in its deltas and none can
/// come any more.
pub(crate) async fn covering(job: &Job<'_>, at: Instant) -> Result<Option<Arc<CollectionManifest>>, Error> {
    let live = job.tools.live.as_ref();
    if live.close_instant(at, CLOSE_WITHIN).await.is_err() {
        return Ok(None);
    }
    let table = Table::Collection(job.collection.name.clone());
    let Ok(view) = View::read(&job.tools.catalog, live, job.namespace, &table).await else { return Ok(None) };
    let in_files = view.pending_files().all(|file| file.system_time.min > at);
    let in_log = view.tail.batches.iter().map(|batch| crate::ranges::least_time(batch, event::SYSTEM_TIME));
    let in_log = in_log.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().all(|first| first > at);
    Ok(view.collection.filter(|_| in_files && in_log).map(|(_, manifest)| manifest))
}
