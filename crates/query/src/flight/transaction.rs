//! Transactions: everything that is asked in one is read at the instant when it began. They only read.
//!
//! What one costs is its place in a list, so many may be open, and for long: drivers begin one with every connection and
//! may never end it. Where there is no place left the oldest of whoever holds most of them goes. Those that were ended stay
//! known as that, in a list of their own, for handles that were prepared in them. The lists are this process's: after a
//! restart a transaction is not known any more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tidemark_model::{Instant, Principal};
use tonic::Status;

use crate::Pin;

/// The most that are open at once, and the most that are known as ended.
const OPEN_MAX: usize = 65_536;
/// How old one may get: 24 hours.
const AGE_MAX_US: i64 = 24 * 3600 * 1_000_000;
/// The same in milliseconds, as it is told to clients.
pub(crate) const AGE_MAX_MS: i32 = 24 * 3600 * 1000;

/// The open ones, by number: the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transactions(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    begun: BTreeMap<u64, Begun>,
    /// How many of them are whose.
    held: HashMap<String, usize>,
    ended: BTreeMap<u64, Begun>,
}

#[derive(Debug)]
struct Begun {
    by: String,
    pin: Pin,
}

impl Open {
    fn put(&mut self, number: u64, begun: Begun) {
        *self.held.entry(begun.by.clone()).or_default() += 1;
        self.begun.insert(number, begun);
    }

    fn take(&mut self, number: u64) -> Option<Begun> {
        let begun = self.begun.remove(&number)?;
        if let Some(held) = self.held.get_mut(&begun.by) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&begun.by);
            }
        }
        Some(begun)
    }

    fn end(&mut self, number: u64) {
        let Some(begun) = self.take(number) else { return };
        if self.ended.len() >= OPEN_MAX {
            self.ended.pop_first();
        }
        self.ended.insert(number, begun);
    }

    /// Makes room for one more: the oldest of whoever holds most goes.
    fn make_room(&mut self) {
        if self.begun.len() < OPEN_MAX {
            return;
        }
        let most = self.held.iter().max_by_key(|(_by, held)| **held).map(|(by, _held)| by.as_str());
        let oldest = self.begun.iter().find(|(_, begun)| Some(begun.by.as_str()) == most).map(|(number, _)| *number);
        if let Some(oldest) = oldest {
            self.take(oldest);
        }
    }

    /// Forgets those that are too old.
    fn age(&mut self, now: Instant) {
        let is_old = |begun: &Begun| now.micros() - begun.pin.now.micros() > AGE_MAX_US;
        while let Some(oldest) =
            self.begun.first_key_value().filter(|(_, begun)| is_old(begun)).map(|(number, _)| *number)
        {
            self.take(oldest);
        }
        while self.ended.first_key_value().is_some_and(|(_, begun)| is_old(begun)) {
            self.ended.pop_first();
        }
    }
}

impl Transactions {
    fn open(&self, now: Instant) -> MutexGuard<'_, Open> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.age(now);
        open
    }

    /// Begins one of somebody that reads at these instants, which are now; its id.
    pub(crate) fn begin(&self, by: &Principal, pin: Pin) -> Bytes {
        let mut open = self.open(pin.now);
        open.make_room();
        open.last += 1;
        let number = open.last;
        open.put(number, Begun { by: by.id().to_owned(), pin });
        // With its instant: the next process counts from the beginning.
        [number.to_be_bytes(), pin.now.micros().to_be_bytes()].concat().into()
    }

    /// The instants that a transaction of somebody reads at.
    ///
    /// # Errors
    /// NOT_FOUND when it is not open, or not theirs.
    pub(crate) fn pin(&self, by: &Principal, id: &[u8], now: Instant) -> Result<Pin, Status> {
        self.pin_if_open(by, id, now)?.ok_or_else(unknown)
    }

    /// The same; none of one that they have ended.
    ///
    /// # Errors
    /// NOT_FOUND when it is not known, or not theirs.
    pub(crate) fn pin_if_open(&self, by: &Principal, id: &[u8], now: Instant) -> Result<Option<Pin>, Status> {
        let (open, number) = (self.open(now), number(id).ok_or_else(unknown)?);
        let is_it = |begun: &&Begun| begun.by == by.id() && id.ends_with(&begun.pin.now.micros().to_be_bytes());
        if let Some(begun) = open.begun.get(&number).filter(is_it) {
            return Ok(Some(begun.pin));
        }
        open.ended.get(&number).filter(is_it).map(|_ended| None).ok_or_else(unknown)
    }

    /// Ends one; committed or rolled back is the same, as nothing was written.
    ///
    /// # Errors
    /// NOT_FOUND when it is not open, also when it was ended before.
    pub(crate) fn end(&self, by: &Principal, id: &[u8], now: Instant) -> Result<(), Status> {
        self.pin(by, id, now)?;
        let mut open = self.open(now);
        number(id).into_iter().for_each(|number| open.end(number));
        Ok(())
    }
}

