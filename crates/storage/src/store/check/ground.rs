//! The ground of one check: a prefix that is its own, and what was written there, so that it can be taken away.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::path::Path;

use crate::{Store, StoreError, store::Put};

/// Objects that are deleted at once.
const DELETES_MAX: usize = 16;
/// How often a free name has to be told to be taken until that counts: 409 of S3 says only that something else was under way.
const ATTEMPTS: usize = 3;
/// After so many bytes a body goes on otherwise.
const BLOCK: usize = 4096;

/// Why a question was not answered with yes.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The store does otherwise: what was seen.
    Seen(String),
    /// A request failed.
    Untried(StoreError),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Untried(error)
    }
}

/// Nothing when it is as it should be; else what was seen.
pub(super) fn expect(is_so: bool, seen: impl FnOnce() -> String) -> Result<(), Wrong> {
    if is_so { Ok(()) } else { Err(Wrong::Seen(seen())) }
}

/// Where a check writes.
#[derive(Debug)]
pub(super) struct Ground<'s> {
    pub(super) store: &'s Store,
    root: Path,
    written: Mutex<Vec<Path>>,
}

impl<'s> Ground<'s> {
    pub(super) const fn new(store: &'s Store, root: Path) -> Self {
        Self { store, root, written: Mutex::new(Vec::new()) }
    }

    /// A directory of the ground.
    pub(super) fn directory(&self, name: &str) -> Path {
        below(&self.root, name)
    }

    /// A name below a directory of the ground; whatever is written there will be deleted.
    pub(super) fn object(&self, directory: &str, name: &str) -> Path {
        let path = below(&self.directory(directory), name);
        self.written().push(path.clone());
        path
    }

    /// The object, or nothing where there is none.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates what is not there.
    pub(super) async fn create(&self, path: &Path, written: &Bytes) -> Result<(), Wrong> {
        let mut is_ours = false;
        for _attempt in 0..ATTEMPTS {
            if self.store.create(path, written.clone()).await? == Put::Created {
                return Ok(());
            }
            // "Exists" may be our own success, if the client tried twice: what is there decides.
            if let Some(there) = self.read(path).await? {
                is_ours = there == *written;
                break;
            }
        }
        expect(is_ours, || "a create of a free name was told that the name is taken".to_owned())
    }

    /// Deletes what was written: what is remembered of it, as a list may be late. What stays, with why.
    pub(super) async fn clear(self) -> Vec<String> {
        let (store, written) = (self.store, self.written.into_inner().unwrap_or_else(PoisonError::into_inner));
        let delete = |path: Path| async move {
            let deleted = store.delete(&path).await;
            deleted.err().map(|error| format!("{path}: {}", with_cause(&error)))
        };
        let left = stream::iter(written).map(delete).buffer_unordered(DELETES_MAX);
        left.filter_map(std::future::ready).collect().await
    }

    /// What was perhaps written, where the store cannot be asked to delete it.
    pub(super) fn unknown(self) -> Vec<String> {
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        written.iter().map(|path| format!("{path}: perhaps there, the store was not reached")).collect()
    }

    fn written(&self) -> MutexGuard<'_, Vec<Path>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn below(directory: &Path, name: &str) -> Path {
    name.split('/').fold(directory.clone(), |path, part| path.join(part))
}

/// An error and what is behind it.
fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Bytes that differ from place to place, so that a part that is missing, twice, or elsewhere is seen.
pub(super) fn body(bytes: usize) -> Bytes {
    let mut body = Vec::with_capacity(bytes);
    while body.len() < bytes {
        let block = body.len() / BLOCK;
        let rest = BLOCK.min(bytes - body.len());
        body.extend((0..rest).map(|at| (block * 31 + at).to_le_bytes()[0]));
    }
    body.into()
}

/// What is wrong with bytes that were read; nothing when they are those that were written.
pub(super) fn same(what: &str, read: Option<&Bytes>, written: &Bytes) -> Result<(), Wrong> {
    match read {
        None => Err(Wrong::Seen(format!("{what} is not there"))),
        Some(read) if read.len() != written.len() => {
            Err(Wrong::Seen(format!("{what} has {} bytes, {} were written", read.len(), written.len())))
        }
        Some(read) if read == written => Ok(()),
        Some(read) => match read.iter().zip(written).position(|(read, written)| read != written) {
            Some(at) => Err(Wrong::Seen(format!("{what} differs from what was written from byte {at} on"))),
            None => Ok(()),
        },
    }
}
