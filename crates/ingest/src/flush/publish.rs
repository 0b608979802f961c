//! One commit: the file, the sidecars, the mark. An append re-applies itself on whatever manifest is newest.

use std::sync::Arc;

use tidemark_catalog::{
    Commit, EventsManifest,
    manifest::{EventsFile, Sidecar},
};
use tidemark_model::Namespace;

use super::{Flusher, write};
use crate::{dedup, error::Error, sidecar::Written, tail::Kept};

/// How often a commit that lost its number is applied anew before the flush gives up until its next turn.
const ATTEMPTS_MAX: u32 = 16;

/// Commits what was written, on the newest manifest.
pub(super) async fn commit(
    flusher: &Flusher,
    namespace: &Namespace,
    (on, appends): (&Arc<EventsManifest>, &[Arc<Kept>]),
    (file, sidecars): (Option<EventsFile>, Written),
) -> Result<Arc<EventsManifest>, Error> {
    let mut on = Arc::clone(on);
    for _attempt in 0..ATTEMPTS_MAX {
        let next = applied(&on, appends, (file.as_ref(), &sidecars));
        match flusher.catalog.commit_events(namespace, &on, next).await? {
            Commit::Committed(manifest) => return Ok(manifest),
            Commit::Lost { latest } => {
                flusher.metrics.commit_lost();
                on = latest;
            }
        }
    }
    Err(Error::Internal(format!(
        "the events of {namespace} lost {ATTEMPTS_MAX} commits in a row: another writer is on this lake"
    )))
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
