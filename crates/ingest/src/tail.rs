//! The live tail of one namespace: durable appends that no published manifest covers, oldest first.
//!
//! Rows are kept in a [`stream`] of all of them, from which a flush takes a prefix that it drops once it is committed, and
//! in one per collection, so that a reader of a quiet collection does not pass over the rows of a busy one. What else is
//! known of an append is [`Kept`].

mod stream;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use arrow::array::RecordBatch;
use tidemark_catalog::{Behind, Tail};
use tidemark_model::{CollectionName, Instant, Mark, Positions, Table};
use tidemark_storage::log::KeyRecord;

use self::stream::{BATCH_BYTES, Stream};
use crate::{
    batch::{Entries, Group},
    budget::{Budget, Reservation},
    receipt::Receipt,
};

/// A durable append as the tail keeps it, beside its rows.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) system_time: Instant,
    /// How many rows it has.
    pub(crate) count: usize,
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

/// What a flush takes of a tail.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// In order.
    pub(crate) appends: Vec<Arc<Kept>>,
    /// Their rows, of `events_schema`, in the same order.
    pub(crate) rows: Vec<RecordBatch>,
}

impl Prefix {
    /// Whether there are as many rows as the appends have: a file of any others is never written.
    pub(crate) fn is_whole(&self) -> bool {
        let rows: usize = self.rows.iter().map(RecordBatch::num_rows).sum();
        rows == self.appends.iter().map(|kept| kept.count).sum::<usize>()
    }
}

/// The tail of one namespace.
#[derive(Debug)]
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
    /// Batches of all streams, and their place among the bytes that are not flushed. Those of a small append are counted
    /// in both of its streams, which share them until one is put together with others.
    batches: (usize, Reservation),
}

impl NamespaceTail {
    /// A tail behind what a manifest covers, which takes its place among `unflushed` bytes.
    pub(crate) fn after(mark: &Mark, unflushed: &Budget) -> Self {
        Self {
            appends: VecDeque::new(),
            events: Stream::default(),
            collections: HashMap::new(),
            dropped: mark.clone(),
            reached: mark.clone(),
            bytes: 0,
            rows: 0,
            batches: (0, unflushed.take(0)),
        }
    }

    /// Takes a durable append in, with its rows of `events_schema`; appends come in order of system time.
    pub(crate) fn push(&mut self, kept: Kept, rows: &RecordBatch) {
        let mut more = 0;
        for (group, _) in &kept.groups {
            let Some(collection) = &group.collection else { continue };
            let Some(positions) = positions_of(&kept.positions, group) else { continue };
            let rows = if group.rows.len() == kept.count {
                rows.clone()
            } else {
                rows.slice(group.rows.start, group.rows.len())
            };
            if !self.collections.contains_key(collection) {
                self.collections.insert(collection.clone(), Stream::default());
            }
            if let Some(stream) = self.collections.get_mut(collection) {
                more += pushed(stream, kept.system_time, vec![positions], rows);
            }
        }
        if kept.count > 0 {
            more += pushed(&mut self.events, kept.system_time, kept.positions.clone(), rows.clone());
        }
        self.hold(self.batches.0.saturating_add_signed(more));
        kept.positions.iter().for_each(|run| self.reached.raise(run.shard, run.last));
        self.bytes += kept.place.bytes();
        self.rows += kept.count;
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
    pub(crate) fn prefix(&self, bytes_max: usize) -> Prefix {
        let mut bytes = 0;
        let fits = |kept: &&Arc<Kept>| {
            let first = bytes == 0;
            bytes += kept.place.bytes().max(1);
            first || bytes <= bytes_max
        };
        let appends: Vec<_> = self.appends.iter().take_while(fits).map(Arc::clone).collect();
        let (mut rows, mut left) = (Vec::new(), appends.iter().map(|kept| kept.count).sum());
        self.events.read(&self.dropped, &mut rows);
        rows.retain_mut(|batch| {
            let count = batch.num_rows().min(left);
            left -= count;
            *batch = batch.slice(0, count);
            count > 0
        });
        Prefix { appends, rows }
    }

    /// Drops what a committed manifest covers.
    pub(crate) fn drop_covered(&mut self, mark: &Mark, system_time: Instant) {
        while self.appends.front().is_some_and(|kept| kept.system_time <= system_time) {
            if let Some(kept) = self.appends.pop_front() {
                self.bytes -= kept.place.bytes();
                self.rows -= kept.count;
            }
        }
        self.events.drop_covered(system_time);
        self.collections.retain(|_, stream| {
            stream.drop_covered(system_time);
            !stream.is_empty()
        });
        let streams = self.collections.values().chain([&self.events]);
        self.hold(streams.map(Stream::batches).sum());
        self.dropped.raise_all(mark);
        self.reached.raise_all(mark);
    }

    /// Takes or gives back the place of so many batches.
    fn hold(&mut self, batches: usize) {
        let (count, place) = &mut self.batches;
        *count = batches;
        place.resize(batches * BATCH_BYTES);
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

/// Rows go into a stream: by how many batches it grows, or shrinks.
fn pushed(stream: &mut Stream, newest: Instant, positions: Vec<Positions>, rows: RecordBatch) -> isize {
    let before = stream.batches();
    stream.push(newest, positions, rows);
    stream.batches().cast_signed() - before.cast_signed()
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

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, Int64Array, new_null_array},
        datatypes::{Field, Int64Type, Schema},
    };
    use tidemark_fold::columns::{event, events_schema};
    use tidemark_model::Shard;

    use super::*;

    const SHARD: Shard = Shard(1);

    /// Rows of which only the sequence is of interest.
    fn rows(first: i64, count: i64) -> RecordBatch {
        let fields: Vec<Field> =
            events_schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let (schema, length) = (Schema::new(fields), usize::try_from(count).expect("small"));
        let seqs = Int64Array::from_iter_values(first..first + count);
        let column = |field: &Arc<Field>| match field.name().as_str() {
            event::SEQ => Arc::new(seqs.clone()) as ArrayRef,
            _ => new_null_array(field.data_type(), length),
        };
        let columns = schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::new(schema), columns).expect("rows")
    }

