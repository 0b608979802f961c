//! `_tidemark/lease/{epoch}/{number}.json`: how an owner says that it is alive, and how others learn that it is not.
//!
//! `{"format":1,"epoch":3,"number":7,"put_id":"{ulid}","word":"alive"}`. An owner creates the next number every third of
//! its lease. Who waits for its turn ([`Waiting`]) watches the numbers grow; when none has come for longer than the lease, by a
//! monotonic clock of its own, it creates the next number itself, with the word `taken`. Whoever creates a number has won it:
//! an owner that was only slow finds its number taken and knows that it owns nothing any more; one whose number was created
//! in time is left alone. An owner that ends in order says `ended`; one whose start failed says `unserved`: what there was to
//! know of the owner before it still holds.
//!
//! Nothing that was acknowledged rests on leases: commits and logs are fenced by epochs. They decide when a take-over is
//! polite, and that an owner which cannot know whether it still is one does not answer ([`Lease::is_held`]).

mod ticks;
mod turn;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::Instant;
use tidemark_storage::{Store, StoreError, paths, register::Register};
use ulid::Ulid;

pub use self::{
    ticks::{MachineTicks, Ticks},
    turn::{Patience, Turn, TurnError, Waiting},
};
use crate::catalog::{CatalogError, check_format};

/// The format of a word that is written here.
const FORMAT: u32 = 1;
/// A word is said this often in the time of a lease.
const WORDS_PER_LEASE: u32 = 3;
/// Words that stay behind the newest one: whoever waits and sleeps for a while still finds the next.
const WORDS_KEPT: u64 = 64;

/// What an owner, or whoever follows it, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// I am alive.
    Alive,
    /// I have ended in order: what I acknowledged is in files.
    Ended,
    /// I never served.
    Unserved,
    /// Somebody else has waited long enough.
    Taken,
}

/// One word, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    format: u32,
    epoch: u64,
    number: u64,
    put_id: String,
    word: Word,
}

/// How far the words have come.
#[derive(Debug, Default)]
struct Speaking {
    /// The number of the newest word.
    newest: u64,
    /// When the next one was first tried: it may have been heard since then.
    tried: Option<Duration>,
}

/// The lease of the owner of an epoch. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None: it never ends.
    chain: Option<Register>,
    epoch: u64,
    put_id: Ulid,
    time: Duration,
    /// Held while a word is said.
    speaking: tokio::sync::Mutex<Speaking>,
    /// Until when nobody else can have taken over; none once somebody has.
    until: Mutex<Option<Duration>>,
    ticks: Arc<dyn Ticks>,
    store: Store,
}

impl Lease {
    /// The lease of an epoch that is about to be taken; 0 ms never ends. `put_id` is unlike any other.
    pub(crate) fn begin(store: &Store, (epoch, lease_ms): (u64, u64), put_id: Ulid, ticks: Arc<dyn Ticks>) -> Self {
        let time = Duration::from_millis(lease_ms);
        let chain = (lease_ms > 0).then(|| chain(store, epoch));
        let (until, speaking) = (Mutex::new(Some(ticks.now() + time)), Default::default());
        Self(Arc::new(Inner { chain, epoch, put_id, time, speaking, until, ticks, store: store.clone() }))
    }

