//! Idempotency keys: the first receipt again, for the same body.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use tidemark_model::{Instant, Namespace};
use tokio::sync::watch;

use super::{Outcome, is_expired, lock};
use crate::{
    budget::{Budget, Reservation},
    prepare::Key,
    receipt::Receipt,
};

/// Maps of one namespace.
const TABLES: usize = 64;

/// What became of an attempt to claim a key.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is this request's.
    Taken(KeyClaim),
    /// It was used with the same body: the first receipt.
    Seen(Arc<Receipt>),
    /// It was used with another body.
    Mismatch,
    /// Another request holds it: wait, then try again.
    Wait(Outcome),
    /// The cap that is reached, and its limit.
    Full(&'static str, usize),
}

#[derive(Debug)]
enum State {
    Held(Outcome),
    Used { body: u128, at: Instant, receipt: Arc<Receipt>, _place: Reservation },
}

/// Keys of one namespace, in [`TABLES`] maps, so that the sweep that drops old ones stays short.
#[derive(Debug)]
struct Keys {
    tables: Vec<HashMap<u128, State>>,
    next_sweep: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { tables: (0..TABLES).map(|_| HashMap::new()).collect(), next_sweep: 0 }
    }
}

impl Keys {
    fn table(&mut self, key: u128) -> &mut HashMap<u128, State> {
        // The key is a hash, so its low bits are as good as any.
        let at = usize::try_from(key % TABLES as u128).unwrap_or(0);
        &mut self.tables[at]
    }

    fn len(&self) -> usize {
        self.tables.iter().map(HashMap::len).sum()
    }
}

/// Idempotency keys of all namespaces.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    namespaces: Mutex<HashMap<Namespace, Arc<Mutex<Keys>>>>,
    max: usize,
    /// Bytes of the receipts.
    receipts: Budget,
}

impl KeyIndex {
    /// An index of at most `max` keys per namespace, whose receipts take at most so many bytes in all.
    pub(crate) fn new(max: usize, receipts_bytes_max: usize) -> Self {
        Self { namespaces: Mutex::default(), max, receipts: Budget::new(receipts_bytes_max) }
    }

    fn of(&self, namespace: &Namespace) -> Arc<Mutex<Keys>> {
        Arc::clone(lock(&self.namespaces).entry(namespace.clone()).or_default())
    }

    /// Claims a key; what it was used for before an instant counts no more.
    pub(crate) fn claim(&self, namespace: &Namespace, key: &Key, (now, since): (Instant, Instant)) -> Claimed {
        let keys = self.of(namespace);
        let mut held = lock(&keys);
        let full = self.full(&held);
        let (_settled, outcome) = watch::channel(());
        match held.table(key.key).entry(key.key) {
            Entry::Occupied(mut entry) => match entry.get() {
                State::Held(outcome) => return Claimed::Wait(outcome.clone()),
                State::Used { at, .. } if is_expired(*at, now) || *at < since => {
                    drop(entry.insert(State::Held(outcome)));
                }
                State::Used { body, receipt, .. } if *body == key.body => return Claimed::Seen(Arc::clone(receipt)),
                State::Used { .. } => return Claimed::Mismatch,
            },
            Entry::Vacant(entry) => match full {
                Some((what, limit)) => return Claimed::Full(what, limit),
                None => drop(entry.insert(State::Held(outcome))),
            },
        }
        drop(held);
        Claimed::Taken(KeyClaim { keys, key: key.key, body: key.body, receipts: self.receipts.clone(), _settled })
    }

    /// Which cap is reached, and its limit.
    fn full(&self, keys: &Keys) -> Option<(&'static str, usize)> {
        if keys.len() >= self.max {
            return Some(("the number of idempotency keys of 24 hours", self.max));
        }
        let receipts = &self.receipts;
        (receipts.used() >= receipts.max()).then(|| ("the bytes of the receipts of 24 hours", receipts.max()))
    }

    /// Remembers a key that was used in an earlier process.
    pub(crate) fn remember(&self, namespace: &Namespace, (key, body): (u128, u128), receipt: Receipt) {
        let used = used(body, receipt, &self.receipts);
        lock(&self.of(namespace)).table(key).insert(key, used);
    }

    /// Drops what lies outside the window from one table of every namespace; called often, it comes around.
    pub(crate) fn sweep(&self, now: Instant) {
        let all: Vec<_> = lock(&self.namespaces).values().map(Arc::clone).collect();
        for keys in all {
            let mut keys = lock(&keys);
            let at = keys.next_sweep;
            keys.next_sweep = (at + 1) % TABLES;
            keys.tables[at].retain(|_, state| !matches!(state, State::Used { at, .. } if is_expired(*at, now)));
        }
        // Whoever holds one may add to it.
        lock(&self.namespaces).retain(|_, keys| Arc::strong_count(keys) > 1 || lock(keys).len() > 0);
    }