    /// A tail of appends with so many rows each; the system time of one is its first sequence.
    fn filled(unflushed: &Budget, counts: impl IntoIterator<Item = i64>) -> NamespaceTail {
        let (mut tail, mut next) = (NamespaceTail::after(&Mark::default(), unflushed), 0);
        for count in counts {
            let run = Positions { shard: SHARD, first: next, last: next + count - 1 };
            let kept = Kept {
                system_time: Instant::from_micros(next),
                count: usize::try_from(count).expect("small"),
                positions: if count == 0 { vec![] } else { vec![run] },
                groups: Vec::new(),
                entries: Vec::new().into(),
                key: None,
                place: unflushed.take(100),
            };
            tail.push(kept, &rows(next, count));
            next += count.max(1);
        }
        tail
    }

    fn seqs(prefix: &Prefix) -> Vec<i64> {
        let of = |batch: &RecordBatch| batch[event::SEQ].as_primitive::<Int64Type>().values().to_vec();
        prefix.rows.iter().flat_map(of).collect()
    }

    #[test]
    fn a_prefix_has_the_rows_of_its_appends_wherever_batches_end() {
        let unflushed = Budget::new(1 << 20);
        let mut tail = filled(&unflushed, (0..300).map(|at| if at % 50 == 49 { 600 } else { 1 }));
        let mut seen = 0;
        for appends_max in [1, 30, 70, 3, 1000] {
            let prefix = tail.prefix(appends_max * 100);
            let last = prefix.appends.last().expect("there is more");
            let end = last.positions[0].last;
            assert!(prefix.is_whole());
            assert_eq!(seqs(&prefix), (seen..=end).collect::<Vec<_>>(), "the next {appends_max}");
            tail.drop_covered(&Mark::of(SHARD, end), last.system_time);
            seen = end + 1;
        }
        let empty = tail.prefix(1000);
        assert!(empty.appends.is_empty() && empty.rows.is_empty() && tail.rows() == 0);
        drop(empty);
        assert_eq!(unflushed.used(), 0, "batches gave their place back");
    }

    #[test]
    fn appends_without_rows_stand_in_a_prefix_too() {
        let unflushed = Budget::new(1 << 20);
        let tail = filled(&unflushed, [0, 2, 0]);
        let mut prefix = tail.prefix(1000);
        assert_eq!((prefix.appends.len(), seqs(&prefix)), (3, vec![1, 2]));
        assert_eq!(tail.prefix(100).rows.len(), 0);
        assert!(prefix.is_whole());
        prefix.rows.clear();
        assert!(!prefix.is_whole());
    }
}
