//! One commit: the new snapshot, and which older ones stay.

use tidemark_catalog::{
    Base, CollectionManifest,
    manifest::{Snapshot, SnapshotKind},
};

use super::pick::{self, Due, Keep};
use crate::{Error, job::Job, metrics::Step, room::More};

/// Commits a snapshot of the calendar. One that holds what the one before it holds is not kept: it reads the same. The one
/// before learns up to where it holds.
pub(super) async fn calendar(job: &Job<'_>, due: Due, base: Base, keep: &Keep) -> Result<More, Error> {
    let mut next = dealt_with(job, &due);
    let before = next.snapshots.iter_mut().rfind(|snapshot| snapshot.kind == due.kind);
    let is_news = base.changes > before.as_ref().map_or(0, |before| before.base.changes);
    if let Some(before) = before {
        let until = if is_news { pick::quiet(&job.manifest, before, due.instant) } else { due.instant };
        before.until = Some(until).filter(|until| *until > before.instant);
    }
    if is_news {
        let Due { kind, instant, name } = due;
        next.snapshots.push(Snapshot { name, kind, instant, taken_at: job.now(), base, until: None });
        next.snapshots = kept(next.snapshots, keep);
    }
    job.publish(Step::Snapshot, next).await
}

/// Notes a period whose history was dropped before its snapshot was taken.
pub(super) async fn passed(job: &Job<'_>, due: &Due) -> Result<More, Error> {
    job.publish(Step::Snapshot, dealt_with(job, due)).await
}

fn dealt_with(job: &Job<'_>, due: &Due) -> CollectionManifest {
    let mut next = CollectionManifest::clone(&job.manifest);
    match due.kind {
        SnapshotKind::Monthly => next.taken.monthly = due.instant,
        SnapshotKind::Daily | SnapshotKind::Named => next.taken.daily = due.instant,
    }
    next
}

/// Of each kind the newest ones that are kept, in order.
pub(crate) fn kept(snapshots: Vec<Snapshot>, keep: &Keep) -> Vec<Snapshot> {
    let newer = |at: usize| snapshots[at + 1..].iter().filter(|other| other.kind == snapshots[at].kind).count();
    let stays = |at: usize| keep.count(snapshots[at].kind).is_none_or(|count| newer(at) < count);
    let stay: Vec<bool> = (0..snapshots.len()).map(stays).collect();
    snapshots.into_iter().zip(stay).filter_map(|(snapshot, stays)| stays.then_some(snapshot)).collect()
}

#[cfg(test)]
mod tests {
    use tidemark_model::{DocSchema, Instant};

    use super::*;

    #[test]
    fn the_newest_of_each_kind_stay_and_named_ones_always() {
        let snapshot = |name: &str| Snapshot {
            name: name.to_owned(),
            kind: match name.len() {
                10 => SnapshotKind::Daily,
                7 => SnapshotKind::Monthly,
                _ => SnapshotKind::Named,
            },
            instant: Instant::from_micros(0),
            taken_at: Instant::from_micros(0),
            base: Base {
                planned_on: 0,
                mark: 0,
                system_time: Instant::from_micros(0),
                max_ts: Instant::from_micros(0),
                max_bookmark: None,
                rows: 0,
                changes: 0,
                parts: Vec::new(),
                tombstones: Vec::new(),
                schema: DocSchema::default(),
                bound: None,
            },
            until: None,
        };
        let all = ["a", "2026-01-30", "2026-01-31", "2026-01", "b", "2026-02-01", "2026-02"];
        for ((daily, monthly), expected) in
            [((9, 9), &all[..]), ((2, 1), &["a", "2026-01-31", "b", "2026-02-01", "2026-02"]), ((0, 0), &["a", "b"])]
        {
            let left = kept(all.map(snapshot).to_vec(), &Keep { daily, monthly });
            assert_eq!(left.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(), expected);
        }
    }
}
