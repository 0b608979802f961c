//! The simulation itself: the same seed is the same history, to the last byte that it leaves in the store. Without that
//! a seed that failed would not fail again.
//!
//! Histories with their logs in the store are not held to it: a log is written by a thread of its own, and how far that came
//! when its process died is a matter of real time. What they answer is the same all the same, as the oracle says.

use std::collections::BTreeMap;

use super::Run;

/// The first seeds, of which every other has its log on a disk.
const SEEDS: u64 = 40;

/// Runs a history again, if it is one of these, and holds what it leaves against what it left the first time.
pub(super) fn compare(seed: u64, first: &Run) {
    if seed >= SEEDS || first.world.log_in_store {
        return;
    }
    let (one, other) = (left(first), left(&Run::new(seed).run()));
    let differ = one.iter().filter(|(path, hash)| other.get(*path) != Some(*hash)).map(|(path, _hash)| path);
    assert_eq!(differ.collect::<Vec<_>>(), Vec::<&String>::new(), "objects that the second run has not, or otherwise");
    assert_eq!(one.len(), other.len(), "objects");
}

/// What lies in the store, but for copies of manifests: they are for people, and written once a second of real time.
fn left(run: &Run) -> BTreeMap<String, u64> {
    let mut contents = run.lake().contents();
    contents.retain(|path, _hash| !path.ends_with("/manifest.json"));
    contents
}
