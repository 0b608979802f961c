//! A hash table with one slot per key: the order of its best change so far, and where its bytes lie.
//!
//! Open addressing with linear probing at no more than half load. The bytes of all keys lie together beside the slots,
//! so that a small table is small in memory as well: looking up touches a slot and a key, both in the cache.

use std::cmp::Ordering;

use crate::{order::Order, sort::Row};

/// Rows looked up at once; their slots are touched first, so that waiting for memory overlaps.
pub(super) const BLOCK: usize = 256;

/// Slots of an empty table.
const SLOTS_MIN: usize = 1024;

/// The batch of a slot that holds nothing.
const EMPTY: u32 = u32::MAX;

/// A change that may win, without its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contender {
    /// 32 bits of the hash of its key.
    pub(super) tag: u32,
    /// Bytes of its key.
    pub(super) length: u32,
    /// Source time, µs.
    pub(super) ts: i64,
    /// Where it stands.
    pub(super) row: Row,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    best: Contender,
    /// Where the key begins.
    key: u64,
}

const NOTHING: Slot = Slot { best: Contender { tag: 0, length: 0, ts: 0, row: Row { batch: EMPTY, row: 0 } }, key: 0 };

/// The best change of every key offered.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// How many keys it holds.
    pub(super) keys: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { slots: vec![NOTHING; SLOTS_MIN], bytes: Vec::new(), keys: 0 }
    }

    /// Makes room for so many more keys.
    pub(super) fn reserve(&mut self, more: usize) {
        while (self.keys + more) * 2 > self.slots.len() {
            let larger = vec![NOTHING; self.slots.len() * 4];
            for slot in std::mem::replace(&mut self.slots, larger) {
                if slot.best.row.batch != EMPTY {
                    let free = self.probe(slot.best.tag, |slot| slot.best.row.batch == EMPTY);
                    self.slots[free] = slot;
                }
            }
        }
    }

    /// Reads where a search begins, so that the memory is near when it does.
    pub(super) fn touch(&self, tag: u32) -> u32 {
        self.slots[self.home(tag)].best.tag
    }

    /// Puts a change into the slot of its key, if it is the first or greater in order. Room was reserved.
    pub(super) fn offer(&mut self, change: Contender, key: &[u8], orders: &[Order<'_>]) {
        let at = self.probe(change.tag, |slot| {
            slot.best.row.batch == EMPTY || (slot.best.tag == change.tag && self.key(slot) == key)
        });
        let slot = &mut self.slots[at];
        if slot.best.row.batch == EMPTY {
            *slot = Slot { best: change, key: self.bytes.len() as u64 };
            self.bytes.extend_from_slice(key);
            self.keys += 1;
        } else if change.ts > slot.best.ts
            || (change.ts == slot.best.ts && is_greater(change.row, slot.best.row, orders))
        {
            slot.best = change;
        }
    }

    /// Every key and its best change, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Contender)> {
        let taken = self.slots.iter().filter(|slot| slot.best.row.batch != EMPTY);
        taken.map(|slot| (self.key(slot), &slot.best))
    }

    /// The first slot from the home of a tag on that is wanted; the table always has an empty one.
    fn probe(&self, tag: u32, is_wanted: impl Fn(&Slot) -> bool) -> usize {
        let mut at = self.home(tag);
        while !is_wanted(&self.slots[at]) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// By the upper bits, so that slots keep their order when the table grows.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) << 32) >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    fn key(&self, slot: &Slot) -> &[u8] {
        let begin = slot.key as usize;
        &self.bytes[begin..begin + slot.best.length as usize]
    }
}

/// Whether a change is greater in order than another of its key with the same source time.
#[cold]
fn is_greater(change: Row, best: Row, orders: &[Order<'_>]) -> bool {
    let (left, right) = (&orders[change.batch as usize], &orders[best.batch as usize]);
    left.compare(change.row as usize, right, best.row as usize) == Ordering::Greater
}
