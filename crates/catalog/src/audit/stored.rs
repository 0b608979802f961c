//! `_tidemark/audit/{number}.json`: one record, and those before it on the same page, so that a page is read at once.
//!
//! Entry `n` holds a page of `k` records: those numbered `n-k+1` to `n`. The page before it is entry `n-k`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::catalog::error::{CatalogError, check_format};

/// The format that is written here.
const FORMAT: u32 = 1;

/// One entry of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    format: u32,
    pub(super) number: u64,
    put_id: String,
    /// Oldest first; the last is the record of this number.
    pub(super) records: Vec<Record>,
}

impl Page {
    pub(super) fn new(number: u64, put_id: String, records: Vec<Record>) -> Self {
        Self { format: FORMAT, number, put_id, records }
    }

    pub(super) fn encode(&self) -> Result<Bytes, CatalogError> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|error| CatalogError::unreadable(&"audit", error))
    }

    pub(super) fn decode(path: &impl std::fmt::Display, bytes: &[u8]) -> Result<Self, CatalogError> {
        check_format(path, bytes, FORMAT)?;
        serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(path, error))
    }

    /// The number of the last record of the page before.
    pub(super) fn before(&self) -> u64 {
        self.number.saturating_sub(self.records.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.2 wrote it; stays readable for ever.
    const PINNED: &str = r#"{"format":1,"number":3,"put_id":"p","records":[{"at":5,"who":"root","action":"restore","namespace":"shop","object":"orders","door":"http","outcome":"ok"},{"at":6,"who":"k3v9","action":"revoke_token","object":"z","door":"http","request":"r1","outcome":"unknown_token"}]}"#;

    #[test]
    fn what_was_written_is_read_and_written_the_same() {
        let page = Page::decode(&"x", PINNED.as_bytes()).unwrap();
        assert_eq!(page.encode().unwrap(), PINNED);
        assert_eq!(page.before(), 1);
        assert!(Page::decode(&"x", PINNED.replace("\"format\":1", "\"format\":9").as_bytes()).is_err());
    }
}