    /// Forgets what was used in a namespace.
    pub(crate) fn forget(&self, namespace: &Namespace) {
        let keys = self.of(namespace);
        let mut keys = lock(&keys);
        keys.tables.iter_mut().for_each(|table| table.retain(|_, state| matches!(state, State::Held(_))));
    }

    /// How many keys are remembered or claimed.
    pub(crate) fn len(&self) -> usize {
        lock(&self.namespaces).values().map(|keys| lock(keys).len()).sum()
    }
}

fn used(body: u128, receipt: Receipt, receipts: &Budget) -> State {
    let _place = receipts.take(receipt.bytes());
    State::Used { body, at: receipt.system_time, receipt: Arc::new(receipt), _place }
}

/// A key that a request holds until its outcome is known. Gives it back on drop.
#[derive(Debug)]
pub(crate) struct KeyClaim {
    keys: Arc<Mutex<Keys>>,
    key: u128,
    body: u128,
    receipts: Budget,
    /// Goes away with the claim, which wakes whoever waits.
    _settled: watch::Sender<()>,
}

impl KeyClaim {
    /// The request is stored.
    pub(crate) fn settle(self, receipt: Receipt) {
        let used = used(self.body, receipt, &self.receipts);
        lock(&self.keys).table(self.key).insert(self.key, used);
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = lock(&self.keys).table(self.key).entry(self.key)
            && matches!(entry.get(), State::Held(_))
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Durability;

    fn namespace() -> Namespace {
        Namespace::parse("shop").expect("a name")
    }

    fn key(key: u128) -> Key {
        Key { shown: String::new(), key, body: 1, producer: None }
    }

    fn receipt(system_time: Instant) -> Receipt {
        let (positions, errors) = (Vec::new(), Vec::new());
        let durability = Durability::Local;
        Receipt {
            accepted: 1,
            duplicates: 0,
            rejected: 0,
            durability,
            system_time,
            positions,
            errors,
            duplicate: false,
            producer: None,
        }
    }

    #[test]
    fn a_sweep_drops_one_table_and_comes_around() {
        let (index, at) = (KeyIndex::new(1000, 1 << 20), Instant::from_micros(1_800_000_000_000_000));
        (0..128).for_each(|n| index.remember(&namespace(), (n, 1), receipt(at)));
        let used = index.receipts.used();
        assert_eq!(used, 128 * receipt(at).bytes());
        let late = at.plus_micros(super::super::WINDOW_US + 1);
        index.sweep(late);
        assert_eq!(index.len(), 128 - 2, "one of sixty-four tables");
        (1..TABLES).for_each(|_| index.sweep(late));
        assert_eq!((index.len(), index.receipts.used()), (0, 0));
    }

    #[test]
    fn a_name_of_which_nothing_is_kept_leaves_nothing() {
        let (index, at) = (KeyIndex::new(10, 1 << 20), Instant::from_micros(1_800_000_000_000_000));
        let claimed = index.claim(&namespace(), &key(1), (at, Instant::MIN));
        index.sweep(at);
        assert_eq!(lock(&index.namespaces).len(), 1, "somebody may add to it");
        drop(claimed);
        index.sweep(at);
        assert!(lock(&index.namespaces).is_empty());
    }

    #[test]
    fn receipts_are_capped_by_bytes() {
        let at = Instant::from_micros(1_800_000_000_000_000);
        let index = KeyIndex::new(1000, receipt(at).bytes() * 2);
        for n in 0..2 {
            let Claimed::Taken(claim) = index.claim(&namespace(), &key(n), (at, Instant::MIN)) else {
                panic!("{n} is not taken")
            };
            claim.settle(receipt(at));
        }
        assert!(matches!(index.claim(&namespace(), &key(2), (at, Instant::MIN)), Claimed::Full(_, _)));
        assert!(
            matches!(index.claim(&namespace(), &key(1), (at, Instant::MIN)), Claimed::Seen(_)),
            "what is known is answered"
        );
        let late = at.plus_micros(super::super::WINDOW_US + 1);
        (0..TABLES).for_each(|_| index.sweep(late));
        assert!(matches!(index.claim(&namespace(), &key(2), (late, Instant::MIN)), Claimed::Taken(_)));
    }
}
