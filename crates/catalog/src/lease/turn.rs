//! Waiting for one's turn to own the lake.

use std::{sync::Arc, time::Duration};

use tidemark_storage::{Store, paths, register::Register};
use ulid::Ulid;

use super::{FORMAT, Said, Ticks, Word, chain, decode, encode, newest_listed};
use crate::catalog::{
    CatalogError,
    owner::{self, Entry},
};

/// How often the lease is looked at, at least.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(500);
/// In the time of a lease it is looked at so often, at least.
const LOOKS_PER_LEASE: u32 = 10;
/// How long the store may fail whoever waits. What cannot be read tells nothing of the owner, and is looked at again.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// How long somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until it is clear whether the owner lives; if it does, not at all.
    Short,
    /// For as long as the owner lives.
    Endless,
}

/// The caller's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// As the successor of this epoch; 0 is the one before the first.
    pub after: u64,
    /// The epoch of the last owner that served, if it kept its log on a disk and did not end in order: that log may hold
    /// what is in no file.
    pub left_log: Option<u64>,
}

/// Why it is not the caller's turn.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The owner lives.
    #[error(
        "the lake is owned by another process that is alive ({holder}, epoch {epoch}): stop it, or start with --standby to \
         take over when it ends"
    )]
    Owned {
        /// Its epoch.
        epoch: u64,
        /// Who it is.
        holder: String,
    },
    /// The register of owners or a lease could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Somebody who wants the lake.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The lake's bytes.
    pub store: Store,
    /// How long it waits.
    pub patience: Patience,
    /// Unlike any other.
    pub put_id: Ulid,
    /// What its time is measured by.
    pub ticks: Arc<dyn Ticks>,
}

