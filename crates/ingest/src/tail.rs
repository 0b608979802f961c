//! The live tail of one namespace: durable appends that no published manifest covers, oldest first.
//!
//! Rows are kept per append for the flush, and in a [`stream`] per table for readers (sharing buffers), so that a reader
//! of a quiet collection does not pass over the rows of a busy one. A flush takes a prefix and drops it once it is
//! committed.

mod stream;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use arrow::array::RecordBatch;
use tidemark_catalog::{Behind, Tail};
use tidemark_model::{CollectionName, Instant, Mark, Positions, Table};
use tidemark_storage::log::KeyRecord;

use self::stream::Stream;
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

/// The tail of one namespace.
#[derive(Debug, Default)]
pub(crate) struct NamespaceTail {
    appends: VecDeque<Arc<Kept>>,
    events: Stream,
    collections: HashMap<CollectionName, Stream>,
    /// Up to where rows were dropped because a manifest covers them.
    dropped: Mark,
    /// Up to where rows were taken in.
    reached: Mark,
    bytes: usize,
    rows: usize,
}

impl NamespaceTail {
    /// A tail behind what a manifest covers.
    pub(crate) fn after(mark: &Mark) -> Self {
        Self { dropped: mark.clone(), reached: mark.clone(), ..Self::default() }
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
            match self.collections.get_mut(collection) {
                Some(stream) => stream.push(kept.system_time, vec![positions], rows),
                None => self.collections.entry(collection.clone()).or_default().push(
                    kept.system_time,
                    vec![positions],
                    rows,
                ),
            }
        }
        if kept.rows.num_rows() > 0 {
            self.events.push(kept.system_time, kept.positions.clone(), kept.rows.clone());
        }
        kept.positions.iter().for_each(|run| self.reached.raise(run.shard, run.last));
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
            Table::Events => self.events.read(after, &mut batches),
            Table::Collection(name) => {
                self.collections.get(name).into_iter().for_each(|stream| stream.read(after, &mut batches));
            }
        }
        Ok(Tail { batches })
    }

    /// Up to where everything is here or in a manifest.
    pub(crate) const fn reached(&self) -> &Mark {
        &self.reached
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
        self.events.drop_covered(system_time);
        self.collections.retain(|_, stream| {
            stream.drop_covered(system_time);
            !stream.is_empty()
        });
        self.dropped.raise_all(mark);
        self.reached.raise_all(mark);
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
