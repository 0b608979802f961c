//! The floor of a register: below which number entries may be gone.
//!
//! A register of its own: `{"format":1,"floor":7}` under ascending numbers. Its entries are never deleted, so a missing
//! one is always believed. Two writers of the same floor write the same bytes, so it does not matter which one won.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{create_once, newest_from, read_entry};
use crate::{Store, StoreError, paths};

/// The format version written here.
const FORMAT: u32 = 1;

/// How often raising starts anew because another raised first.
const RAISE_ATTEMPTS: usize = 64;

/// One entry, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    format: u32,
    /// Entries of the register below this number may be deleted; this one is not.
    floor: u64,
}

/// The floor of one register; remembers how far it has read.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    store: Store,
    directory: Path,
    /// Number and content of the newest entry seen; 0 and 0 before the first.
    seen: Arc<Mutex<(u64, u64)>>,
}

impl Floor {
    pub(super) fn new(store: Store, directory: Path) -> Self {
        Self { store, directory, seen: Arc::default() }
    }

    /// The floor now; 0 if it was never raised.
    pub(super) async fn number(&self) -> Result<u64, StoreError> {
        self.newest().await.map(|(_entry, floor)| floor)
    }

    /// Raises the floor; one that is as high already stays.
    pub(super) async fn raise(&self, number: u64) -> Result<(), StoreError> {
        for _attempt in 0..RAISE_ATTEMPTS {
            let (entry, floor) = self.newest().await?;
            if floor >= number {
                return Ok(());
            }
            let body = encode(Entry { format: FORMAT, floor: number });
            // Whoever won, the next turn reads it and decides.
            let _is_ours = create_once(&self.store, &paths::entry(&self.directory, entry + 1), body.into()).await?;
        }
        Err(StoreError::NotFound { path: self.directory.to_string() })
    }

    async fn newest(&self) -> Result<(u64, u64), StoreError> {
        let seen = *self.seen();
        let newest = newest_from(&self.store, |entry| paths::entry(&self.directory, entry), seen.0).await?;
        if newest == seen.0 {
            return Ok(seen);
        }
        let path = paths::entry(&self.directory, newest);
        let bytes = read_entry(&self.store, &path).await?;
        let entry = bytes.ok_or_else(|| StoreError::NotFound { path: path.to_string() }).and_then(|bytes| {
            decode(&bytes).map_err(|reason| StoreError::Unreadable { path: path.to_string(), reason })
        })?;
        let mut seen = self.seen();
        *seen = (*seen).max((newest, entry.floor));
        Ok(*seen)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, (u64, u64)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(entry: Entry) -> String {
    format!("{{\"format\":{},\"floor\":{}}}", entry.format, entry.floor)
}

fn decode(bytes: &[u8]) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if entry.format == FORMAT { Ok(entry) } else { Err(format!("format {} is not known here", entry.format)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let entry = Entry { format: 1, floor: 7 };
        assert_eq!(encode(entry), r#"{"format":1,"floor":7}"#);
        assert_eq!(decode(br#"{"format":1,"floor":7}"#), Ok(entry));
        for bad in [r#"{"format":2,"floor":7}"#, r#"{"format":1,"floor":7,"x":1}"#, "{"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
