//! Who wins: rows that count meet in hash tables.
//!
//! A few keys meet in one table that fits the cache. Once there are more, random accesses to a large table would wait
//! for memory with every row; so changes are first parted by the hash of their key, written one after another, and each
//! part meets in a table of its own that fits again. Parting goes a stretch of rows at a time to bound the memory.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::{
    Counts,
    table::{BLOCK, Contender, Table},
};
use crate::{order::Order, sort::Row};

/// Most parts, as bits of the hash; each is a stream that is written to.
const PART_BITS_MAX: u32 = 8;

/// What memory and caches hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Keys up to which one table fits the cache.
    pub(super) keys_together: usize,
    /// Rows to come from which on parting pays.
    pub(super) rows_parted_min: usize,
    /// Parted rows that wait at most before they meet.
    pub(super) stretch: usize,
}

/// The limits in use.
pub(super) const LIMITS: Limits = Limits { keys_together: 32 << 10, rows_parted_min: 128 << 10, stretch: 1 << 20 };

/// The winning rows among those that count, in no order.
pub(super) fn winning_rows(orders: &[Order<'_>], counts: &Counts, limits: Limits) -> Vec<Row> {
    let mut contest = Contest { orders, limits, hashing: RandomState::default(), together: Table::new(), parts: None };
    let mut to_come: usize = orders.iter().map(Order::len).sum();
    let mut counting = [0u32; BLOCK];
    for (batch, order) in orders.iter().enumerate() {
        for from in (0..order.len()).step_by(BLOCK) {
            if contest.should_part(to_come) {
                contest.part(to_come);
            }
            contest.take(batch, select(order, from, counts, &mut counting));
            to_come -= (order.len() - from).min(BLOCK);
        }
    }
    contest.finish()
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

struct Contest<'a> {
    orders: &'a [Order<'a>],
    limits: Limits,
    hashing: RandomState,
    together: Table,
    parts: Option<Parts>,
}

/// Tables by the upper bits of the hash, and what waits to meet in them.
struct Parts {
    bits: u32,
    tables: Vec<Table>,
    waiting: Vec<Waiting>,
    rows: usize,
}

#[derive(Default, Clone)]
struct Waiting {
    changes: Vec<Contender>,
    keys: Vec<u8>,
}

impl Contest<'_> {
    /// Takes rows of one batch, at most a block.
    fn take(&mut self, batch: usize, rows: &[u32]) {
        let order = &self.orders[batch];
        let (bytes, offsets) = order.id_bytes();
        let key = |row: u32| &bytes[offsets[row as usize] as usize..offsets[row as usize + 1] as usize];
        let mut hashes = [0u64; BLOCK];
        hashes.iter_mut().zip(rows).for_each(|(hash, row)| *hash = hash_of(&self.hashing, key(*row)));
        let change = |hash: u64, bits: u32, row: u32| Contender {
            tag: tag(hash, bits),
            length: key(row).len() as u32,
            ts: order.ts[row as usize],
            row: Row { batch: batch as u32, row },
        };
        let hashed = hashes.iter().zip(rows);
        match &mut self.parts {
            None => {
                self.together.reserve(rows.len());
                hashed.for_each(|(hash, row)| self.together.offer(change(*hash, 0, *row), key(*row), self.orders));
            }
            Some(parts) => {
                hashed.for_each(|(hash, row)| parts.push(*hash, change(*hash, parts.bits, *row), key(*row)));
                if parts.rows >= self.limits.stretch {
                    parts.meet(self.orders);
                }
            }
        }
    }

    fn should_part(&self, to_come: usize) -> bool {
        self.parts.is_none() && self.together.keys > self.limits.keys_together && to_come >= self.limits.rows_parted_min
    }

    /// Goes over to parts, with about as many keys each as fit together if all rows to come have different ones.
    fn part(&mut self, to_come: usize) {
        let bits = (to_come / self.limits.keys_together).next_power_of_two().trailing_zeros().clamp(1, PART_BITS_MAX);
        let count = 1usize << bits;
        let tables = std::iter::repeat_with(Table::new).take(count).collect();
        let mut parts = Parts { bits, tables, waiting: vec![Waiting::default(); count], rows: 0 };
        for (key, best) in self.together.iter() {
            let hash = hash_of(&self.hashing, key);
            parts.push(hash, Contender { tag: tag(hash, bits), ..*best }, key);
        }
        self.together = Table::new();
        self.parts = Some(parts);
    }

    fn finish(self) -> Vec<Row> {
        let rows = |table: &Table| table.iter().map(|(_, best)| best.row).collect::<Vec<_>>();
        let Some(mut parts) = self.parts else { return rows(&self.together) };
        parts.meet(self.orders);
        parts.tables.iter().flat_map(rows).collect()
    }
}

impl Parts {
    /// Lets a change wait in its part.
    fn push(&mut self, hash: u64, change: Contender, key: &[u8]) {
        let waiting = &mut self.waiting[(hash >> (64 - self.bits)) as usize];
        waiting.changes.push(change);
        waiting.keys.extend_from_slice(key);
        self.rows += 1;
    }

    /// Lets everything that waits meet.
    fn meet(&mut self, orders: &[Order<'_>]) {
        for (table, waiting) in self.tables.iter_mut().zip(&mut self.waiting) {
            let mut begin = 0;
            for block in waiting.changes.chunks(BLOCK) {
                table.reserve(block.len());
                std::hint::black_box(block.iter().fold(0, |touched, change| touched ^ table.touch(change.tag)));
                for change in block {
                    let end = begin + change.length as usize;
                    table.offer(*change, &waiting.keys[begin..end], orders);
                    begin = end;
                }
            }
            waiting.changes.clear();
            waiting.keys.clear();
        }
        self.rows = 0;
    }
}

fn hash_of(hashing: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = hashing.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The 32 bits of a hash behind those that chose the part.
const fn tag(hash: u64, bits: u32) -> u32 {
    ((hash << bits) >> 32) as u32
}
