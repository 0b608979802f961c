//! Event ids: 24 bytes each, so that tens of millions fit in memory.
//!
//! An entry is 96 bits of the id's hash, 64 bits of the content's hash, and 32 bits that are either the second at which
//! it was stored or the number of the claim that holds it. A namespace has its entries in [`TABLES`] maps, so that one
//! grows at a time and the sweep that drops old ones stays short.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidemark_model::{Instant, Namespace};
use tokio::sync::watch;

use super::{Outcome, is_expired, lock};
use crate::batch::IdEntry;

/// Maps of one namespace.
const TABLES: usize = 64;
/// Seconds are counted from 2020-01-01, so that they fit 31 bits until 2088.
const EPOCH_S: i64 = 1_577_836_800;
/// Set where the number is a claim's.
const CLAIMED: u32 = 1 << 31;

/// What is known of an id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it is claimed now.
    New,
    /// It is stored, with the same content.
    Duplicate,
    /// It is stored, with other content.
    Conflict,
}

/// What became of an attempt to claim ids.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// The new ones are claimed; one verdict per id.
    Taken(IdClaim, Vec<Verdict>),
    /// Another request holds one of them: wait, then try again.
    Wait(Outcome),
    /// The index is full.
    Full,
}

/// Event ids of all namespaces.
#[derive(Debug)]
pub(crate) struct IdIndex {
    namespaces: Mutex<HashMap<Namespace, Arc<Mutex<Ids>>>>,
    count: Arc<AtomicUsize>,
    max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IdKey([u32; 3]);

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

/// The key is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    content: [u32; 2],
    at: u32,
}

type Map = HashMap<IdKey, Slot, BuildHasherDefault<AsItIs>>;

#[derive(Debug)]
struct Ids {
    tables: Vec<Map>,
    claims: HashMap<u32, Outcome>,
    next_claim: u32,
    next_sweep: usize,
    /// Expired entries that claims took over and the count still holds.
    replaced: usize,
}

fn halves(wide: u64) -> [u32; 2] {
    [u32::try_from(wide >> 32).unwrap_or(0), u32::try_from(wide & u64::from(u32::MAX)).unwrap_or(0)]
}

fn key(id: u128) -> (usize, IdKey) {
    let [a, b] = halves(u64::try_from(id >> 64).unwrap_or(0));
    let [c, d] = halves(u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0));
    (d as usize % TABLES, IdKey([a, b, c]))
}

fn second(at: Instant) -> u32 {
    u32::try_from((at.micros().div_euclid(1_000_000) - EPOCH_S).clamp(0, i64::from(CLAIMED - 1))).unwrap_or(0)
}

fn instant(second: u32) -> Instant {
    Instant::from_micros((i64::from(second) + EPOCH_S) * 1_000_000)
}

impl IdIndex {
    /// An index of at most `max` ids.
    pub(crate) fn new(max: usize) -> Self {
        Self { namespaces: Mutex::default(), count: Arc::default(), max }
    }

    fn of(&self, namespace: &Namespace) -> Arc<Mutex<Ids>> {
        let mut namespaces = lock(&self.namespaces);
        if let Some(ids) = namespaces.get(namespace) {
            return Arc::clone(ids);
        }
        let ids = Ids {
            tables: vec![Map::default(); TABLES],
            claims: HashMap::new(),
            next_claim: 0,
            next_sweep: 0,
            replaced: 0,
        };
        let ids = Arc::new(Mutex::new(ids));
        namespaces.insert(namespace.clone(), Arc::clone(&ids));
        ids
    }

    /// Claims all ids that are new, or none.
    pub(crate) fn claim(&self, namespace: &Namespace, entries: &[(u32, IdEntry)], now: Instant) -> Claimed {
        if !entries.is_empty() && self.count.load(Ordering::Relaxed) + entries.len() > self.max {
            return Claimed::Full;
        }
        let ids = self.of(namespace);
        let (_settled, outcome) = watch::channel(());
        let mut claim =
            IdClaim { ids: Arc::clone(&ids), count: Arc::clone(&self.count), number: 0, held: Vec::new(), _settled };
        if entries.is_empty() {
            return Claimed::Taken(claim, Vec::new());
        }
        let mut locked = lock(&ids);
        let taken = locked.claim(entries, now, (&mut claim, outcome));
        self.count.fetch_add(claim.held.len(), Ordering::Relaxed);
        self.count.fetch_sub(std::mem::take(&mut locked.replaced), Ordering::Relaxed);
        drop(locked);
        match taken {
            Ok(verdicts) => Claimed::Taken(claim, verdicts),
            Err(wait) => Claimed::Wait(wait),
        }
    }

