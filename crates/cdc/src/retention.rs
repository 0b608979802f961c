//! Retention: changes beyond the history window are dropped, when every instant that must stay exact still is (time.md,
//! section 5).
//!
//! A base without a bound becomes the horizon: the last state or snapshot before the window begins. Deltas that it holds
//! as a whole go, and so do bases that are no longer complete for any instant of the window; snapshots stay, each for
//! its own instant. Horizon and corner stand in the manifest, so that what can no longer be answered is refused.

pub(crate) mod pick;

use crate::{Error, job::Job, metrics::Step, room::More, snapshot};

/// Moves the horizon of a collection forward if anything can be dropped by that.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    let config = &job.tools.config;
    if config.history_window_s == 0 {
        return Ok(More::No);
    }
    let seconds = i64::try_from(config.history_window_s).unwrap_or(i64::MAX);
    let begins = job.now().plus_micros(seconds.saturating_mul(1_000_000).saturating_neg());
    // A snapshot of the calendar that is due has to be taken before its changes go.
    let due = snapshot::pick::due(&job.manifest, job.tools.live.now(), &snapshot::pick::Keep::of(config));
    let begins = due.map_or(begins, |due| begins.min(due.instant));
    match pick::next(&job.manifest, begins) {
        Some(next) => job.publish(Step::Retention, next).await,
        None => Ok(More::No),
    }
}
