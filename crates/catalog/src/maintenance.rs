//! Maintenance: whether the lake takes anything in. One register of numbered words, `on` or `off`; the newest holds.
//!
//! It belongs to the lake and not to a process: whoever owns the lake next finds it. Who switches says why, and the word keeps
//! since when and by whom. What it means for those who send is the business of the room that takes in.

mod stored;

use std::sync::Arc;

use tidemark_model::{Clock, Ids, Instant};
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};

use self::stored::Word;
use crate::CatalogError;

/// The longest reason, characters.
pub const REASON_CHARS_MAX: usize = 200;
/// How often a word starts anew because its number was taken.
const ATTEMPTS_MAX: usize = 16;
/// How many words before the newest are kept.
const KEPT: u64 = 16;

/// The lake takes nothing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Since when.
    pub since: Instant,
    /// Who said so last: the id of a token, `root`, `anonymous`.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Maintenance(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    register: Register,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    /// The number of the newest word that was seen; held while one is read or written.
    newest: tokio::sync::Mutex<Option<u64>>,
}

impl Maintenance {
    /// That of a lake; nothing is read yet.
    #[must_use]
    pub fn of(store: &Store, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        let register = Register::new(store.clone(), paths::maintenance());
        Self(Arc::new(Inner { register, clock, ids, newest: tokio::sync::Mutex::default() }))
    }

    /// What the newest word says, read anew.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn look(&self) -> Result<Option<Closed>, CatalogError> {
        let mut newest = self.0.newest.lock().await;
        Ok(self.newest(&mut newest).await?.and_then(|word| word.closed))
    }

    /// Says that nothing is taken in. Where it was said already, it stays since then, and who and why are those said now.
    ///
    /// # Errors
    /// [`CatalogError`]; it may have been said all the same.
    pub async fn begin(&self, by: &str, reason: &str) -> Result<Closed, CatalogError> {
        let now = self.0.clock.now();
        let said = self.say(|before| {
            let since = before.map_or(now, |before| before.since);
            let (by, reason) = (by.to_owned(), reason.chars().take(REASON_CHARS_MAX).collect());
            Some(Closed { since, by, reason })
        });
        let closed = said.await?;
        closed.ok_or_else(|| CatalogError::unreadable(&paths::maintenance(), "the word that was said is not there"))
    }

    /// Says that everything is taken in again.
    ///
    /// # Errors
    /// [`CatalogError`]; it may have been said all the same.
    pub async fn end(&self) -> Result<(), CatalogError> {
        self.say(|_before| None).await.map(|_open| ())
    }

    /// Puts a word behind the newest, unless that says the same.
    async fn say(&self, next: impl Fn(Option<&Closed>) -> Option<Closed>) -> Result<Option<Closed>, CatalogError> {
        let mut newest = self.0.newest.lock().await;
        for _attempt in 0..ATTEMPTS_MAX {
            let before = self.newest(&mut newest).await?;
            let closed = next(before.as_ref().and_then(|word| word.closed.as_ref()));
            if closed == before.as_ref().and_then(|word| word.closed.clone()) {
                return Ok(closed);
            }
            let (number, now) = (before.map_or(0, |word| word.number) + 1, self.0.clock.now());
            let word = Word { number, put_id: self.0.ids.ulid(now).to_string(), written_at: now, closed };
            if self.0.register.create(number, word.encode()?).await? == Created::Won {
                *newest = Some(number);
                // It is said, whatever becomes of those long past.
                if let Err(error) = self.forget_old(number).await {
                    tracing::warn!(%error, "old words on maintenance could not be deleted");
                }
                return Ok(word.closed);
            }
        }
        Err(CatalogError::unreadable(&paths::maintenance(), "another process writes to it without pause"))
    }

    async fn newest(&self, seen: &mut Option<u64>) -> Result<Option<Word>, CatalogError> {
        let Some((number, bytes)) = self.0.register.latest(*seen).await? else { return Ok(None) };
        *seen = Some(number);
        Word::decode(&self.0.register.path(number), &bytes).map(Some)
    }

    async fn forget_old(&self, number: u64) -> Result<(), CatalogError> {
        if number.is_multiple_of(KEPT) {
            self.0.register.trim(number - KEPT + 1).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::clock::ManualClock;

    use super::*;

    struct House(Store, Arc<ManualClock>);

    impl House {
        fn new() -> Self {
            Self(Store::memory(), Arc::new(ManualClock::at(Instant::from_micros(1 << 50))))
        }

        fn process(&self, seed: u128) -> Maintenance {
            self.1.step(1);
            Maintenance::of(&self.0, self.1.clone(), Arc::new(Ids::seeded(seed)))
        }
    }

    #[tokio::test]
    async fn who_comes_next_finds_it() {
        let house = House::new();
        let first = house.process(1);
        assert_eq!(first.look().await.unwrap(), None, "nothing was ever said");
        let said = first.begin("k3v9", "the disk is replaced").await.unwrap();
        let next = house.process(2);
        assert_eq!(next.look().await.unwrap(), Some(said.clone()));
        let again = next.begin("root", "it takes longer").await.unwrap();
        assert_eq!((again.since, again.by.as_str()), (said.since, "root"), "it stays since then");
        next.end().await.unwrap();
        assert_eq!(first.look().await.unwrap(), None, "one that lives reads it anew");
    }

    #[tokio::test]
    async fn saying_the_same_again_writes_nothing() {
        let (house, register) = (House::new(), |house: &House| Register::new(house.0.clone(), paths::maintenance()));
        let process = house.process(1);
        process.end().await.unwrap();
        assert!(register(&house).latest(None).await.unwrap().is_none());
        process.begin("root", "").await.unwrap();
        process.begin("root", "").await.unwrap();
        assert_eq!(register(&house).latest(None).await.unwrap().map(|(number, _)| number), Some(1));
    }

    #[tokio::test]
    async fn words_long_past_are_forgotten() {
        let house = House::new();
        let process = house.process(1);
        for turn in 0..3 * KEPT {
            process.begin("root", &turn.to_string()).await.unwrap();
        }
        assert_eq!(house.process(2).look().await.unwrap().map(|closed| closed.reason), Some("47".to_owned()));
        assert!(Register::new(house.0.clone(), paths::maintenance()).floor().await.unwrap() > KEPT);
    }

    #[tokio::test]
    async fn two_who_speak_at_once_are_both_heard() {
        let house = House::new();
        let (one, other) = (house.process(1), house.process(2));
        let (a, b) = tokio::join!(one.begin("one", "a"), other.begin("other", "b"));
        let newest = one.look().await.unwrap().map(|closed| closed.by);
        assert!(a.is_ok() && b.is_ok() && newest.is_some_and(|by| by == "one" || by == "other"));
    }
}