    /// Remembers ids that were stored by an earlier process.
    pub(crate) fn remember(&self, namespace: &Namespace, entries: impl IntoIterator<Item = IdEntry>, at: Instant) {
        let ids = self.of(namespace);
        let mut ids = lock(&ids);
        let mut fresh = 0;
        for entry in entries {
            let (table, key) = key(entry.id);
            let slot = Slot { content: halves(entry.content), at: second(at) };
            fresh += usize::from(ids.tables[table].insert(key, slot).is_none());
        }
        self.count.fetch_add(fresh, Ordering::Relaxed);
    }

    /// Drops what lies outside the window from one table of every namespace; called often, it comes around.
    pub(crate) fn sweep(&self, now: Instant) {
        let all: Vec<_> = lock(&self.namespaces).values().map(Arc::clone).collect();
        for ids in all {
            let mut ids = lock(&ids);
            let at = ids.next_sweep;
            ids.next_sweep = (at + 1) % TABLES;
            let table = &mut ids.tables[at];
            let before = table.len();
            table.retain(|_, slot| slot.at & CLAIMED != 0 || !is_expired(instant(slot.at), now));
            let dropped = before - table.len();
            if table.len() < table.capacity() / 4 {
                table.shrink_to_fit();
            }
            self.count.fetch_sub(dropped, Ordering::Relaxed);
        }
        // Whoever holds one may add to it.
        lock(&self.namespaces).retain(|_, ids| Arc::strong_count(ids) > 1 || !lock(ids).is_empty());
    }

    /// Forgets what is stored of a namespace.
    pub(crate) fn forget(&self, namespace: &Namespace) {
        let ids = self.of(namespace);
        let mut ids = lock(&ids);
        let mut forgotten = 0;
        for table in &mut ids.tables {
            let before = table.len();
            table.retain(|_, slot| slot.at & CLAIMED != 0);
            table.shrink_to_fit();
            forgotten += before - table.len();
        }
        self.count.fetch_sub(forgotten, Ordering::Relaxed);
    }

    /// How many ids are remembered or claimed.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }
}

impl Ids {
    fn is_empty(&self) -> bool {
        self.tables.iter().all(HashMap::is_empty)
    }

    fn claim(
        &mut self,
        entries: &[(u32, IdEntry)],
        now: Instant,
        (claim, outcome): (&mut IdClaim, Outcome),
    ) -> Result<Vec<Verdict>, Outcome> {
        claim.number = self.free_number();
        claim.held.reserve(entries.len());
        let mut verdicts = Vec::with_capacity(entries.len());
        for (_, entry) in entries {
            match self.look(entry, now, claim.number) {
                Ok(verdict) => {
                    if verdict == Verdict::New {
                        claim.held.push(entry.id);
                    }
                    verdicts.push(verdict);
                }
                Err(other) => {
                    self.give_back(claim);
                    return Err(other);
                }
            }
        }
        self.claims.insert(claim.number, outcome);
        Ok(verdicts)
    }

    fn free_number(&mut self) -> u32 {
        loop {
            self.next_claim = self.next_claim.wrapping_add(1) | CLAIMED;
            if !self.claims.contains_key(&self.next_claim) {
                return self.next_claim;
            }
        }
    }

    fn look(&mut self, entry: &IdEntry, now: Instant, claim: u32) -> Result<Verdict, Outcome> {
        let (table, key) = key(entry.id);
        let content = halves(entry.content);
        let Some(slot) = self.tables[table].get_mut(&key) else {
            self.tables[table].insert(key, Slot { content, at: claim });
            return Ok(Verdict::New);
        };
        if slot.at & CLAIMED != 0 && slot.at != claim {
            if let Some(outcome) = self.claims.get(&slot.at) {
                return Err(outcome.clone());
            }
        } else if slot.at == claim || !is_expired(instant(slot.at), now) {
            return Ok(if slot.content == content { Verdict::Duplicate } else { Verdict::Conflict });
        }
        *slot = Slot { content, at: claim };
        self.replaced += 1;
        Ok(Verdict::New)
    }

    fn give_back(&mut self, claim: &mut IdClaim) {
        for id in claim.held.drain(..) {
            let (table, key) = key(id);
            self.tables[table].remove(&key);
        }
        self.claims.remove(&claim.number);
    }
}

