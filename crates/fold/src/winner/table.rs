//! The hash table of the fold: one slot per key, with the order of its best change so far beside the hash.
//!
//! Open addressing with linear probing at half load. A slot holds everything but the bytes of the key, so that a row
//! costs one access to the table and one to the key it may equal. Both are random, hence the blocks: first the rows
//! that count are selected, then all hashes computed and all slots touched (independent loads overlap), then probed.

use std::{cmp::Ordering, hash::BuildHasher, hash::Hasher, hint::black_box};

use foldhash::fast::RandomState;

use super::Counts;
use crate::{order::Order, sort::Row};

/// Rows handled at once; their slots fit the first cache.
const BLOCK: usize = 256;

/// Slots of an empty table.
const SLOTS_MIN: usize = 1024;

/// The batch of a slot that holds nothing.
const EMPTY: u32 = u32::MAX;

/// The best change of one key so far, and where the bytes of the key lie in its batch.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    ts: i64,
    batch: u32,
    row: u32,
    begin: u32,
    end: u32,
}

const NOTHING: Slot = Slot { hash: 0, ts: 0, batch: EMPTY, row: 0, begin: 0, end: 0 };

/// The best change of every key seen.
#[derive(Debug)]
pub(super) struct Table<'a> {
    orders: &'a [Order<'a>],
    slots: Vec<Slot>,
    keys: usize,
    hashing: RandomState,
}

impl<'a> Table<'a> {
    /// An empty table over these batches.
    pub(super) fn new(orders: &'a [Order<'a>]) -> Self {
        Self { orders, slots: vec![NOTHING; SLOTS_MIN], keys: 0, hashing: RandomState::default() }
    }

    /// Takes in the rows of one batch that count.
    pub(super) fn fold(&mut self, batch: usize, counts: &Counts) {
        let order = &self.orders[batch];
        let mut counting = [0u32; BLOCK];
        for from in (0..order.len()).step_by(BLOCK) {
            let rows = select(order, from, counts, &mut counting);
            self.fold_block(batch, rows);
        }
    }

    fn fold_block(&mut self, batch: usize, rows: &[u32]) {
        let order = &self.orders[batch];
        let (bytes, offsets) = order.id_bytes();
        if (self.keys + rows.len()) * 2 > self.slots.len() {
            self.grow();
        }
        let mut hashes = [0u64; BLOCK];
        let mut touched = 0;
        for (hash, row) in hashes.iter_mut().zip(rows) {
            let (begin, end) = (offsets[*row as usize], offsets[*row as usize + 1]);
            let mut hasher = self.hashing.build_hasher();
            hasher.write(&bytes[begin as usize..end as usize]);
            *hash = hasher.finish();
            touched ^= self.slots[self.home(*hash)].hash;
        }
        black_box(touched);
        for (hash, row) in hashes.iter().zip(rows) {
            let at = *row as usize;
            let (begin, end) = (offsets[at] as u32, offsets[at + 1] as u32);
            self.offer(Slot { hash: *hash, ts: order.ts[at], batch: batch as u32, row: *row, begin, end });
        }
    }

    /// Puts a change into the slot of its key, if it is the first or a greater one.
    fn offer(&mut self, change: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(change.hash);
        loop {
            let best = self.slots[at];
            if best.batch == EMPTY {
                self.keys += 1;
                self.slots[at] = change;
                return;
            }
            if best.hash == change.hash && self.key(&best) == self.key(&change) {
                if self.compare(&change, &best) == Ordering::Greater {
                    self.slots[at] = change;
                }
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn compare(&self, a: &Slot, b: &Slot) -> Ordering {
        a.ts.cmp(&b.ts).then_with(|| {
            let (left, right) = (&self.orders[a.batch as usize], &self.orders[b.batch as usize]);
            left.compare(a.row as usize, right, b.row as usize)
        })
    }

    fn key(&self, slot: &Slot) -> &'a [u8] {
        &self.orders[slot.batch as usize].id_bytes().0[slot.begin as usize..slot.end as usize]
    }

    /// Where the search for a hash begins: its upper bits, so that growing keeps the order of slots.
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    fn grow(&mut self) {
        let larger = vec![NOTHING; self.slots.len() * 4];
        let mask = larger.len() - 1;
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.into_iter().filter(|slot| slot.batch != EMPTY) {
            let mut at = self.home(slot.hash);
            while self.slots[at].batch != EMPTY {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// The winning rows, in no order.
    pub(super) fn into_rows(self) -> Vec<Row> {
        let taken = self.slots.into_iter().filter(|slot| slot.batch != EMPTY);
        taken.map(|slot| Row { batch: slot.batch, row: slot.row }).collect()
    }
}

/// The rows of a block that count; without branches, since which ones do may be random.
fn select<'s>(order: &Order<'_>, from: usize, counts: &Counts, into: &'s mut [u32; BLOCK]) -> &'s [u32] {
    let to = (from + BLOCK).min(order.len());
    let system_time = counts.system_time.micros();
    let valid_time = counts.valid_time.map_or(i64::MAX, |at| at.micros());
    let rows = order.seq[from..to].iter().zip(&order.system_time[from..to]).zip(&order.ts[from..to]);
    let mut count = 0;
    for (row, ((seq, st), ts)) in (from as u32..).zip(rows) {
        into[count] = row;
        count += usize::from((*seq > counts.after) & (*st <= system_time) & (*ts <= valid_time));
    }
    &into[..count]
}
