//! `_tidemark/maintenance/{number}.json`: one word on whether the lake takes anything in.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::Instant;

use super::Closed;
use crate::catalog::error::{CatalogError, check_format};

/// The format that is written here.
const FORMAT: u32 = 1;

/// One entry of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) number: u64,
    pub(super) put_id: String,
    pub(super) written_at: Instant,
    /// Who closed it, since when and why; none where it is open.
    pub(super) closed: Option<Closed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    number: u64,
    put_id: String,
    written_at: Instant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosedDocument {
    since: Instant,
    by: String,
    reason: String,
}

impl Word {
    pub(super) fn encode(&self) -> Result<Bytes, CatalogError> {
        let Self { number, written_at, .. } = *self;
        let closed = self.closed.clone().map(|Closed { since, by, reason }| ClosedDocument { since, by, reason });
        let document = Document { format: FORMAT, number, put_id: self.put_id.clone(), written_at, closed };
        let json = serde_json::to_vec(&document).map(Bytes::from);
        json.map_err(|error| CatalogError::unreadable(&"maintenance", error))
    }

    pub(super) fn decode(path: &impl std::fmt::Display, bytes: &[u8]) -> Result<Self, CatalogError> {
        check_format(path, bytes, FORMAT)?;
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(path, error))?;
        let Document { number, put_id, written_at, closed, .. } = document;
        let closed = closed.map(|ClosedDocument { since, by, reason }| Closed { since, by, reason });
        Ok(Self { number, put_id, written_at, closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first version wrote them; they stay readable for ever.
    const PINNED: [&str; 2] = [
        r#"{"format":1,"number":1,"put_id":"p","written_at":1700000000000000,"closed":{"since":1700000000000000,"by":"root","reason":"a new disk"}}"#,
        r#"{"format":1,"number":2,"put_id":"q","written_at":1700000060000000}"#,
    ];

    #[test]
    fn what_was_written_is_read_and_written_the_same() {
        for pinned in PINNED {
            assert_eq!(Word::decode(&"x", pinned.as_bytes()).unwrap().encode().unwrap(), pinned);
        }
        assert_eq!(Word::decode(&"x", PINNED[1].as_bytes()).unwrap().closed, None);
    }

    #[test]
    fn a_newer_format_is_told_as_such() {
        let newer = PINNED[0].replace("\"format\":1", "\"format\":2");
        let error = Word::decode(&"x", newer.as_bytes()).unwrap_err();
        assert!(matches!(error, CatalogError::NewerFormat { found: 2, known: 1 }), "{error}");
        assert!(Word::decode(&"x", b"{}").is_err());
    }
}
