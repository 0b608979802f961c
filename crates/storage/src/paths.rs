//! The one home of object paths. Layout: storage.md; every path is relative to the root of the lake.
//!
//! The readable part of a data file's name is for people, its end is a ULID: two writers never address one file.

use object_store::path::Path;
use tidemark_model::{Instant, Namespace};
use ulid::Ulid;

const SYSTEM: &str = "_tidemark";

/// `_tidemark/format.json`: format version, cluster id, shard count.
#[must_use]
pub fn format() -> Path {
    Path::from_iter([SYSTEM, "format.json"])
}

/// `_tidemark/catalog`: the register of namespaces and collections.
#[must_use]
pub fn catalog() -> Path {
    Path::from_iter([SYSTEM, "catalog"])
}

/// `_tidemark/tokens`: the register of tokens.
#[must_use]
pub fn tokens() -> Path {
    Path::from_iter([SYSTEM, "tokens"])
}

/// `_tidemark/maintenance`: the register of maintenance: whether anything is taken in.
#[must_use]
pub fn maintenance() -> Path {
    Path::from_iter([SYSTEM, "maintenance"])
}

/// `_tidemark/audit`: the register of the audit trail.
#[must_use]
pub fn audit() -> Path {
    Path::from_iter([SYSTEM, "audit"])
}

/// `_tidemark/owner`: the register of epochs.
#[must_use]
pub fn owner() -> Path {
    Path::from_iter([SYSTEM, "owner"])
}

/// `_tidemark/lease/{epoch}`: how the owner of an epoch says that it is alive.
#[must_use]
pub fn lease(epoch: u64) -> Path {
    Path::from_iter([SYSTEM, "lease"]).join(format!("{epoch:020}"))
}

/// `_tidemark/log/{ulid}`: the log of one owner, where its log lies in the store.
#[must_use]
pub fn log(id: Ulid) -> Path {
    Path::from_iter([SYSTEM, "log"]).join(id.to_string())
}

/// `_tidemark/rejected`: records that were refused while the rest of their request was taken.
#[must_use]
pub fn rejected() -> Path {
    Path::from_iter([SYSTEM, "rejected"])
}

/// `_tidemark/rejected/{time}-{ulid}.json`.
#[must_use]
pub fn rejected_file(at: Instant, id: Ulid) -> Path {
    rejected().join(format!("{:016}-{id}.json", at.micros()))
}

/// `_tidemark/check/{ulid}`: the ground of one check of the store; nothing stays there.
#[must_use]
pub fn check(id: Ulid) -> Path {
    Path::from_iter([SYSTEM, "check", &id.to_string()])
}

/// The floor that belongs to a register: a sibling directory, `_floor` beside `_manifest`, else `{register}_floor`.
#[must_use]
pub fn floor(register: &Path) -> Path {
    match register.as_ref().strip_suffix("_manifest") {
        Some(table) => Path::from(format!("{table}_floor")),
        None => Path::from(format!("{register}_floor")),
    }
}

/// One entry of a register: twenty digits, so that text order is number order.
#[must_use]
pub fn entry(register: &Path, number: u64) -> Path {
    numbered(register, number, "json")
}

/// One of numbered objects: twenty digits, so that text order is number order.
pub(crate) fn numbered(directory: &Path, number: u64, extension: &str) -> Path {
    directory.clone().join(format!("{number:020}.{extension}"))
}

/// The number in the name of such an object.
#[must_use]
pub fn number_of(path: &Path) -> Option<u64> {
    let (digits, _extension) = path.filename()?.split_once('.')?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// `{namespace}/{directory}`: a table; the events table's directory is `events`.
#[must_use]
pub fn table(namespace: &Namespace, directory: &str) -> Path {
    Path::from_iter([namespace.as_str(), directory])
}

/// `{namespace}/{directory}/_manifest`: the register of a table's manifests.
#[must_use]
pub fn manifests(namespace: &Namespace, directory: &str) -> Path {
    table(namespace, directory).join("_manifest")
}

/// Whether a directory of a table holds entries of a register: its manifests or their floor.
pub(crate) fn is_register(directory: &std::path::Path) -> bool {
    directory.file_name().is_some_and(|name| name == "_manifest" || name == "_floor")
}

/// `{namespace}/{directory}/_versions`: what manifests stood for that were deleted.
#[must_use]
pub fn versions(table: &Path) -> Path {
    table.clone().join("_versions")
}

/// `{namespace}/{directory}/_versions/{first}-{last}.json`.
#[must_use]
pub fn versions_file(table: &Path, first: u64, last: u64) -> Path {
    versions(table).join(format!("{first:020}-{last:020}.json"))
}

/// The first and the last version that such a file tells of.
#[must_use]
pub fn versions_of(path: &Path) -> Option<(u64, u64)> {
    let (first, last) = path.filename()?.strip_suffix(".json")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// `{namespace}/{directory}/manifest.json`: the best-effort copy of the newest manifest.
#[must_use]
pub fn manifest_copy(namespace: &Namespace, directory: &str) -> Path {
    table(namespace, directory).join("manifest.json")
}

/// `{namespace}/events/2026/02/02/14/{first system time}-{ulid}.parquet`.
#[must_use]
pub fn events_file(namespace: &Namespace, first: Instant, id: Ulid) -> Path {
    let name = format!("{:016}-{id}.parquet", first.micros());
    first.hour_path().split('/').fold(table(namespace, "events"), |path, part| path.join(part)).join(name)
}

/// `{namespace}/events/_idempotency/{first system time}-{ulid}.parquet`.
#[must_use]
pub fn idempotency_file(namespace: &Namespace, first: Instant, id: Ulid) -> Path {
    table(namespace, "events").join("_idempotency").join(format!("{:016}-{id}.parquet", first.micros()))
}

/// `{namespace}/{directory}/deltas/000001_2026-02-02T14-30-{ulid}.parquet`.
#[must_use]
pub fn delta_file(table: &Path, number: u64, at: Instant, id: Ulid) -> Path {
    table.clone().join("deltas").join(format!("{number:06}_{}-{id}.parquet", at.minute_name()))
}

/// `{namespace}/{directory}/state/{version}-{part}-{ulid}.parquet`.
#[must_use]
pub fn state_file(table: &Path, version: u64, part: usize, id: Ulid) -> Path {
    states(table).join(format!("{version:06}-{part:04}-{id}.parquet"))
}

/// `{namespace}/{directory}/state`: the root of the published table of current states.
#[must_use]
pub fn states(table: &Path) -> Path {
    table.clone().join("state")
}

/// `{root}/_delta_log`: the log of a published table.
#[must_use]
pub fn delta_log(root: &Path) -> Path {
    root.clone().join("_delta_log")
}

/// The version that an object of such a log is of; the hint where to begin has none.
#[must_use]
pub fn delta_log_version(path: &Path) -> Option<u64> {
    path.filename()?.get(..20)?.parse().ok()
}

/// Whether an object of such a log is a checkpoint.
#[must_use]
pub fn is_delta_checkpoint(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.contains(".checkpoint."))
}

/// A path as seen from a directory that it lies below; `None` where it lies elsewhere.
#[must_use]
pub fn below<'p>(directory: &Path, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(directory.as_ref())?.strip_prefix('/')
}

