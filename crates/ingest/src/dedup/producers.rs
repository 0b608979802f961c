//! Producers: what one sends is stored once and in order, by the sequence of each request and the epoch of who sends it.
//!
//! Sequences begin at 1 and have no gaps, also from one epoch to the next. A request takes its producer's **turn** before
//! it is read and keeps it until it is durable, so that requests of one producer follow each other; then where the
//! producer stands is settled. What is remembered travels as a key does: in the log with the records, in sidecars after
//! that, and from a sidecar that leaves the manifest into the next one, until the producer was silent for [`WINDOW_US`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tidemark_model::{Instant, Namespace};
use tokio::sync::OwnedMutexGuard;

use super::{is_silent, lock};
use crate::{error::Error, receipt::Receipt, request::Sequenced};

/// How long a silent producer is remembered: 7 days of system time.
pub(crate) const WINDOW_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// Where a producer stands.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    /// The greatest epoch, and the last durable sequence.
    pub(crate) at: Sequenced,
    /// The hash of the last request.
    pub(crate) body: u128,
    /// Its receipt, without the records that were refused.
    pub(crate) receipt: Arc<Receipt>,
}

/// How a request stands to what is known.
#[derive(Debug)]
pub(crate) enum Judged {
    /// It is the next one.
    Next,
    /// It was stored before.
    Seen(Receipt),
}

#[derive(Debug, Default)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    stand: Mutex<Option<Stand>>,
}

/// The turn of a producer: nobody else appends for it meanwhile. Given back on drop.
#[derive(Debug)]
pub(crate) struct Turn {
    slot: Arc<Slot>,
    _guard: OwnedMutexGuard<()>,
}

impl Turn {
    /// Where the producer stands, if that is not forgotten.
    pub(crate) fn stand(&self, now: Instant) -> Option<Stand> {
        lock(&self.slot.stand).clone().filter(|stand| !is_silent(stand.receipt.system_time, now))
    }

    /// Judges a request with this hash.
    pub(crate) fn judge(&self, asked: &Sequenced, body: u128, now: Instant) -> Result<Judged, Error> {
        let stand = self.stand(now);
        let (epoch, last) = stand.as_ref().map_or((0, 0), |stand| (stand.at.epoch, stand.at.sequence));
        if asked.epoch < epoch {
            return Err(Error::Fenced { id: asked.shown(), sent: asked.epoch, epoch });
        }
        match stand {
            Some(stand) if asked.sequence == last && stand.body != body => {
                Err(Error::SequenceMismatch { id: asked.shown(), sequence: last })
            }
            Some(stand) if asked.sequence <= last => Ok(Judged::Seen(stand.seen(asked.sequence))),
            _ if asked.sequence == last + 1 => Ok(Judged::Next),
            _ => Err(Error::SequenceGap { id: asked.shown(), sent: asked.sequence, expected: last + 1 }),
        }
    }

    /// The request is durable.
    pub(crate) fn settle(&self, stand: Stand) {
        *lock(&self.slot.stand) = Some(stand);
    }
}

impl Stand {
    /// What is answered to a sequence that was stored before: the receipt of the last one, of others only that it was.
    fn seen(&self, sequence: u64) -> Receipt {
        let last = Receipt::clone(&self.receipt);
        if sequence == self.at.sequence {
            return Receipt { duplicate: true, producer: None, ..last };
        }
        let (positions, errors) = (Vec::new(), Vec::new());
        Receipt {
            accepted: 0,
            duplicates: 0,
            rejected: 0,
            positions,
            errors,
            duplicate: true,
            producer: None,
            durability: last.durability,
            system_time: last.system_time,
        }
    }
}

type Slots = HashMap<u128, Arc<Slot>>;

/// The producers of all namespaces, by the hashes of their ids.
#[derive(Debug)]
pub(crate) struct ProducerIndex {
    namespaces: Mutex<HashMap<Namespace, Slots>>,
    max: usize,
}

impl ProducerIndex {
    /// An index of at most `max` producers.
    pub(crate) fn new(max: usize) -> Self {
        Self { namespaces: Mutex::default(), max }
    }

    /// The most producers.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// Takes the turn of a producer, after those who wait for it already; none when there are too many producers.
    pub(crate) async fn turn(&self, namespace: &Namespace, key: u128) -> Option<Turn> {
        let slot = {
            let mut namespaces = lock(&self.namespaces);
            let known = namespaces.get(namespace).and_then(|slots| slots.get(&key)).map(Arc::clone);
            match known {
                Some(slot) => slot,
                None if count(&namespaces) >= self.max => return None,
                None => Arc::clone(namespaces.entry(namespace.clone()).or_default().entry(key).or_default()),
            }
        };
        Some(Turn { _guard: Arc::clone(&slot.turn).lock_owned().await, slot })
    }

    /// Where a producer stands once what it has sent so far is durable or refused.
    pub(crate) async fn stand(&self, namespace: &Namespace, key: u128, now: Instant) -> Option<Stand> {
        let slot = lock(&self.namespaces).get(namespace)?.get(&key).map(Arc::clone)?;
        Turn { _guard: Arc::clone(&slot.turn).lock_owned().await, slot }.stand(now)
    }

    /// Remembers where a producer stood in an earlier process; the latest counts.
    pub(crate) fn remember(&self, namespace: &Namespace, (key, body): (u128, u128), receipt: Receipt) {
        let Some(at) = receipt.producer.clone() else { return };
        let mut namespaces = lock(&self.namespaces);
        let slot = namespaces.entry(namespace.clone()).or_default().entry(key).or_default();
        let mut stand = lock(&slot.stand);
        if stand.as_ref().is_none_or(|known| known.receipt.system_time <= receipt.system_time) {
            *stand = Some(Stand { at, body, receipt: Arc::new(receipt) });
        }
    }

    /// The producers that were silent since an instant and are not forgotten yet.
    pub(crate) fn silent(&self, namespace: &Namespace, since: Instant, now: Instant) -> Vec<(u128, Stand)> {
        let namespaces = lock(&self.namespaces);
        let slots = namespaces.get(namespace).into_iter().flatten();
        let stands = slots.filter_map(|(key, slot)| Some((*key, lock(&slot.stand).clone()?)));
        let is_kept = |at: Instant| at <= since && !is_silent(at, now);
        stands.filter(|(_, stand)| is_kept(stand.receipt.system_time)).collect()
    }

    /// Forgets those that were silent for too long, and those that nothing is known of.
    pub(crate) fn sweep(&self, now: Instant) {
        let is_known = |slot: &Arc<Slot>| {
            let stand = lock(&slot.stand);
            stand.as_ref().is_some_and(|stand| !is_silent(stand.receipt.system_time, now))
        };
        lock(&self.namespaces).retain(|_, slots| {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || is_known(slot));
            !slots.is_empty()
        });
    }

    /// Forgets those of a namespace: their sequences begin anew.
    pub(crate) fn forget(&self, namespace: &Namespace) {
        let namespaces = lock(&self.namespaces);
        namespaces.get(namespace).into_iter().flatten().for_each(|(_, slot)| *lock(&slot.stand) = None);
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        count(&lock(&self.namespaces))
    }
}

fn count(namespaces: &HashMap<Namespace, Slots>) -> usize {
    namespaces.values().map(HashMap::len).sum()
}

#[cfg(test)]
mod tests;
