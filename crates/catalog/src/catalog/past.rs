//! `{ns}/{directory}/_versions/{first}-{last}.json`: what manifest versions stood for whose entries were deleted.
//!
//! Written before the floor of a register is raised, from entries that never change, so that whoever writes a range
//! writes the same. Versions that follow each other and stand for the same changes are one run.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tidemark_model::{Instant, Seq};
use tidemark_storage::{ObjectPath, Store, paths, register::Register, store::Put};

use super::CatalogError;
use crate::manifest::{CollectionManifest, stored};

/// The format that is written here.
const FORMAT: u32 = 1;
/// Entries read at once.
const READS_AT_ONCE: usize = 16;

/// A file, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versions {
    format: u32,
    /// Ascending: from this version on, up to which position and system time the changes are in its files.
    runs: Vec<(u64, Seq, Instant)>,
}

/// Writes down what the versions in a range stand for; the last is excluded.
pub(super) async fn keep(
    store: &Store,
    table: &ObjectPath,
    register: &Register,
    range: std::ops::Range<u64>,
) -> Result<(), CatalogError> {
    if range.is_empty() {
        return Ok(());
    }
    let path = paths::versions_file(table, range.start, range.end - 1);
    let reads = range.map(|number| async move {
        let missing = || CatalogError::unreadable(&register.path(number), "it is missing");
        let bytes = register.read(number).await?.ok_or_else(missing)?;
        let manifest: CollectionManifest = stored::decode(register.path(number).as_ref(), &bytes)?;
        Ok::<_, CatalogError>((number, manifest.mark, manifest.system_time))
    });
    let mut runs: Vec<(u64, Seq, Instant)> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    runs.dedup_by_key(|(_, mark, system_time)| (*mark, *system_time));
    let body = encode(&path, &Versions { format: FORMAT, runs })?;
    match store.create(&path, body).await? {
        Put::Created | Put::Exists => Ok(()),
    }
}

/// The system time that a version stood for; `None` where it was never written down.
pub(super) async fn find(store: &Store, table: &ObjectPath, number: u64) -> Result<Option<Instant>, CatalogError> {
    let listed = store.list(&paths::versions(table)).await?;
    let holds =
        |path: &ObjectPath| paths::versions_of(path).is_some_and(|(first, last)| (first..=last).contains(&number));
    let Some(path) = listed.into_iter().map(|object| object.location).find(holds) else { return Ok(None) };
    let Versions { runs, .. } = decode(&path, &store.get(&path).await?)?;
    let after = runs.partition_point(|(first, ..)| *first <= number);
    Ok(after.checked_sub(1).map(|at| runs[at].2))
}

fn encode(path: &ObjectPath, versions: &Versions) -> Result<Bytes, CatalogError> {
    let json = serde_json::to_vec(versions).map_err(|error| CatalogError::unreadable(path, error))?;
    stored::compressed(json.into())
}

fn decode(path: &ObjectPath, bytes: &[u8]) -> Result<Versions, CatalogError> {
    let json = stored::plain(path.as_ref(), bytes)?;
    super::check_format(path, &json, FORMAT)?;
    serde_json::from_slice(&json).map_err(|error| CatalogError::unreadable(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let at = Instant::from_micros;
        let versions = Versions { format: 1, runs: vec![(1, 9, at(10)), (3, 20, at(21))] };
        let path = paths::versions_file(&ObjectPath::from("nyc/flights"), 1, 4);
        let stored = include_bytes!("../../fixtures/versions_v1.json");
        assert_eq!(encode(&path, &versions).unwrap(), stored.trim_ascii_end());
        assert_eq!(decode(&path, stored).unwrap(), versions);
        for bad in [r#"{"format":1,"runs":[],"x":1}"#, r#"{"format":2,"runs":[]}"#, ""] {
            assert!(decode(&path, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
