//! Opening a lake: what it is, the next epoch, the register of collections, the newest manifest of every table.

use std::{sync::Arc, sync::RwLock};

use futures::{StreamExt, TryStreamExt};
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};

use super::{
    CatalogError, Config, Deps, Inner, Journal, PERSIST_ATTEMPTS,
    journal::{self, Content, Entry},
    lake::{self, Lake},
    owner::{Owner, Taking, Tenure},
    state::{Slot, State},
    tables::{self, Copies},
    tell::without_pause,
};
use crate::{
    manifest::{CollectionManifest, stored::Manifest},
    metrics::Metrics,
};

/// Tables whose manifests are looked for at once: a start over a store far away waits for requests, and ten thousand
/// collections are some tens of thousands of them.
const TABLES_MAX: usize = 64;

/// Opens or creates a lake. The epoch is taken before anything is read that an earlier owner could still change.
pub(super) async fn open(config: Config, deps: Deps, tenure: &Tenure) -> Result<Inner, CatalogError> {
    let Deps { store, clock, ids, metrics } = deps;
    let ulid = || ids.ulid(clock.now()).to_string();
    let lake = lake::open(&store, Lake::new(ulid(), config.shards, clock.now())).await?;
    let taking = Taking { store: &store, cluster: &lake.cluster, clock: clock.as_ref(), ids: &ids };
    let owner = Owner::take(taking, tenure).await?;
    let register = Register::new(store.clone(), paths::catalog());
    let reading = async {
        owner.take_logs(taking).await?;
        let entries = journal::load(&register).await?;
        let mut state = State::new(store.clone());
        for entry in &entries {
            owner.admits(entry.epoch)?;
            state.absorb(entry);
        }
        let mut newest = entries.last().map_or(0, |entry| entry.version);
        // Whoever takes no lease is alone: nobody is left that could still write.
        if tenure.lease_ms > 0 {
            newest = begin_journal((taking, &owner), &register, (&mut state, newest)).await?;
        }
        find_manifests(&store, &mut state).await?;
        Ok::<_, CatalogError>((state, newest))
    };
    // All of this may take longer than a lease lasts.
    let (state, newest) = match owner.lease.spoken_beside(reading).await {
        Ok(read) => read,
        Err(error) => {
            if let Err(unsaid) = owner.lease.withdraw().await {
                tracing::debug!(error = %unsaid, "the next start waits for the lease of one that failed");
            }
            return Err(error);
        }
    };
    let (copies, metrics) = (Copies::default(), Metrics::registered(&metrics));
    let (state, journal) =
        (RwLock::new(state), tokio::sync::Mutex::new(Journal { register, newest, is_unsettled: false }));
    let publishing = Arc::default();
    Ok(Inner { store, clock, ids, lake, owner, state, journal, copies, metrics, publishing })
}

/// Writes an entry of this epoch into the register of collections, and says its version: whatever an owner before still
/// sends comes before it and is known, or never.
async fn begin_journal(
    (taking, owner): (Taking<'_>, &Owner),
    register: &Register,
    (state, mut newest): (&mut State, u64),
) -> Result<u64, CatalogError> {
    for _attempt in 0..PERSIST_ATTEMPTS {
        let (version, at) = (newest + 1, taking.clock.now());
        let content = if Entry::is_checkpoint(version) {
            Content::Checkpoint(state.checkpoint())
        } else {
            Content::Changes(Vec::new())
        };
        let entry = Entry::new(version, owner.epoch, taking.ids.ulid(at).to_string(), at, content);
        newest = version;
        if register.create(version, entry.encode()?).await? == Created::Won {
            return Ok(newest);
        }
        let there = journal::read(register, version).await?;
        owner.admits(there.epoch)?;
        state.absorb(&there);
    }
    Err(without_pause())
}

/// Puts the newest manifest of every table into the state: a copy of the manifest is the hint where there is one.
async fn find_manifests(store: &Store, state: &mut State) -> Result<(), CatalogError> {
    let (mut events, mut collections) = (Vec::new(), Vec::new());
    for (namespace, known) in &mut state.namespaces {
        events.push(&mut known.events);
        let copy = |directory: &str| paths::manifest_copy(namespace, directory);
        collections.extend(known.collections.values_mut().map(|one| (copy(&one.known.directory), &mut one.slot)));
    }
    let events = futures::stream::iter(events.into_iter().map(|slot| async move { find(slot, None).await }));
    events.buffer_unordered(TABLES_MAX).try_collect::<()>().await?;
    let collections =
        futures::stream::iter(collections.into_iter().map(|(copy, slot)| async move {
            find(slot, tables::hint::<CollectionManifest>(store, &copy).await).await
        }));
    collections.buffer_unordered(TABLES_MAX).try_collect::<()>().await
}

async fn find<M: Manifest>(slot: &mut Slot<M>, hint: Option<u64>) -> Result<(), CatalogError> {
    if let Some(newest) = tables::newest::<M>(&slot.register, hint).await? {
        slot.advance(&Arc::new(newest));
    }
    Ok(())
}
