//! Idempotency keys: the first receipt again, for the same body.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use tidemark_model::{Instant, Namespace};
use tokio::sync::watch;

use super::{Outcome, is_expired, lock};
use crate::{prepare::Key, receipt::Receipt};

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
    /// The namespace has used as many keys as it may within the window.
    Full,
}

#[derive(Debug)]
enum State {
    Held(Outcome),
    Used { body: u128, at: Instant, receipt: Arc<Receipt> },
}

type Keys = HashMap<u128, State>;

/// Idempotency keys of all namespaces.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    namespaces: Mutex<HashMap<Namespace, Arc<Mutex<Keys>>>>,
    max: usize,
}

impl KeyIndex {
    /// An index of at most `max` keys per namespace.
    pub(crate) fn new(max: usize) -> Self {
        Self { namespaces: Mutex::default(), max }
    }

    fn of(&self, namespace: &Namespace) -> Arc<Mutex<Keys>> {
        Arc::clone(lock(&self.namespaces).entry(namespace.clone()).or_default())
    }

    /// Claims a key.
    pub(crate) fn claim(&self, namespace: &Namespace, key: &Key, now: Instant) -> Claimed {
        let keys = self.of(namespace);
        let mut held = lock(&keys);
        let full = held.len() >= self.max;
        let (settled, outcome) = watch::channel(());
        match held.entry(key.key) {
            Entry::Occupied(mut entry) => match entry.get() {
                State::Held(outcome) => return Claimed::Wait(outcome.clone()),
                State::Used { at, .. } if is_expired(*at, now) => drop(entry.insert(State::Held(outcome))),
                State::Used { body, receipt, .. } if *body == key.body => return Claimed::Seen(Arc::clone(receipt)),
                State::Used { .. } => return Claimed::Mismatch,
            },
            Entry::Vacant(_) if full => return Claimed::Full,
            Entry::Vacant(entry) => drop(entry.insert(State::Held(outcome))),
        }
        drop(held);
        Claimed::Taken(KeyClaim { keys, key: key.key, body: key.body, settled })
    }

    /// Remembers a key that was used in an earlier process.
    pub(crate) fn remember(&self, namespace: &Namespace, (key, body): (u128, u128), receipt: Receipt) {
        let used = State::Used { body, at: receipt.system_time, receipt: Arc::new(receipt) };
        lock(&self.of(namespace)).insert(key, used);
    }

    /// Drops what lies outside the window.
    pub(crate) fn sweep(&self, now: Instant) {
        let all: Vec<_> = lock(&self.namespaces).values().map(Arc::clone).collect();
        for keys in all {
            lock(&keys).retain(|_, state| !matches!(state, State::Used { at, .. } if is_expired(*at, now)));
        }
    }

    /// How many keys are remembered or claimed.
    pub(crate) fn len(&self) -> usize {
        lock(&self.namespaces).values().map(|keys| lock(keys).len()).sum()
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }
}

/// A key that a request holds until its outcome is known. Gives it back on drop.
#[derive(Debug)]
pub(crate) struct KeyClaim {
    keys: Arc<Mutex<Keys>>,
    key: u128,
    body: u128,
    /// Goes away with the claim, which wakes whoever waits.
    #[allow(dead_code, reason = "held for its drop")]
    settled: watch::Sender<()>,
}

impl KeyClaim {
    /// The request is stored.
    pub(crate) fn settle(self, receipt: Receipt) {
        let used = State::Used { body: self.body, at: receipt.system_time, receipt: Arc::new(receipt) };
        lock(&self.keys).insert(self.key, used);
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = lock(&self.keys).entry(self.key)
            && matches!(entry.get(), State::Held(_))
        {
            entry.remove();
        }
    }
}