impl Waiting {
    /// Waits until nobody owns the lake any more. `is_dead` says of an epoch whether its owner is known to be dead, as it is
    /// to whoever holds its log's lock.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn turn(&self, is_dead: impl Fn(u64) -> bool) -> Result<Turn, TurnError> {
        let register = Register::new(self.store.clone(), paths::owner());
        let mut known = None;
        loop {
            let Some(owner) = owner::newest(&register, known).await? else {
                return Ok(Turn { after: 0, left_log: None });
            };
            let after = owner.epoch;
            known = Some(after);
            let is_free = owner.lease_ms == 0 || is_dead(after);
            let end = if is_free { Some(Word::Taken) } else { self.end_of(&register, &owner).await? };
            if let Some(word) = end {
                return Ok(Turn { after, left_log: self.left_log(&register, (owner, word)).await? });
            }
        }
    }

    /// Who left a log on a disk, going back from an owner over those that never served.
    async fn left_log(&self, register: &Register, (owner, end): (Entry, Word)) -> Result<Option<u64>, CatalogError> {
        let (mut owner, mut end) = (owner, end);
        while end == Word::Unserved && owner.epoch > 1 {
            let epoch = owner.epoch - 1;
            owner = owner::of_epoch(register, epoch).await?;
            let last = newest_listed(&self.store, epoch).await?;
            // One without a word had no lease: how it ended is not known.
            end = word(&chain(&self.store, epoch), last).await?.unwrap_or(Word::Taken);
        }
        let is_left = !matches!(end, Word::Ended | Word::Unserved) && !owner.has_log_in_store();
        Ok(is_left.then_some(owner.epoch))
    }

    /// Waits for the end of an owner, and says how it ended. None: there is another one by now.
    async fn end_of(&self, register: &Register, owner: &Entry) -> Result<Option<Word>, TurnError> {
        let lease = Duration::from_millis(owner.lease_ms);
        // The owner counts from before it spoke; a quarter more covers clocks that do not run alike.
        let silence_max = lease + lease / 4;
        let chain = chain(&self.store, owner.epoch);
        let mut newest = self.newest(owner).await?;
        if let Some(last) = word(&chain, newest).await?.filter(|last| *last != Word::Alive) {
            return Ok(Some(last));
        }
        tracing::info!(
            holder = owner.holder,
            epoch = owner.epoch,
            lease_ms = owner.lease_ms,
            "waiting: the lake has an owner, or had one a moment ago"
        );
        // A word that was looked for before it came is no old one that the listing did not show.
        let (mut heard, mut is_awaited) = (self.ticks.now(), false);
        let (mut looked, mut away_since) = (self.ticks.now(), None);
        let mut was_late = false;
        let pause = (lease / LOOKS_PER_LEASE).min(LOOK_EVERY_MAX);
        loop {
            let (said, is_followed) = match look(&chain, newest + 1, (register, owner.epoch)).await {
                Err(CatalogError::Store(error)) => {
                    let now = self.ticks.now();
                    if now > *away_since.get_or_insert(now) + AWAY_MAX {
                        return Err(CatalogError::Store(error).into());
                    }
                    tracing::warn!(%error, "the lease could not be read: it is looked at again");
                    self.ticks.sleep(pause).await;
                    continue;
                }
                answer => answer?,
            };
            let now = self.ticks.now();
            // While nobody here could look, the owner may have been kept from speaking too: that was no silence of its own.
            // Where it is so time after time, only the first counts: whoever speaks at all speaks then.
            let is_late = now > looked + lease / 2;
            if is_late && !was_late {
                (heard, is_awaited) = (now, false);
            }
            (looked, away_since, was_late) = (now, None, is_late);
            match said {
                Some(Word::Alive) => {
                    if self.patience == Patience::Short && is_awaited {
                        let Entry { epoch, holder, .. } = owner.clone();
                        return Err(TurnError::Owned { epoch, holder });
                    }
                    (newest, heard, is_awaited) = (newest + 1, self.ticks.now(), false);
                    continue;
                }
                Some(word) => return Ok(Some(word)),
                None if is_followed => return Ok(None),
                None if self.ticks.now() > heard + silence_max => {
                    if self.take(&chain, (owner, newest + 1)).await? {
                        // Whoever slept for very long may have taken a word that was said and forgotten.
                        let listed = self.newest(owner).await?;
                        if listed <= newest + 1 {
                            return Ok(Some(Word::Taken));
                        }
                        (newest, heard, is_awaited) = (listed - 1, self.ticks.now(), false);
                    }
                    continue;
                }
                None => is_awaited = true,
            }
            self.ticks.sleep(pause).await;
        }
    }

    async fn newest(&self, owner: &Entry) -> Result<u64, CatalogError> {
        Ok(newest_listed(&self.store, owner.epoch).await?)
    }

    /// Takes the next word, so that the owner cannot say it any more; whether nobody was faster.
    async fn take(&self, chain: &Register, (owner, number): (&Entry, u64)) -> Result<bool, CatalogError> {
        let (epoch, put_id) = (owner.epoch, self.put_id.to_string());
        let said = Said { format: FORMAT, epoch, number, put_id, word: Word::Taken };
        let is_taken = chain.put(number, encode(&said)?).await?;
        if is_taken {
            tracing::warn!(holder = owner.holder, epoch, "the owner of the lake fell silent: taking over");
        }
        Ok(is_taken)
    }
}

/// The next word of an owner, and, where there is none, whether another one has come behind its epoch.
async fn look(
    chain: &Register,
    number: u64,
    (register, epoch): (&Register, u64),
) -> Result<(Option<Word>, bool), CatalogError> {
    let said = word(chain, number).await?;
    let is_followed = said.is_none() && register.exists(epoch + 1).await?;
    Ok((said, is_followed))
}

async fn word(chain: &Register, number: u64) -> Result<Option<Word>, CatalogError> {
    let found = chain.read(number).await?;
    Ok(found.map(|bytes| decode(&chain.path(number), &bytes)).transpose()?.map(|said| said.word))
}
