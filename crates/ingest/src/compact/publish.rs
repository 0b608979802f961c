//! One commit: the new file stands where the run stood. It re-applies itself on whatever manifest is newest, for as long as
//! the run is there as it was planned; else the work is planned anew and its file left to clean-up.

use std::sync::Arc;

use tidemark_catalog::{Commit, EventsManifest, manifest::EventsFile};
use tidemark_model::Namespace;

use crate::{
    error::Error,
    flush::publish::{ATTEMPTS_MAX, crowded},
    front::Room,
    metrics::Step,
};

/// Commits a compaction; whether it came to that.
pub(super) async fn commit(
    room: &Room,
    namespace: &Namespace,
    on: &Arc<EventsManifest>,
    (gone, file): (&[EventsFile], EventsFile),
) -> Result<bool, Error> {
    room.upkeep.point(Step::Compact, "written").await;
    let mut on = Arc::clone(on);
    for _attempt in 0..ATTEMPTS_MAX {
        let Some(next) = replaced(&on, gone, &file) else {
            room.metrics.step(Step::Compact, "lost");
            return Ok(false);
        };
        match room.catalog.commit_events(namespace, &on, next).await? {
            Commit::Committed(manifest) => {
                room.metrics.step(Step::Compact, "committed");
                let (version, files, rows) = (manifest.head.version, gone.len(), file.rows);
                tracing::debug!(%namespace, version, files, rows, path = file.path, "compacted");
                room.upkeep.point(Step::Compact, "committed").await;
                return Ok(true);
            }
            Commit::Lost { latest } => {
                room.metrics.commit_lost();
                on = latest;
            }
        }
    }
    Err(crowded(namespace))
}

/// The manifest with the file in place of the run; `None` where the run is not there as it was planned, or the file may be
/// deleted as an orphan.
fn replaced(on: &EventsManifest, gone: &[EventsFile], file: &EventsFile) -> Option<EventsManifest> {
    if file.planned_on < on.head.orphans_below {
        return None;
    }
    let first = gone.first()?;
    let from = on.files.iter().position(|there| there.path == first.path)?;
    let to = from + gone.len();
    let is_there = on.files.get(from..to)?.iter().zip(gone).all(|(there, planned)| there.path == planned.path);
    is_there.then(|| {
        let mut next = on.clone();
        next.files.splice(from..to, [file.clone()]);
        next
    })
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::manifest::Range;
    use tidemark_model::Instant;

    use super::*;

    fn file(path: &str, planned_on: u64) -> EventsFile {
        let at = Range { min: Instant::from_micros(0), max: Instant::from_micros(0) };
        EventsFile {
            path: path.to_owned(),
            planned_on,
            rows: 1,
            bytes: 1,
            sha256: String::new(),
            positions: Vec::new(),
            system_time: at,
            ts: at,
            collections: Vec::new(),
        }
    }

    #[test]
    fn it_stands_where_the_run_stood_or_nowhere() {
        for (there, gone, orphans_below, expected) in [
            (&["a", "b", "c"][..], &["a", "b"][..], 3, Some(&["x", "c"][..])),
            (&["a", "b", "c", "d"], &["b", "c"], 0, Some(&["a", "x", "d"])),
            (&["a", "b"], &["a", "b"], 4, None),
            (&["ab", "c"], &["a", "b"], 0, None),
            (&["a", "z", "b"], &["a", "b"], 0, None),
            (&["a"], &["a", "b"], 0, None),
            (&["a"], &[], 0, None),
        ] {
            let files = |names: &[&str]| names.iter().map(|name| file(name, 0)).collect::<Vec<_>>();
            let mut on = EventsManifest { files: files(there), ..EventsManifest::before_first() };
            on.head.orphans_below = orphans_below;
            let next = replaced(&on, &files(gone), &file("x", 3));
            let paths = next.map(|next| next.files.into_iter().map(|file| file.path).collect::<Vec<_>>());
            assert_eq!(
                paths.as_deref().map(<[String]>::to_vec),
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect())
            );
        }
    }
}
