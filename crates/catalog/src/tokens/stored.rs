//! `_tidemark/tokens/{version}.json`: every token there is, as of one change. No secret stands in it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::{Instant, Token};

use crate::catalog::error::{CatalogError, check_format};

/// The format that is written here.
const FORMAT: u32 = 1;

/// One entry of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format: u32,
    pub(super) version: u64,
    put_id: String,
    written_at: Instant,
    /// In order of ids.
    pub(super) tokens: Vec<Token>,
}

impl Document {
    pub(super) fn new(version: u64, put_id: String, written_at: Instant, tokens: Vec<Token>) -> Self {
        Self { format: FORMAT, version, put_id, written_at, tokens }
    }

    pub(super) fn encode(&self) -> Result<Bytes, CatalogError> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|error| CatalogError::unreadable(&"tokens", error))
    }

    pub(super) fn decode(path: &impl std::fmt::Display, bytes: &[u8]) -> Result<Self, CatalogError> {
        check_format(path, bytes, FORMAT)?;
        serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.2 wrote it; stays readable for ever.
    const PINNED: &str = r#"{"format":1,"version":2,"put_id":"p","written_at":1700000000000000,"tokens":[{"id":"k3v9","name":"loader","sha256":"00","scopes":["ingest","query"],"namespaces":["shop"],"created_at":1,"created_by":"root","expires_at":5},{"id":"z","name":"","sha256":"11","scopes":["admin"],"created_at":1,"created_by":"k3v9","revoked_at":4,"last_used_at":3}]}"#;

    #[test]
    fn what_was_written_is_read_and_written_the_same() {
        let document = Document::decode(&"x", PINNED.as_bytes()).unwrap();
        assert_eq!(document.encode().unwrap(), PINNED);
        assert_eq!(document.tokens[1].namespaces, None);
    }

    #[test]
    fn a_newer_format_is_told_as_such() {
        let newer = PINNED.replace("\"format\":1", "\"format\":2");
        let error = Document::decode(&"x", newer.as_bytes()).unwrap_err();
        assert!(matches!(error, CatalogError::NewerFormat { found: 2, known: 1 }), "{error}");
        assert!(Document::decode(&"x", b"{}").is_err());
    }
}
