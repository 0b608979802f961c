//! `_tidemark/format.json`: what a lake is, written once when it is created.
//!
//! `{"format":1,"cluster":"{ulid}","shards":16,"created":{µs}}`. A lake of a newer format refuses to open.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::Instant;
use tidemark_storage::{Store, StoreError, paths, store::Put};

use super::CatalogError;

/// The format of the whole lake that is written here.
const FORMAT: u32 = 1;

/// The content of `format.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lake {
    format: u32,
    /// ULID of the lake.
    pub(crate) cluster: String,
    /// Shards; fixed for ever.
    pub(crate) shards: u16,
    created: Instant,
}

impl Lake {
    /// A lake that would be created now.
    pub(crate) fn new(cluster: String, shards: u16, created: Instant) -> Self {
        Self { format: FORMAT, cluster, shards: shards.max(1), created }
    }
}

/// The lake as it is; `new` becomes it if there is none. Of two who create at once, both get the one that stands.
pub(crate) async fn open(store: &Store, new: Lake) -> Result<Lake, CatalogError> {
    let path = paths::format();
    match store.get(&path).await {
        Ok(bytes) => return decode(&bytes),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match store.create(&path, encode(&new)?).await? {
        Put::Created => Ok(new),
        Put::Exists => decode(&store.get(&path).await?),
    }
}

/// The lake as it is.
pub(crate) async fn read(store: &Store) -> Result<Lake, CatalogError> {
    decode(&store.get(&paths::format()).await?)
}

fn encode(lake: &Lake) -> Result<Bytes, CatalogError> {
    serde_json::to_vec(lake).map(Bytes::from).map_err(|error| CatalogError::unreadable(&paths::format(), error))
}

fn decode(bytes: &[u8]) -> Result<Lake, CatalogError> {
    super::check_format(&paths::format(), bytes, FORMAT)?;
    serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(&paths::format(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let lake = Lake::new("01J0000000000000000000000A".into(), 16, Instant::from_micros(7));
        let stored = include_bytes!("../../fixtures/format_v1.json");
        assert_eq!(encode(&lake).unwrap().as_ref(), stored.trim_ascii_end());
        assert_eq!(decode(stored).unwrap(), lake);
    }

    #[test]
    fn a_newer_lake_is_refused_as_newer() {
        let newer = br#"{"format":2,"something":"else"}"#;
        assert!(matches!(decode(newer), Err(CatalogError::NewerFormat { found: 2, known: 1 })));
    }
}
