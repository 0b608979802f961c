//! What clean-up remembers between runs; a restart forgets it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Moment},
};

use tidemark_storage::ObjectPath;

/// By the directory of a table.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When files were first seen unnamed.
    unnamed: Mutex<HashMap<ObjectPath, BTreeMap<ObjectPath, Moment>>>,
    /// At which version of the manifest nothing is to be done, and until when; `None`: as long as it is the newest.
    rests: Mutex<HashMap<ObjectPath, (u64, Option<Moment>)>>,
}

impl Memory {
    /// Notes what is unnamed now; the files that have been for at least the grace, and in how long the first of the others
    /// will have been: [`Duration::MAX`] where there are none.
    pub(super) fn ripe(
        &self,
        table: &ObjectPath,
        unnamed: Vec<ObjectPath>,
        grace: Duration,
    ) -> (Vec<ObjectPath>, Duration) {
        let now = Moment::now();
        let mut tables = lock(&self.unnamed);
        let seen = tables.entry(table.clone()).or_default();
        let current = unnamed.into_iter().map(|path| {
            let since = seen.get(&path).copied().unwrap_or(now);
            (path, since)
        });
        *seen = current.collect();
        let (mut ripe, mut next) = (Vec::new(), Duration::MAX);
        for (path, since) in seen.iter() {
            match grace.checked_sub(now.duration_since(*since)) {
                Some(wait) if !wait.is_zero() => next = next.min(wait),
                _ => ripe.push(path.clone()),
            }
        }
        (ripe, next)
    }

    /// These files are gone.
    pub(super) fn forget(&self, table: &ObjectPath, gone: &[ObjectPath]) {
        if let Some(seen) = lock(&self.unnamed).get_mut(table) {
            seen.retain(|path, _| !gone.contains(path));
        }
    }

    /// Nothing is to be done for so long while the manifest has this version.
    pub(super) fn rest(&self, table: ObjectPath, version: u64, time: Duration) {
        lock(&self.rests).insert(table, (version, Moment::now().checked_add(time)));
    }

    /// Whether a run found that there is nothing to do now at this version.
    pub(super) fn rests(&self, table: &ObjectPath, version: u64) -> bool {
        let is_before = |until: Option<Moment>| until.is_none_or(|until| Moment::now() < until);
        lock(&self.rests).get(table).is_some_and(|(at, until)| *at == version && is_before(*until))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_when_it_was_seen_unnamed_for_the_grace() {
        let (memory, table, path) = (Memory::default(), ObjectPath::from("n/c"), ObjectPath::from("n/c/state/x"));
        let hour = Duration::from_secs(3600);
        assert_eq!(memory.ripe(&table, vec![path.clone()], hour), (Vec::new(), hour));
        assert_eq!(memory.ripe(&table, vec![path.clone()], Duration::ZERO), (vec![path.clone()], Duration::MAX));
        let (ripe, wait) = memory.ripe(&table, vec![path.clone()], hour);
        assert!(ripe.is_empty() && wait < hour, "{wait:?}");
        // Named again (it cannot be, but a list may be late), then unnamed: the grace begins anew.
        assert_eq!(memory.ripe(&table, Vec::new(), Duration::ZERO), (Vec::new(), Duration::MAX));
        assert_eq!(memory.ripe(&table, vec![path], hour), (Vec::new(), hour));
    }

    #[test]
    fn a_table_rests_while_its_manifest_stands_and_for_no_longer_than_was_said() {
        let (memory, table) = (Memory::default(), ObjectPath::from("n/c"));
        assert!(!memory.rests(&table, 1));
        for (time, is_resting) in [(Duration::MAX, true), (Duration::from_secs(3600), true), (Duration::ZERO, false)] {
            memory.rest(table.clone(), 1, time);
            assert_eq!((memory.rests(&table, 1), memory.rests(&table, 2)), (is_resting, false), "{time:?}");
        }
    }
}
