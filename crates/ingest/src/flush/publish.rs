//! One commit: the file, the sidecars, the mark. An append re-applies itself on whatever manifest is newest.
//!
//! A commit whose outcome stayed unknown may have been applied. The next attempt then loses its number to it, and must
//! not store the same appends again: what was written for it is left to clean-up (H2). Files that clean-up may have taken
//! for orphans are written anew.

use std::sync::Arc;

use tidemark_catalog::{
    Commit, EventsManifest,
    manifest::{EventsFile, Sidecar},
};
use tidemark_model::Namespace;

use super::{Flusher, write};
use crate::{dedup, error::Error, sidecar::Written, tail::Kept};

/// How often a commit that lost its number is applied anew before the work is given up until its next turn.
pub(crate) const ATTEMPTS_MAX: u32 = 16;

/// How a flush was published.
#[derive(Debug)]
#[must_use]
pub(super) enum Published {
    /// This manifest covers the appends, or those of them that an earlier attempt had taken in.
    Covered(Arc<EventsManifest>),
    /// Clean-up may delete what was written: write it anew.
    Orphaned,
}

/// Commits what was written, on the newest manifest. Where that manifest covers some of the appends already, an earlier
/// attempt was applied: it is returned as it is, and appends behind it are left to the next flush.
pub(super) async fn commit(
    flusher: &Flusher,
    namespace: &Namespace,
    (on, appends): (&Arc<EventsManifest>, &[Arc<Kept>]),
    (file, sidecars): (Option<EventsFile>, Written),
) -> Result<Published, Error> {
    let planned_on = on.head.version;
    let mut on = Arc::clone(on);
    for _attempt in 0..ATTEMPTS_MAX {
        let next = applied(&on, appends, (file.as_ref(), &sidecars));
        match flusher.catalog.commit_events(namespace, &on, next).await? {
            Commit::Committed(manifest) => return Ok(Published::Covered(manifest)),
            Commit::Lost { latest } => {
                flusher.metrics.commit_lost();
                if is_covered(&latest, appends) {
                    tracing::info!(%namespace, version = latest.head.version, "a commit of unknown outcome was applied");
                    return Ok(Published::Covered(latest));
                }
                if planned_on < latest.head.orphans_below {
                    return Ok(Published::Orphaned);
                }
                on = latest;
            }
        }
    }
    Err(crowded(namespace))
}

/// Whether a manifest covers the first of these appends: then an earlier attempt was applied.
pub(super) fn is_covered(by: &EventsManifest, appends: &[Arc<Kept>]) -> bool {
    appends.first().is_some_and(|first| first.system_time <= by.system_time)
}

/// What is said when commits are lost again and again.
pub(crate) fn crowded(namespace: &Namespace) -> Error {
    Error::Internal(format!(
        "the events of {namespace} lost {ATTEMPTS_MAX} commits in a row: another writer is on this lake"
    ))
}

fn applied(
    on: &EventsManifest,
    appends: &[Arc<Kept>],
    (file, sidecars): (Option<&EventsFile>, &Written),
) -> EventsManifest {
    let mut next = on.clone();
    next.mark.raise_all(&write::mark(appends));
    next.system_time = appends.last().map_or(on.system_time, |kept| kept.system_time.max(on.system_time));
    next.files.extend(file.cloned());
    let is_kept = |known: &Sidecar| {
        !sidecars.replaced.contains(&known.path) && !dedup::is_expired(known.system_time.max, next.system_time)
    };
    next.sidecars.retain(is_kept);
    next.sidecars.extend(sidecars.added.clone());
    next
}
