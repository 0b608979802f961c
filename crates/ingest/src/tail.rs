//! The live tail of one namespace: durable appends that no published manifest covers, oldest first.
//!
//! Rows are kept per append, and once more (sharing the same buffers) per collection, so that a reader of a quiet
//! collection does not pass over the rows of a busy one. A flush takes a prefix and drops it once it is committed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use arrow::array::RecordBatch;
use tidemark_catalog::{Behind, Tail};
use tidemark_model::{CollectionName, Instant, Mark, Positions, Table};
use tidemark_storage::log::KeyRecord;

use crate::{
    batch::{Entries, Group},
    budget::Reservation,
    receipt::Receipt,
};

/// A durable append as the tail keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) system_time: Instant,
    /// Rows of `events_schema`.
    pub(crate) rows: RecordBatch,
    /// Their positions, in the order of the rows.
    pub(crate) positions: Vec<Positions>,
    /// Where they go, with the schema in force.
    pub(crate) groups: Vec<(Group, u32)>,
    /// Ids to remember.
    pub(crate) entries: Entries,
    /// The idempotency key, with the whole receipt.
    pub(crate) key: Option<(KeyRecord, Receipt)>,
    /// Its place among the bytes that are not flushed.
    pub(crate) place: Reservation,
}

/// Rows of one collection in one append.
#[derive(Debug)]
struct Slice {
    system_time: Instant,
    positions: Positions,
    rows: RecordBatch,
}

/// The tail of one namespace.
#[derive(Debug, Default)]
pub(crate) struct NamespaceTail {
    appends: VecDeque<Arc<Kept>>,
    collections: HashMap<CollectionName, VecDeque<Slice>>,
    /// Up to where rows were dropped because a manifest covers them.
    dropped: Mark,
    bytes: usize,
    rows: usize,
}

impl NamespaceTail {
    /// A tail behind what a manifest covers.
    pub(crate) fn after(mark: &Mark) -> Self {
        Self { dropped: mark.clone(), ..Self::default() }
    }

    /// Takes a durable append in; appends come in order of system time.
    pub(crate) fn push(&mut self, kept: Kept) {
        for (group, _) in &kept.groups {
            let Some(collection) = &group.collection else { continue };
            let Some(positions) = positions_of(&kept.positions, group) else { continue };
            let rows = if group.rows.len() == kept.rows.num_rows() {
                kept.rows.clone()
            } else {
                kept.rows.slice(group.rows.start, group.rows.len())
            };
            let slice = Slice { system_time: kept.system_time, positions, rows };
            match self.collections.get_mut(collection) {
                Some(slices) => slices.push_back(slice),
                None => drop(self.collections.insert(collection.clone(), VecDeque::from([slice]))),
            }
        }
        self.bytes += kept.place.bytes();
        self.rows += kept.rows.num_rows();
        self.appends.push_back(Arc::new(kept));
    }

    /// Rows of a table after a mark, in order of position per shard.
    pub(crate) fn read(&self, table: &Table, after: &Mark) -> Result<Tail, Behind> {
        if !after.reaches(&self.dropped) {
            return Err(Behind);
        }
        let mut batches = Vec::new();
        match table {
            Table::Events => {
                self.appends.iter().for_each(|kept| push_after(&mut batches, &kept.rows, &kept.positions, after));
            }
            Table::Collection(name) => {
                for slice in self.collections.get(name).into_iter().flatten() {
                    push_after(&mut batches, &slice.rows, std::slice::from_ref(&slice.positions), after);
                }
            }
        }
        Ok(Tail { batches })
    }

    /// The oldest appends, together at most `bytes_max` bytes but at least one.
    pub(crate) fn prefix(&self, bytes_max: usize) -> Vec<Arc<Kept>> {
        let mut bytes = 0;
        let fits = |kept: &&Arc<Kept>| {
            let first = bytes == 0;
            bytes += kept.place.bytes().max(1);
            first || bytes <= bytes_max
        };
        self.appends.iter().take_while(fits).map(Arc::clone).collect()
    }

    /// Drops what a committed manifest covers.
    pub(crate) fn drop_covered(&mut self, mark: &Mark, system_time: Instant) {
        while self.appends.front().is_some_and(|kept| kept.system_time <= system_time) {
            if let Some(kept) = self.appends.pop_front() {
                self.bytes -= kept.place.bytes();
                self.rows -= kept.rows.num_rows();
            }
        }
        self.collections.retain(|_, slices| {
            let covered = slices.partition_point(|slice| slice.system_time <= system_time);
            slices.drain(..covered);
            !slices.is_empty()
        });
        self.dropped.raise_all(mark);
    }

    /// Decoded bytes kept.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows kept.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// The newest append.
    pub(crate) fn last(&self) -> Option<Arc<Kept>> {
        self.appends.back().map(Arc::clone)
    }

    /// The system time of the newest append.
    pub(crate) fn newest(&self) -> Option<Instant> {
        self.appends.back().map(|kept| kept.system_time)
    }

    /// The system time of the oldest append.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.appends.front().map(|kept| kept.system_time)
    }
}

/// The positions of a group among those of its append.
pub(crate) fn positions_of(positions: &[Positions], group: &Group) -> Option<Positions> {
    let mut row = 0;
    for run in positions {
        let count = usize::try_from(run.count()).unwrap_or(0);
        if (row..row + count).contains(&group.rows.start) {
            let first = run.first + i64::try_from(group.rows.start - row).unwrap_or(0);
            let last = first + i64::try_from(group.rows.len()).unwrap_or(0) - 1;
            return Some(Positions { shard: run.shard, first, last });
        }
        row += count;
    }
    None
}

/// Adds the rows after the mark: the whole batch where it can, slices of it where it must.
fn push_after(out: &mut Vec<RecordBatch>, rows: &RecordBatch, positions: &[Positions], after: &Mark) {
    if rows.num_rows() == 0 {
        return;
    }
    if positions.iter().all(|run| !after.covers(run.shard, run.first)) {
        out.push(rows.clone());
        return;
    }
    let mut row = 0;
    for run in positions {
        let count = usize::try_from(run.count()).unwrap_or(0);
        let covered = usize::try_from(after.seq(run.shard) - run.first + 1).unwrap_or(0).min(count);
        if covered < count {
            out.push(rows.slice(row + covered, count - covered));
        }
        row += count;
    }
}