fn number(id: &[u8]) -> Option<u64> {
    let (number, _instant) = id.split_first_chunk::<8>().filter(|(_, instant)| instant.len() == 8)?;
    Some(u64::from_be_bytes(*number))
}

fn unknown() -> Status {
    Status::not_found(
        "the transaction is not open: it was ended, is older than 24 hours, or began before the server was started; \
         begin another one",
    )
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn pin(us: i64) -> Pin {
        Pin { system_time: Instant::from_micros(us - 1), now: Instant::from_micros(us) }
    }

    fn me() -> Principal {
        Principal::of_everything("me")
    }

    #[test]
    fn a_transaction_is_open_until_it_is_ended_or_old() {
        let (all, at) = (Transactions::default(), Instant::from_micros);
        let (one, two) = (all.begin(&me(), pin(10)), all.begin(&me(), pin(20)));
        assert_eq!((all.pin(&me(), &one, at(30)).unwrap(), all.pin(&me(), &two, at(30)).unwrap()), (pin(10), pin(20)));
        let other = Principal::of_everything("other");
        assert!(all.pin(&other, &one, at(30)).is_err() && all.end(&other, &one, at(30)).is_err(), "it is not theirs");
        all.end(&me(), &one, at(30)).unwrap();
        assert_eq!(all.pin_if_open(&me(), &one, at(30)).unwrap(), None, "handles know that it was ended");
        assert!(all.pin_if_open(&other, &one, at(30)).is_err());
        for id in [&one[..], b"", b"x", &[0; 16], &two[..15], &[&two[..], b"x"].concat()] {
            assert_eq!(all.pin(&me(), id, at(30)).unwrap_err().code(), Code::NotFound, "{id:?}");
            assert_eq!(all.end(&me(), id, at(30)).unwrap_err().code(), Code::NotFound, "{id:?}");
        }
        assert!(all.pin(&me(), &two, at(20 + AGE_MAX_US)).is_ok());
        assert!(all.pin(&me(), &two, at(21 + AGE_MAX_US)).is_err());
        let next = Transactions::default();
        let _id = next.begin(&me(), pin(50));
        assert!(next.pin(&me(), &one, at(60)).is_err(), "the same number in another process");
    }

    #[test]
    fn there_are_only_so_many() {
        let (all, other) = (Transactions::default(), Principal::of_everything("other"));
        let at = Instant::from_micros(11);
        let theirs = all.begin(&other, pin(10));
        let ids: Vec<Bytes> = (1..OPEN_MAX).map(|_| all.begin(&me(), pin(10))).collect();
        // Whoever begins one more: what goes is of whoever holds most.
        for (gone, by) in [(0, &other), (1, &me())] {
            let last = all.begin(by, pin(10));
            assert!(all.pin(&me(), &ids[gone], at).is_err());
            for (by, id) in [(&other, &theirs), (&me(), &ids[gone + 1]), (by, &last)] {
                assert!(all.pin(by, id, at).is_ok());
            }
        }
        // Ended ones take nobody's place, and are known for as long as there are not too many.
        for _ in 0..OPEN_MAX {
            all.end(&me(), &all.begin(&me(), pin(10)), at).unwrap();
        }
        all.end(&other, &theirs, at).unwrap();
        assert_eq!(all.pin_if_open(&other, &theirs, at).unwrap(), None);
        assert!(all.pin(&me(), &ids[OPEN_MAX - 2], at).is_ok());
    }
}
