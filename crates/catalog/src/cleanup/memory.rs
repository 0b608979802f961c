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
    /// The manifest version at which nothing was left to do.
    clean: Mutex<HashMap<ObjectPath, u64>>,
}

impl Memory {
    /// Notes what is unnamed now; the files that have been for at least the grace.
    pub(super) fn ripe(&self, table: &ObjectPath, unnamed: Vec<ObjectPath>, grace: Duration) -> Vec<ObjectPath> {
        let now = Moment::now();
        let mut tables = lock(&self.unnamed);
        let seen = tables.entry(table.clone()).or_default();
        let current = unnamed.into_iter().map(|path| {
            let since = seen.get(&path).copied().unwrap_or(now);
            (path, since)
        });
        *seen = current.collect();
        let ripe = seen.iter().filter(|(_, since)| now.duration_since(**since) >= grace);
        ripe.map(|(path, _)| path.clone()).collect()
    }

    /// These files are gone.
    pub(super) fn forget(&self, table: &ObjectPath, gone: &[ObjectPath]) {
        if let Some(seen) = lock(&self.unnamed).get_mut(table) {
            seen.retain(|path, _| !gone.contains(path));
        }
    }

    /// Nothing is left to do while the manifest has this version.
    pub(super) fn clean(&self, table: ObjectPath, version: u64) {
        lock(&self.clean).insert(table, version);
    }

    /// Whether a run found nothing at this version.
    pub(super) fn is_clean(&self, table: &ObjectPath, version: u64) -> bool {
        lock(&self.clean).get(table) == Some(&version)
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
        assert!(memory.ripe(&table, vec![path.clone()], hour).is_empty());
        assert_eq!(memory.ripe(&table, vec![path.clone()], Duration::ZERO), std::slice::from_ref(&path));
        // Named again (it cannot be, but a list may be late), then unnamed: the grace begins anew.
        assert!(memory.ripe(&table, Vec::new(), Duration::ZERO).is_empty());
        assert!(memory.ripe(&table, vec![path], hour).is_empty());
    }
}
