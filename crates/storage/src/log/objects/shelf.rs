//! What of the logs is released, and how it goes: said first, then below the floor, then deleted.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, sync::Mutex as Turn};
use ulid::Ulid;

use super::chain;
use crate::{
    Store, StoreError,
    log::{record::Spot, shelf::Shelf},
    paths,
};

/// Remembers what is released until an object says so, then deletes it.
#[derive(Debug)]
pub(crate) struct ObjectShelf {
    store: Store,
    /// Logs of owners before, the oldest first; this owner's comes behind them.
    inherited: Vec<u128>,
    runtime: Handle,
    /// The newest object that is released, with everything before it.
    spent: Mutex<Option<Spot>>,
    /// Logs that are gone but for their fences; held while objects are deleted.
    gone: Arc<Turn<HashSet<u128>>>,
}

impl ObjectShelf {
    /// A shelf on which everything up to `spent` lies already.
    pub(crate) fn new(store: Store, inherited: Vec<u128>, runtime: Handle, spent: Option<Spot>) -> Self {
        Self { store, inherited, runtime, spent: Mutex::new(spent), gone: Arc::default() }
    }

    /// The lake's bytes.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// The newest object that is released.
    pub(crate) fn spent(&self) -> Option<Spot> {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes everything up to a spot, behind whoever waits for nothing. A durable object says that it is released.
    pub(crate) fn sweep(&self, up_to: Spot) {
        let (store, gone) = (self.store.clone(), Arc::clone(&self.gone));
        let whole: Vec<u128> = self.inherited.iter().copied().take_while(|log| *log != up_to.log).collect();
        self.runtime.spawn(async move {
            let mut gone = gone.lock_owned().await;
            for log in whole {
                if !gone.contains(&log) && told(log, sweep_whole(&store, log).await) {
                    gone.insert(log);
                }
            }
            told(up_to.log, sweep(&store, up_to.log, u64::from(up_to.number) + 1).await);
        });
    }
}

impl Shelf for ObjectShelf {
    fn discard(&self, segment: Spot) -> io::Result<()> {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Some(segment);
        Ok(())
    }
}

/// Deletes all objects of a log that was ended, but for its fence.
async fn sweep_whole(store: &Store, log: u128) -> Result<(), StoreError> {
    match chain(store, log).latest(None).await? {
        Some((fence, _body)) => sweep(store, log, fence).await,
        None => Ok(()),
    }
}

/// Deletes the objects of a log below one that stays. What an earlier run left behind goes too, so they are listed.
async fn sweep(store: &Store, log: u128, stays: u64) -> Result<(), StoreError> {
    let chain = chain(store, log);
    chain.raise_floor(stays).await?;
    let listed = store.list(&paths::log(Ulid::from(log))).await?.into_iter().map(|object| object.location);
    store.delete_all(listed.filter(|path| paths::number_of(path).is_some_and(|number| number < stays))).await
}

/// Whether it went well.
fn told(log: u128, swept: Result<(), StoreError>) -> bool {
    if let Err(error) = &swept {
        let log = Ulid::from(log);
        tracing::warn!(%error, %log, "released objects of the log could not be deleted; the next release tries again");
    }
    swept.is_ok()
}
