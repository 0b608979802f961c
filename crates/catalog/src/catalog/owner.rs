//! `_tidemark/owner/{epoch}.json`: who owns the lake. Taking it over is creating the next epoch.
//!
//! `{"format":1,"epoch":3,"put_id":"{ulid}","opened_at":{µs}}`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::Instant;
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};

use super::CatalogError;

/// The format of an entry that is written here.
const FORMAT: u32 = 1;
/// How often another may be faster before opening gives up.
const ATTEMPTS: usize = 16;

/// One epoch, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    format: u32,
    epoch: u64,
    put_id: String,
    opened_at: Instant,
}

/// The epoch this process owns the lake in, and how it learns that it does no longer.
#[derive(Debug)]
pub(super) struct Owner {
    register: Register,
    pub(super) epoch: u64,
}

impl Owner {
    /// Takes the next epoch.
    pub(super) async fn take(store: &Store, put_id: &str, opened_at: Instant) -> Result<Self, CatalogError> {
        let register = Register::new(store.clone(), paths::owner());
        let mut newest = register.latest(None).await?.map_or(0, |(epoch, _entry)| epoch);
        for _attempt in 0..ATTEMPTS {
            let epoch = newest + 1;
            let entry = Entry { format: FORMAT, epoch, put_id: put_id.to_owned(), opened_at };
            match register.create(epoch, encode(&entry)?).await? {
                Created::Won => return Ok(Self { register, epoch }),
                Created::Lost | Created::Fenced => {
                    newest = register.latest(Some(epoch)).await?.map_or(epoch, |(epoch, _entry)| epoch);
                }
            }
        }
        Err(CatalogError::Fenced { ours: newest, theirs: newest + 1 })
    }

    /// Refuses when a newer epoch exists.
    pub(super) async fn check(&self) -> Result<(), CatalogError> {
        if !self.register.exists(self.epoch + 1).await? {
            return Ok(());
        }
        let newest = self.register.latest(Some(self.epoch + 1)).await?;
        let theirs = newest.map_or(self.epoch + 1, |(epoch, _entry)| epoch);
        Err(CatalogError::Fenced { ours: self.epoch, theirs })
    }

    /// Refuses when an entry was written by a newer owner.
    pub(super) fn admits(&self, theirs: u64) -> Result<(), CatalogError> {
        if theirs > self.epoch { Err(CatalogError::Fenced { ours: self.epoch, theirs }) } else { Ok(()) }
    }
}

fn encode(entry: &Entry) -> Result<Bytes, CatalogError> {
    let json = serde_json::to_vec(entry).map(Bytes::from);
    json.map_err(|error| CatalogError::unreadable(&paths::owner(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let put_id = "01J0000000000000000000000A".to_owned();
        let entry = Entry { format: 1, epoch: 3, put_id, opened_at: Instant::from_micros(7) };
        let stored = include_bytes!("../../fixtures/owner_v1.json");
        assert_eq!(encode(&entry).unwrap().as_ref(), stored.trim_ascii_end());
        assert_eq!(serde_json::from_slice::<Entry>(stored).unwrap(), entry);
    }

    #[tokio::test]
    async fn each_opening_takes_the_next_epoch_and_fences_the_one_before() {
        let store = Store::memory();
        let first = Owner::take(&store, "a", Instant::from_micros(1)).await.unwrap();
        first.check().await.unwrap();
        let second = Owner::take(&store, "b", Instant::from_micros(2)).await.unwrap();
        assert_eq!((first.epoch, second.epoch), (1, 2));
        assert!(matches!(first.check().await, Err(CatalogError::Fenced { ours: 1, theirs: 2 })));
        second.check().await.unwrap();
    }
}
