//! Snapshots that a person asks for, by name, and their end.

use tidemark_catalog::{
    CollectionManifest,
    manifest::{Snapshot, SnapshotKind},
};
use tidemark_model::{CollectionName, Instant};

use super::covering;
use crate::{
    Error,
    fold::{self, pick::Place, pick::Plan},
    job::Job,
    metrics::Step,
};

/// The name a snapshot gets when nobody gives it one: `at-2026-02-02t14-30-00-123456`.
fn name_of(at: Instant) -> String {
    let text = at.to_string().to_lowercase();
    let clean = text.trim_end_matches('z').replace([':', '.'], "-");
    format!("at-{clean}")
}

/// A name a person may give: as collections are named, but beginning with a letter, which no date does.
fn checked(name: &str) -> Result<(), Error> {
    let is_letter = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    match CollectionName::parse(name) {
        Ok(_) if is_letter => Ok(()),
        _ => Err(Error::SnapshotName(name.chars().take(80).collect())),
    }
}

/// Takes a snapshot of an instant; `None` when its commit was lost and it has to be planned again. One that exists under
/// this name at this instant is returned as it is.
pub(crate) async fn take_named(job: &mut Job<'_>, name: Option<&str>, at: Instant) -> Result<Option<Snapshot>, Error> {
    let name = name.map_or_else(|| name_of(at), str::to_owned);
    checked(&name)?;
    let now = job.tools.live.now();
    if at > now {
        return Err(Error::Future { at, now });
    }
    let Some(manifest) = covering(job, at).await? else { return Err(Error::NotInFiles(at)) };
    job.manifest = manifest;
    if let Some(there) = job.manifest.snapshots.iter().find(|snapshot| snapshot.name == name) {
        let is_same = there.kind == SnapshotKind::Named && there.instant == at;
        let exists = || Error::SnapshotExists { collection: job.told(), name };
        return is_same.then(|| Some(there.clone())).ok_or_else(exists);
    }
    let max = job.tools.config.snapshots_named_max;
    if job.manifest.snapshots.iter().filter(|snapshot| snapshot.kind == SnapshotKind::Named).count() >= max {
        return Err(Error::TooManySnapshots { collection: job.told(), max });
    }
    let base = fold::write::write(job, &Plan::as_of(&job.manifest, at, Place::Snapshot(name.clone()))?).await?;
    if base.changes == 0 {
        return Err(Error::NothingThen { collection: job.told(), at });
    }
    let mut next = CollectionManifest::clone(&job.manifest);
    let snapshot = Snapshot { name, kind: SnapshotKind::Named, instant: at, taken_at: job.now(), base, until: None };
    next.snapshots.push(snapshot.clone());
    Ok(job.commit(Step::Snapshot, next).await?.then_some(snapshot))
}

/// Drops a snapshot of any kind; `false` when the commit was lost and it has to be planned again. Its files are left to
/// clean-up.
pub(crate) async fn drop_named(job: &Job<'_>, name: &str) -> Result<bool, Error> {
    let mut next = CollectionManifest::clone(&job.manifest);
    next.snapshots.retain(|snapshot| snapshot.name != name);
    if next.snapshots.len() == job.manifest.snapshots.len() {
        return Err(Error::UnknownSnapshot { collection: job.told(), name: name.chars().take(80).collect() });
    }
    job.commit(Step::Snapshot, next).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_collections_and_no_dates() {
        for (name, is_good) in [
            ("before-the-move", true),
            ("v1.2", true),
            ("2026-02", false),
            ("2026-02-02", false),
            ("", false),
            ("A", false),
            ("a/b", false),
        ] {
            assert_eq!(checked(name).is_ok(), is_good, "{name}");
        }
        let name = name_of(Instant::parse("2026-02-02T14:30:00.123456Z").expect("an instant"));
        assert_eq!(name, "at-2026-02-02t14-30-00-123456");
        assert!(checked(&name).is_ok());
    }
}
