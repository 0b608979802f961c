//! Transactions: everything that is asked in one is read at the instant when it began. They only read.
//!
//! What one costs is its place in a list, so many may be open, and for long: drivers begin one with every connection and
//! may never end it. The list is this process's: after a restart a transaction is not known any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tidemark_model::{Instant, Kind, Principal};
use tidemark_proto::Problem;
use tonic::{Code, Status};

use crate::Pin;

/// The most that are open at once.
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
    /// Whose each is, and when it reads.
    pins: BTreeMap<u64, (String, Pin)>,
}

impl Transactions {
    fn open(&self, now: Instant) -> MutexGuard<'_, Open> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = open.pins.first_entry()
            && now.micros() - oldest.get().1.now.micros() > AGE_MAX_US
        {
            oldest.remove();
        }
        open
    }

    /// Begins one of somebody that reads at these instants, which are now; its id.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when too many are open.
    pub(crate) fn begin(&self, by: &Principal, pin: Pin) -> Result<Bytes, Status> {
        let mut open = self.open(pin.now);
        if open.pins.len() >= OPEN_MAX {
            let detail = format!("{OPEN_MAX} transactions are open: end some, or ask without one");
            return Err(tidemark_proto::status::of(
                &Problem::new(Kind::TooMany, "too_many_transactions", detail),
                Code::ResourceExhausted,
            ));
        }
        open.last += 1;
        let number = open.last;
        open.pins.insert(number, (by.id().to_owned(), pin));
        // With its instant: the next process counts from the beginning.
        Ok([number.to_be_bytes(), pin.now.micros().to_be_bytes()].concat().into())
    }

    /// The instants that a transaction of somebody reads at.
    ///
    /// # Errors
    /// NOT_FOUND when it is not open, or not theirs.
    pub(crate) fn pin(&self, by: &Principal, id: &[u8], now: Instant) -> Result<Pin, Status> {
        let open = self.open(now);
        let found = number(id).and_then(|number| open.pins.get(&number)).filter(|(whose, _)| whose == by.id());
        let pin = found.map(|(_, pin)| *pin);
        pin.filter(|pin| id.ends_with(&pin.now.micros().to_be_bytes())).ok_or_else(unknown)
    }

    /// Ends one; committed or rolled back is the same, as nothing was written.
    ///
    /// # Errors
    /// NOT_FOUND when it is not open, also when it was ended before.
    pub(crate) fn end(&self, by: &Principal, id: &[u8], now: Instant) -> Result<(), Status> {
        self.pin(by, id, now)?;
        number(id).and_then(|number| self.open(now).pins.remove(&number)).map(|_pin| ()).ok_or_else(unknown)
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
        let (one, two) = (all.begin(&me(), pin(10)).unwrap(), all.begin(&me(), pin(20)).unwrap());
        assert_eq!((all.pin(&me(), &one, at(30)).unwrap(), all.pin(&me(), &two, at(30)).unwrap()), (pin(10), pin(20)));
        let other = Principal::of_everything("other");
        assert!(all.pin(&other, &one, at(30)).is_err() && all.end(&other, &one, at(30)).is_err(), "it is not theirs");
        all.end(&me(), &one, at(30)).unwrap();
        for id in [&one[..], b"", b"x", &[0; 16], &two[..15], &[&two[..], b"x"].concat()] {
            assert_eq!(all.pin(&me(), id, at(30)).unwrap_err().code(), Code::NotFound, "{id:?}");
            assert_eq!(all.end(&me(), id, at(30)).unwrap_err().code(), Code::NotFound, "{id:?}");
        }
        assert!(all.pin(&me(), &two, at(20 + AGE_MAX_US)).is_ok());
        assert!(all.pin(&me(), &two, at(21 + AGE_MAX_US)).is_err());
        let next = Transactions::default();
        next.begin(&me(), pin(50)).unwrap();
        assert!(next.pin(&me(), &one, at(60)).is_err(), "the same number in another process");
    }

    #[test]
    fn there_are_only_so_many() {
        let all = Transactions::default();
        let ids: Vec<Bytes> = (0..OPEN_MAX).map(|_| all.begin(&me(), pin(10)).unwrap()).collect();
        assert_eq!(all.begin(&me(), pin(10)).unwrap_err().code(), Code::ResourceExhausted);
        all.end(&me(), &ids[7], Instant::from_micros(11)).unwrap();
        all.begin(&me(), pin(10)).unwrap();
        assert!(all.begin(&me(), pin(11 + AGE_MAX_US)).is_ok(), "the old ones made room");
    }
}
