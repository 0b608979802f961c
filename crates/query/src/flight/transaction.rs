//! Transactions: everything that is asked in one is read at the instant when it began. They only read.
//!
//! What one costs is its place in a list, so many may be open, and for long: drivers begin one with every connection and
//! may never end it. Where there is no place left the oldest goes, of whoever holds most of them. One that was ended stays
//! known as that, for handles that were prepared in it. The list is this process's: after a restart a transaction is not
//! known any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tidemark_model::{Instant, Principal};
use tonic::Status;

use crate::Pin;

/// The most that are known at once.
const KNOWN_MAX: usize = 65_536;
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
}

#[derive(Debug)]
struct Begun {
    by: String,
    pin: Pin,
    is_ended: bool,
}

impl Open {
    /// Makes room for one more of somebody: their own oldest goes where most are theirs, else the oldest of all.
    fn make_room(&mut self, by: &str) {
        if self.begun.len() < KNOWN_MAX {
            return;
        }
        let own = || self.begun.iter().filter(|(_, begun)| begun.by == by).map(|(number, _)| *number);
        let oldest = if own().count() > KNOWN_MAX / 2 { own().next() } else { self.begun.keys().next().copied() };
        if let Some(oldest) = oldest {
            self.begun.remove(&oldest);
        }
    }
}

impl Transactions {
    fn open(&self, now: Instant) -> MutexGuard<'_, Open> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = open.begun.first_entry()
            && now.micros() - oldest.get().pin.now.micros() > AGE_MAX_US
        {
            oldest.remove();
        }
        open
    }

    /// Begins one of somebody that reads at these instants, which are now; its id.
    pub(crate) fn begin(&self, by: &Principal, pin: Pin) -> Bytes {
        let mut open = self.open(pin.now);
        open.make_room(by.id());
        open.last += 1;
        let number = open.last;
        open.begun.insert(number, Begun { by: by.id().to_owned(), pin, is_ended: false });
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
        let open = self.open(now);
        let found = number(id).and_then(|number| open.begun.get(&number)).filter(|begun| begun.by == by.id());
        let found = found.filter(|begun| id.ends_with(&begun.pin.now.micros().to_be_bytes())).ok_or_else(unknown)?;
        Ok((!found.is_ended).then_some(found.pin))
    }

    /// Ends one; committed or rolled back is the same, as nothing was written.
    ///
    /// # Errors
    /// NOT_FOUND when it is not open, also when it was ended before.
    pub(crate) fn end(&self, by: &Principal, id: &[u8], now: Instant) -> Result<(), Status> {
        self.pin(by, id, now)?;
        let mut open = self.open(now);
        if let Some(begun) = number(id).and_then(|number| open.begun.get_mut(&number)) {
            begun.is_ended = true;
        }
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
        let theirs = all.begin(&other, pin(10));
        let ids: Vec<Bytes> = (1..KNOWN_MAX).map(|_| all.begin(&me(), pin(10))).collect();
        let at = Instant::from_micros(11);
        let last = all.begin(&me(), pin(10));
        assert!(all.pin(&me(), &ids[0], at).is_err(), "the oldest of whoever holds most of them went");
        for (by, id) in [(&other, &theirs), (&me(), &ids[1]), (&me(), &last)] {
            assert!(all.pin(by, id, at).is_ok());
        }
        let _one_more = all.begin(&other, pin(10));
        assert!(all.pin(&other, &theirs, at).is_err(), "else the oldest of all");
    }
}