/// Ids that a request holds until its outcome is known. Gives them back on drop.
#[derive(Debug)]
pub(crate) struct IdClaim {
    ids: Arc<Mutex<Ids>>,
    count: Arc<AtomicUsize>,
    number: u32,
    held: Vec<u128>,
    /// Goes away with the claim, which wakes whoever waits.
    _settled: watch::Sender<()>,
}

impl IdClaim {
    /// The ids are stored.
    pub(crate) fn settle(mut self, at: Instant) {
        let ids = Arc::clone(&self.ids);
        let mut ids = lock(&ids);
        for id in self.held.drain(..) {
            let (table, key) = key(id);
            if let Some(slot) = ids.tables[table].get_mut(&key) {
                slot.at = second(at);
            }
        }
        ids.claims.remove(&self.number);
    }
}

impl Drop for IdClaim {
    fn drop(&mut self) {
        if self.held.is_empty() {
            // Settled, or never anything held; the number may still be registered.
            lock(&self.ids).claims.remove(&self.number);
            return;
        }
        self.count.fetch_sub(self.held.len(), Ordering::Relaxed);
        let ids = Arc::clone(&self.ids);
        lock(&ids).give_back(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64, content: u64) -> (u32, IdEntry) {
        (0, IdEntry { id: xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes()), content })
    }

    fn namespace() -> Namespace {
        Namespace::parse("shop").expect("a name")
    }

    fn taken(claimed: Claimed) -> (IdClaim, Vec<Verdict>) {
        match claimed {
            Claimed::Taken(claim, verdicts) => (claim, verdicts),
            other => panic!("not taken: {other:?}"),
        }
    }

    #[test]
    fn a_name_of_which_nothing_is_kept_leaves_nothing() {
        let (index, at) = (IdIndex::new(100), Instant::from_micros(1_800_000_000_000_000));
        let (claim, _) = taken(index.claim(&namespace(), &[entry(1, 1)], at));
        index.sweep(at);
        assert_eq!(lock(&index.namespaces).len(), 1, "somebody may add to it");
        drop(claim);
        index.sweep(at);
        assert!(lock(&index.namespaces).is_empty());
    }

    #[test]
    fn claims_come_back_or_are_kept() {
        let (index, at) = (IdIndex::new(100), Instant::from_micros(1_800_000_000_000_000));
        let (claim, verdicts) = taken(index.claim(&namespace(), &[entry(1, 1), entry(1, 1), entry(1, 2)], at));
        assert_eq!(verdicts, [Verdict::New, Verdict::Duplicate, Verdict::Conflict]);
        assert!(matches!(index.claim(&namespace(), &[entry(2, 1), entry(1, 1)], at), Claimed::Wait(_)));
        drop(claim);
        assert_eq!(index.len(), 0);
        let (claim, verdicts) = taken(index.claim(&namespace(), &[entry(1, 2), entry(2, 1)], at));
        assert_eq!(verdicts, [Verdict::New, Verdict::New]);
        claim.settle(at);
        let day = at.plus_micros(super::super::WINDOW_US);
        let (_, verdicts) = taken(index.claim(&namespace(), &[entry(1, 2), entry(2, 7)], day));
        assert_eq!(verdicts, [Verdict::Duplicate, Verdict::Conflict]);
        let (claim, verdicts) = taken(index.claim(&namespace(), &[entry(1, 3)], day.plus_micros(2_000_000)));
        assert_eq!((verdicts, index.len()), (vec![Verdict::New], 2), "outside the window it is new");
        claim.settle(day);
        (0..TABLES).for_each(|_| index.sweep(day.plus_micros(2_000_000)));
        assert_eq!(index.len(), 1);
        assert!(lock(&index.of(&namespace())).claims.is_empty());
    }

    #[test]
    fn who_brings_no_id_needs_no_room() {
        let (index, at) = (IdIndex::new(1), Instant::from_micros(1_800_000_000_000_000));
        index.remember(&namespace(), (0..3).map(|n| entry(n, n).1), at);
        assert!(matches!(index.claim(&namespace(), &[entry(7, 7)], at), Claimed::Full));
        assert!(matches!(index.claim(&namespace(), &[], at), Claimed::Taken(_, _)));
    }

    #[test]
    #[ignore = "a measurement, not a test"]
    #[allow(clippy::print_stdout, reason = "a measurement for people")]
    fn bytes_of_ten_million_ids() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").expect("reads");
            pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
        };
        let (index, before) = (IdIndex::new(usize::MAX), resident());
        let entries = (0..10_000_000).map(|n| entry(n, n).1);
        index.remember(&namespace(), entries, Instant::from_micros(1_800_000_000_000_000));
        println!("{} bytes an id", (resident() - before) / index.len());
    }
}
