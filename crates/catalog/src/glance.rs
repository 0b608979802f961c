//! What a store says of the lake in it, to whoever does not own it: which lake it is, who owns it, how long ago that was heard
//! of, and how much lies in logs of the store. Reads only, a handful of small objects.

use tidemark_model::Instant;
use tidemark_storage::{Store, StoreError, paths, register::Register};

use crate::{
    catalog::{CatalogError, lake, owner},
    lease,
};

/// A lake at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Its id.
    pub cluster: String,
    /// Its shards.
    pub shards: u16,
    /// Who owns it, or owned it last.
    pub owner: Option<Ownership>,
}

/// An owner, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Its epoch.
    pub epoch: u64,
    /// Host and process.
    pub holder: String,
    /// Since when.
    pub taken_at: Instant,
    /// How long it may be silent, ms; 0: for ever.
    pub lease_ms: u64,
    /// Its last word, `alive`, `ended`, `unserved` or `taken`, and when it was said by the store's clock.
    pub last_word: Option<(&'static str, Instant)>,
    /// Whether its log lies in the store.
    pub has_log_in_store: bool,
    /// Bytes of logs in the store, its own and those it took over: as much as that may be in no file.
    pub log_bytes: u64,
}

/// Looks; none where there is no lake.
///
/// # Errors
/// [`CatalogError`], also for a lake of a newer format.
pub async fn glance(store: &Store) -> Result<Option<Glance>, CatalogError> {
    let lake = match lake::read(store).await {
        Err(CatalogError::Store(StoreError::NotFound { .. })) => return Ok(None),
        lake => lake?,
    };
    let register = Register::new(store.clone(), paths::owner());
    let owner = match owner::newest(&register, None).await? {
        Some(entry) => Some(ownership(store, &entry).await?),
        None => None,
    };
    Ok(Some(Glance { cluster: lake.cluster, shards: lake.shards, owner }))
}

async fn ownership(store: &Store, entry: &owner::Entry) -> Result<Ownership, CatalogError> {
    let mut log_bytes = 0;
    for log in entry.logs() {
        log_bytes += store.list(&paths::log(log)).await?.iter().map(|object| object.size).sum::<u64>();
    }
    Ok(Ownership {
        epoch: entry.epoch,
        holder: entry.holder.clone(),
        taken_at: entry.opened_at,
        lease_ms: entry.lease_ms,
        last_word: lease::last_word(store, entry.epoch).await?,
        has_log_in_store: entry.has_log_in_store(),
        log_bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidemark_model::{Ids, clock::ManualClock};

    use super::*;
    use crate::{Catalog, Tenure, catalog::Deps};

    #[tokio::test]
    async fn an_owner_is_seen_from_outside() {
        let store = Store::memory();
        assert_eq!(glance(&store).await.unwrap(), None, "there is no lake");
        let deps = Deps {
            store: store.clone(),
            clock: Arc::new(ManualClock::at(Instant::from_micros(1 << 50))),
            ids: Arc::new(Ids::seeded(1)),
            metrics: prometheus::Registry::new(),
        };
        let tenure =
            Tenure { holder: "a, process 1".to_owned(), lease_ms: 1000, log_in_store: true, ..Tenure::default() };
        let catalog = Catalog::open_as(Default::default(), deps, &tenure).await.unwrap();
        catalog.lease().renew().await.unwrap();
        let seen = glance(&store).await.unwrap().expect("a lake").owner.expect("an owner");
        assert_eq!((seen.epoch, seen.holder.as_str(), seen.lease_ms), (1, "a, process 1", 1000));
        assert!(seen.has_log_in_store && seen.taken_at == Instant::from_micros(1 << 50));
        assert_eq!(seen.last_word.map(|(word, _)| word), Some("alive"));
        catalog.lease().end().await.unwrap();
        let after = glance(&store).await.unwrap().and_then(|lake| lake.owner);
        assert_eq!(after.and_then(|owner| owner.last_word).map(|(word, _)| word), Some("ended"));
    }
}
