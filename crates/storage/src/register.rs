//! A register: a chain of numbered objects, each created once (storage.md, principles 1, 5, 6).
//!
//! Every entry carries a writer-unique put id in its body, so an ambiguous create is settled by reading back. A floor —
//! a register of its own — is raised before entries below it are removed; a committer probes it after its create.

use bytes::Bytes;
use object_store::path::Path;

use crate::{Store, StoreError};

/// One register. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Register {
    store: Store,
    directory: Path,
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
        Self { store, directory }
    }

    /// Creates entry `number`. `body` must hold a put id no other body has: on "already exists" the entry is read back
    /// and compared.
    ///
    /// # Errors
    /// When the store fails for longer than its retries; the outcome is then unknown and the caller reads again.
    pub async fn create(&self, number: u64, body: Bytes) -> Result<Created, StoreError> {
        let _ = (number, body, &self.store, &self.directory);
        todo!()
    }

    /// Entry `number`, if it exists.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn read(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        let _ = number;
        todo!()
    }

    /// The newest entry, probing forward from `hint` (the number of an entry known to exist; `None` lists once).
    /// Numbers begin at 1. A missing number is believed only if it lies above the floor read after the probe.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn latest(&self, hint: Option<u64>) -> Result<Option<(u64, Bytes)>, StoreError> {
        let _ = hint;
        todo!()
    }

    /// Raises the floor to `number` durably; only then entries below it may be deleted.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn raise_floor(&self, number: u64) -> Result<(), StoreError> {
        let _ = number;
        todo!()
    }
}
