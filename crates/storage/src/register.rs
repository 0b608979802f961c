//! A register: a chain of numbered objects, each created once (storage.md, principles 1, 5, 6).
//!
//! Every entry carries a writer-unique put id in its body, so an ambiguous create is settled by reading back. A floor —
//! a register of its own, whose entries are never deleted — is raised before entries below it are removed; a committer
//! probes it after its create. From the floor on the chain has no gap, so the newest entry is found by doubling steps
//! and halving them again: no LIST, and two requests when the hint is right.

mod floor;

use bytes::Bytes;
use object_store::path::Path;

use crate::{Store, StoreError, paths, store::Put};

use self::floor::Floor;

/// How often an entry that is said to exist may be found absent before the store's error is given up to the caller.
const CREATE_ATTEMPTS: usize = 8;
/// How often a search for the newest entry starts anew because the floor moved past it.
const LATEST_ATTEMPTS: usize = 8;

/// One register. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Register {
    store: Store,
    directory: Path,
    extension: &'static str,
    floor: Floor,
}

/// How a create ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// The entry is ours.
    Won,
    /// The number is taken by another's entry.
    Lost,
    /// The floor stands above the number: whoever created it has been away for too long.
    Fenced,
}

impl Register {
    /// The register in a directory; its floor is `paths::floor(directory)`.
    #[must_use]
    pub fn new(store: Store, directory: Path) -> Self {
        Self::of(store, directory, "json")
    }

    /// A register whose entries have this extension.
    pub(crate) fn of(store: Store, directory: Path, extension: &'static str) -> Self {
        let floor = Floor::new(store.clone(), paths::floor(&directory));
        Self { store, directory, extension, floor }
    }

    /// Where entry `number` lies.
    #[must_use]
    pub fn path(&self, number: u64) -> Path {
        paths::numbered(&self.directory, number, self.extension)
    }

    /// Creates entry `number`. `body` must hold a put id no other body has: on "already exists" the entry is read back
    /// and compared.
    ///
    /// # Errors
    /// When the store fails for longer than its retries; the outcome is then unknown and the caller reads again.
    pub async fn create(&self, number: u64, body: Bytes) -> Result<Created, StoreError> {
        if !self.put(number, body).await? {
            return Ok(Created::Lost);
        }
        let is_fenced = self.floor.number().await? > number;
        Ok(if is_fenced { Created::Fenced } else { Created::Won })
    }

    /// Creates entry `number`, unless it is there; whether it is ours. The floor is not looked at: for registers whose
    /// entries are deleted by their only writer, or end with an entry that is never deleted and that stops whoever has
    /// been away.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn put(&self, number: u64, body: Bytes) -> Result<bool, StoreError> {
        create_once(&self.store, &self.path(number), body).await
    }

    /// Entry `number`, if it exists; whoever cannot know that it lies above the floor asks for what was
    /// [`committed`](Self::committed).
    ///
    /// # Errors
    /// [`StoreError::Empty`], or whatever the store says.
    pub async fn read(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        read_entry(&self.store, &self.path(number)).await
    }

    /// Entry `number` of the chain. Below the floor nothing is believed: what stands there may be a fenced writer's, for
    /// ever, and was never part of it.
    ///
    /// # Errors
    /// [`StoreError::Empty`], or whatever the store says.
    pub async fn committed(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        let found = self.read(number).await?;
        if found.is_some() && self.floor.number().await? > number { Ok(None) } else { Ok(found) }
    }

    /// Whether entry `number` exists: cheaper than reading it.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn exists(&self, number: u64) -> Result<bool, StoreError> {
        self.store.exists(&self.path(number)).await
    }

    /// The newest entry, probing forward from `hint` (the number of an entry that was seen; `None` begins at the
    /// floor). Numbers begin at 1. A missing number is believed only if it lies above the floor read after the probe.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn latest(&self, hint: Option<u64>) -> Result<Option<(u64, Bytes)>, StoreError> {
        let mut from = match hint {
            Some(seen) => seen,
            None => self.floor.number().await?,
        };
        for _attempt in 0..LATEST_ATTEMPTS {
            let newest = newest_from(&self.store, |number| self.path(number), from).await?;
            let found = if newest == 0 { None } else { self.read(newest).await? };
            let floor = self.floor.number().await?;
            match found {
                Some(body) if newest >= floor => return Ok(Some((newest, body))),
                None if newest == 0 && floor == 0 => return Ok(None),
                _ => from = floor,
            }
        }
        // The floor outran eight searches, or its entry is missing: say which entry is not there.
        Err(StoreError::NotFound { path: self.path(from).to_string() })
    }

    /// Deletes the entries below `number`, after raising the floor to it; how many. One that a run before left behind
    /// after its crash is not found again: it lies below the floor and nobody reads it.
    ///
    /// # Errors
    /// Whatever the store says; what was not deleted then lies below the floor.
    pub async fn trim(&self, number: u64) -> Result<u64, StoreError> {
        let floor = self.floor.number().await?;
        if floor >= number {
            return Ok(0);
        }
        self.raise_floor(number).await?;
        let gone = floor.max(1)..number;
        self.store.delete_all(gone.clone().map(|gone| self.path(gone))).await?;
        Ok(gone.end - gone.start)
    }

    /// The floor: entries below it may be gone.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn floor(&self) -> Result<u64, StoreError> {
        self.floor.number().await
    }

    /// Raises the floor to `number` durably; only then entries below it may be deleted.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn raise_floor(&self, number: u64) -> Result<(), StoreError> {
        self.floor.raise(number).await
    }
}

/// Creates an entry; whether it is ours. An error and an "exists" say nothing yet: both are settled by reading back.
/// "Exists" with nothing there is a conflict among requests of which none was applied, so it is tried again.
async fn create_once(store: &Store, path: &Path, body: Bytes) -> Result<bool, StoreError> {
    let mut last = None;
    for _attempt in 0..CREATE_ATTEMPTS {
        let outcome = store.create(path, body.clone()).await;
        if matches!(outcome, Ok(Put::Created)) {
            return Ok(true);
        }
        match (read_entry(store, path).await, outcome) {
            (Ok(Some(there)), _) => return Ok(there == body),
            (_, Err(error)) | (Err(error), _) => return Err(error),
            (Ok(None), Ok(_exists)) => last = Some(path),
        }
    }
    Err(StoreError::NotFound { path: last.unwrap_or(path).to_string() })
}

/// An entry without bytes is damage, not a value.
async fn read_entry(store: &Store, path: &Path) -> Result<Option<Bytes>, StoreError> {
    match store.get(path).await {
        Ok(bytes) if bytes.is_empty() => Err(StoreError::Empty { path: path.to_string() }),
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of the last entry of a run without gaps that begins at `from`; `from` itself if none follows it.
async fn newest_from(store: &Store, path: impl Fn(u64) -> Path, from: u64) -> Result<u64, StoreError> {
    let (mut there, mut step) = (from, 1);
    while store.exists(&path(there + step)).await? {
        there += step;
        step *= 2;
    }
    // Entry `there` exists, entry `there + step` does not: halve what lies between.
    let mut absent = there + step;
    while absent - there > 1 {
        let middle = there + (absent - there) / 2;
        if store.exists(&path(middle)).await? {
            there = middle;
        } else {
            absent = middle;
        }
    }
    Ok(there)
}

#[cfg(test)]
pub(crate) mod tests;
