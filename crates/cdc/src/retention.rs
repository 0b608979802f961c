//! Retention: changes beyond the history window are dropped, when every instant that must stay exact still is (time.md,
//! section 5), and snapshots of the calendar beyond how many stay.
//!
//! A base without a bound becomes the horizon: the last state or snapshot before the window begins. Deltas that it holds
//! as a whole go, and so do bases that are no longer complete for any instant of the window; snapshots stay, each for
//! its own instant. Horizon and corner stand in the manifest, so that what can no longer be answered is refused. They
//! only grow: a longer window later brings nothing back.

pub(crate) mod pick;

use tidemark_catalog::{CollectionManifest, manifest::SnapshotKind};
use tidemark_model::{Instant, Retention};

use crate::{
    Error,
    job::Job,
    metrics::Step,
    room::More,
    snapshot::{self, pick::Keep},
};

/// Moves the horizon of a collection forward if anything can be dropped by that, and drops snapshots that are too many.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    match planned(job, &job.retention()) {
        Some(next) => job.publish(Step::Retention, next).await,
        None => Ok(More::No),
    }
}

/// The manifest without what a retention lets go; `None` when that is nothing.
pub(crate) fn planned(job: &Job<'_>, retention: &Retention) -> Option<CollectionManifest> {
    let keep = Keep::of(retention);
    let thinned = thinned(&job.manifest, &keep);
    let manifest = thinned.as_ref().unwrap_or(&job.manifest);
    let begins = begins(job, retention);
    begins.and_then(|begins| pick::next(manifest, begins)).map(|next| remembering(next, &job.manifest)).or(thinned)
}

/// Snapshots of the calendar learn up to where they hold before the changes go that tell it.
fn remembering(mut next: CollectionManifest, before: &CollectionManifest) -> CollectionManifest {
    let gone = next.window.map_or(Instant::MIN, |window| window.system_time.plus_micros(1));
    for nth in 0..next.snapshots.len() {
        let snapshot = &next.snapshots[nth];
        let following = next.snapshots[nth + 1..].iter().find(|later| later.kind == snapshot.kind);
        let until = snapshot::pick::quiet(before, snapshot, following.map_or(gone, |later| later.instant.min(gone)));
        if snapshot.kind != SnapshotKind::Named && until > snapshot.holds_until() {
            next.snapshots[nth].until = Some(until);
        }
    }
    next
}

/// Where the window begins; `None` where every change is kept.
fn begins(job: &Job<'_>, retention: &Retention) -> Option<Instant> {
    let seconds = retention.history_window_s.filter(|seconds| *seconds > 0)?;
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let begins = job.now().plus_micros(seconds.saturating_mul(1_000_000).saturating_neg());
    // A snapshot of the calendar that is due has to be taken before its changes go.
    let due = snapshot::pick::due(&job.manifest, job.tools.live.now(), &Keep::of(retention));
    Some(due.map_or(begins, |due| begins.min(due.instant)))
}

/// The manifest without snapshots of the calendar that are too many; `None` when none is.
fn thinned(manifest: &CollectionManifest, keep: &Keep) -> Option<CollectionManifest> {
    let snapshots = snapshot::publish::kept(manifest.snapshots.clone(), keep);
    (snapshots.len() < manifest.snapshots.len())
        .then(|| CollectionManifest { snapshots, ..CollectionManifest::clone(manifest) })
}