    /// Whether nobody else can have taken the lake over by now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.chain.is_none() || self.until().is_some_and(|until| self.0.ticks.now() < until)
    }

    /// How long to wait before the next word; none where the lease never ends.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.0.chain.as_ref().map(|_chain| self.0.time / WORDS_PER_LEASE)
    }

    /// Says that the owner is alive.
    ///
    /// # Errors
    /// [`CatalogError::Fenced`] when somebody has taken over; otherwise the word was perhaps not heard, and the lease runs
    /// on as it did.
    pub async fn renew(&self) -> Result<(), CatalogError> {
        let Some(chain) = &self.0.chain else { return Ok(()) };
        let mut speaking = self.0.speaking.lock().await;
        // Others count from when they see the word, which is later.
        let began = *speaking.tried.get_or_insert_with(|| self.0.ticks.now());
        let next = speaking.newest + 1;
        if !chain.put(next, self.said(next, Word::Alive)?).await? {
            return Err(self.lost().await);
        }
        *speaking = Speaking { newest: next, tried: None };
        if Register::new(self.0.store.clone(), paths::owner()).exists(self.0.epoch + 1).await? {
            return Err(self.lost().await);
        }
        if let Some(until) = self.until_mut().as_mut() {
            *until = began + self.0.time;
        }
        self.forget(next).await;
        Ok(())
    }

    /// Says that the owner has ended in order, so that whoever waits need not wait any longer.
    ///
    /// # Errors
    /// [`CatalogError`]; the lease then ends by itself.
    pub async fn end(&self) -> Result<(), CatalogError> {
        self.say_last(Word::Ended).await
    }

    /// Says that the owner never served, for the same reason.
    pub(crate) async fn withdraw(&self) -> Result<(), CatalogError> {
        self.say_last(Word::Unserved).await
    }

    async fn say_last(&self, word: Word) -> Result<(), CatalogError> {
        let Some(chain) = &self.0.chain else { return Ok(()) };
        let speaking = self.0.speaking.lock().await;
        *self.until_mut() = None;
        let next = speaking.newest + 1;
        if chain.put(next, self.said(next, word)?).await? {
            return Ok(());
        }
        // Perhaps it is our own word, of a renewal that was cut off.
        let alive = self.said(next, Word::Alive)?;
        if chain.read(next).await? == Some(alive) {
            let _is_ours = chain.put(next + 1, self.said(next + 1, word)?).await?;
        }
        Ok(())
    }

    /// Says all the while that the owner is alive until some work has ended.
    pub(crate) async fn spoken_beside<T>(&self, work: impl Future<Output = T>) -> T {
        let speaking = async {
            let Some(pause) = self.pause() else { return std::future::pending().await };
            loop {
                if let Err(error) = self.renew().await {
                    tracing::warn!(%error, "the lease was not renewed while the lake was opened");
                }
                self.0.ticks.sleep(pause).await;
            }
        };
        tokio::select! {
            // In an order, so that a simulation of it is the same twice; so below.
            biased;
            done = work => done,
            never = speaking => never,
        }
    }

    /// Somebody else owns the lake.
    async fn lost(&self) -> CatalogError {
        *self.until_mut() = None;
        let register = Register::new(self.0.store.clone(), paths::owner());
        let newest = register.latest(Some(self.0.epoch)).await.ok().flatten();
        let theirs = newest.map_or(0, |(epoch, _entry)| epoch).max(self.0.epoch + 1);
        CatalogError::Fenced { ours: self.0.epoch, theirs }
    }

    /// Deletes an old word. Best effort: one that stays is small, and the next word must not wait for it.
    async fn forget(&self, newest: u64) {
        let Some((chain, old)) = self.0.chain.as_ref().zip(newest.checked_sub(WORDS_KEPT)) else { return };
        let path = chain.path(old);
        tokio::select! {
            biased;
            deleted = self.0.store.delete(&path) => if let Err(error) = deleted {
                tracing::debug!(%error, "an old word of the lease was not deleted");
            },
            () = self.0.ticks.sleep(self.0.time / WORDS_PER_LEASE / 2) => {
                tracing::debug!("an old word of the lease was not deleted in time");
            }
        }
    }

    fn said(&self, number: u64, word: Word) -> Result<Bytes, CatalogError> {
        encode(&Said { format: FORMAT, epoch: self.0.epoch, number, put_id: self.0.put_id.to_string(), word })
    }

    fn until(&self) -> Option<Duration> {
        *self.until_mut()
    }

    fn until_mut(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chain(store: &Store, epoch: u64) -> Register {
    Register::new(store.clone(), paths::lease(epoch))
}

fn encode(said: &Said) -> Result<Bytes, CatalogError> {
    let json = serde_json::to_vec(said).map(Bytes::from);
    json.map_err(|error| CatalogError::unreadable(&paths::lease(said.epoch), error))
}

fn decode(path: &impl std::fmt::Display, bytes: &[u8]) -> Result<Said, CatalogError> {
    check_format(path, bytes, FORMAT)?;
    serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(path, error))
}

/// The newest word of an epoch that a listing shows, and when it was said, by the store's clock.
pub(crate) async fn last_word(store: &Store, epoch: u64) -> Result<Option<(&'static str, Instant)>, CatalogError> {
    let listed = store.list(&paths::lease(epoch)).await?.into_iter();
    let numbered = listed.filter_map(|object| Some((paths::number_of(&object.location)?, object)));
    let Some((_number, object)) = numbered.max_by_key(|(number, _)| *number) else { return Ok(None) };
    let said = decode(&object.location, &store.get(&object.location).await?)?;
    let word = match said.word {
        Word::Alive => "alive",
        Word::Ended => "ended",
        Word::Unserved => "unserved",
        Word::Taken => "taken",
    };
    Ok(Some((word, Instant::from_micros(object.last_modified.timestamp_micros()))))
}

/// The number of the newest word that a listing shows; the words behind it may be newer.
async fn newest_listed(store: &Store, epoch: u64) -> Result<u64, StoreError> {
    let listed = store.list(&paths::lease(epoch)).await?;
    Ok(listed.iter().filter_map(|object| paths::number_of(&object.location)).max().unwrap_or(0))
}

#[cfg(test)]
mod tests;