/// `{namespace}/{directory}/bases/{version}-tombstones-{ulid}.parquet`.
#[must_use]
pub fn tombstones_file(table: &Path, version: u64, id: Ulid) -> Path {
    table.clone().join("bases").join(format!("{version:06}-tombstones-{id}.parquet"))
}

/// `{namespace}/{directory}/bases/{version}-{part}-{ulid}.parquet`: a part of a checkpoint.
#[must_use]
pub fn base_file(table: &Path, version: u64, part: usize, id: Ulid) -> Path {
    table.clone().join("bases").join(format!("{version:06}-{part:04}-{id}.parquet"))
}

/// `{namespace}/{directory}/snapshots/{name}-{ulid}.parquet`: a part of a snapshot.
#[must_use]
pub fn snapshot_file(table: &Path, name: &str, id: Ulid) -> Path {
    table.clone().join("snapshots").join(format!("{name}-{id}.parquet"))
}

/// Whether a path is that of a data file; registers, copies and published logs (their checkpoints too) are none.
#[must_use]
pub fn is_data_file(path: &Path) -> bool {
    path.extension() == Some("parquet") && !path.parts().any(|part| part.as_ref() == "_delta_log")
}

/// Where the data files of a collection lie: everything in them is named by a manifest or an orphan.
#[must_use]
pub fn data_directories(table: &Path) -> [Path; 4] {
    ["deltas", "state", "bases", "snapshots"].map(|directory| table.clone().join(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_layout() {
        let nyc = Namespace::parse("nyc").expect("a name");
        let at = Instant::parse("2026-02-02T14:30:00Z").expect("an instant");
        let flights = table(&nyc, "flights");
        for (path, expected) in [
            (format(), "_tidemark/format.json"),
            (check(Ulid::nil()), "_tidemark/check/00000000000000000000000000"),
            (entry(&catalog(), 7), "_tidemark/catalog/00000000000000000007.json"),
            (floor(&catalog()), "_tidemark/catalog_floor"),
            (entry(&lease(3), 7), "_tidemark/lease/00000000000000000003/00000000000000000007.json"),
            (
                numbered(&log(Ulid::nil()), 7, "seg"),
                "_tidemark/log/00000000000000000000000000/00000000000000000007.seg",
            ),
            (rejected_file(at, Ulid::nil()), "_tidemark/rejected/1770042600000000-00000000000000000000000000.json"),
            (floor(&manifests(&nyc, "events")), "nyc/events/_floor"),
            (
                events_file(&nyc, at, Ulid::nil()),
                "nyc/events/2026/02/02/14/1770042600000000-00000000000000000000000000.parquet",
            ),
            (
                delta_file(&flights, 1, at, Ulid::nil()),
                "nyc/flights/deltas/000001_2026-02-02T14-30-00000000000000000000000000.parquet",
            ),
            (
                state_file(&flights, 3, 0, Ulid::nil()),
                "nyc/flights/state/000003-0000-00000000000000000000000000.parquet",
            ),
            (
                tombstones_file(&flights, 3, Ulid::nil()),
                "nyc/flights/bases/000003-tombstones-00000000000000000000000000.parquet",
            ),
            (
                base_file(&flights, 3, 1, Ulid::nil()),
                "nyc/flights/bases/000003-0001-00000000000000000000000000.parquet",
            ),
            (
                snapshot_file(&flights, "2026-02", Ulid::nil()),
                "nyc/flights/snapshots/2026-02-00000000000000000000000000.parquet",
            ),
            (versions_file(&flights, 1, 42), "nyc/flights/_versions/00000000000000000001-00000000000000000042.json"),
        ] {
            assert_eq!(path.as_ref(), expected);
        }
        assert_eq!(versions_of(&versions_file(&flights, 1, 42)), Some((1, 42)));
        assert_eq!(versions_of(&entry(&catalog(), 7)), None);
        assert_eq!((number_of(&entry(&catalog(), 7)), number_of(&format())), (Some(7), None));
    }
}
