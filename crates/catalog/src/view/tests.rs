//! Rows move from tail to events files to deltas while a reader reads: it sees every row exactly once.
//!
//! The reader's gaps are where the tail is asked: the test's tail runs random writer steps before and after its answer.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::Int64Type,
};
use async_trait::async_trait;
use tidemark_model::{
    Clock, Ids, Instant, Mark, Positions, Shard, clock::ManualClock, position::BEFORE_ALL, schema::SchemaChange,
};
use tidemark_storage::Store;

use super::*;
use crate::{
    NotClosed,
    catalog::{Config, Deps},
    manifest::{CollectionRows, EventsFile, Range},
};

const SHARD: Shard = Shard(3);
const HISTORIES: u128 = 300;
const READS: usize = 12;

/// The writers, and the tail they feed: even sequences are `flights`, odd ones another collection's.
#[derive(Debug)]
struct World {
    catalog: Catalog,
    ids: Ids,
    /// The last durable sequence.
    durable: AtomicI64,
    /// Up to here the tail has let go of its rows.
    released: AtomicI64,
    behind: AtomicUsize,
    /// What the tail had when it was asked last.
    answered: Mutex<Seq>,
}

fn nyc() -> Namespace {
    Namespace::parse("nyc").unwrap()
}

fn flights() -> CollectionName {
    CollectionName::parse("flights").unwrap()
}

fn is_flights(seq: Seq) -> bool {
    seq % 2 == 0
}

impl World {
    async fn new(seed: u128) -> Self {
        let clock = std::sync::Arc::new(ManualClock::at(Instant::from_micros(1)));
        let (ids, metrics) = (Arc::new(Ids::seeded(seed)), prometheus::Registry::new());
        let deps = Deps { store: Store::memory(), clock, ids, metrics };
        let catalog = Catalog::open(Config::default(), deps).await.unwrap();
        let (collection, directory) = (flights(), "flights".to_owned());
        let created =
            SchemaChange::Created { collection, directory, shard: SHARD, created_at: Instant::from_micros(1) };
        catalog.observe(&nyc(), Instant::from_micros(1), &[created]);
        let (durable, released) = (AtomicI64::new(BEFORE_ALL), AtomicI64::new(BEFORE_ALL));
        let (ids, behind, answered) = (Ids::seeded(seed + 1), AtomicUsize::new(0), Mutex::new(BEFORE_ALL));
        Self { catalog, ids, durable, released, behind, answered }
    }

    fn below(&self, limit: u64) -> i64 {
        i64::try_from(self.ids.random() % limit).unwrap()
    }

    async fn steps(&self) {
        for _step in 0..self.below(5) {
            match self.below(5) {
                0 | 1 => drop(self.durable.fetch_add(1 + self.below(4), Ordering::SeqCst)),
                2 => self.flush().await,
                3 => self.release(),
                _ => self.take_in().await,
            }
        }
    }

    /// Some of the tail becomes an events file.
    async fn flush(&self) {
        let on = self.catalog.events(&nyc());
        let first = on.mark.seq(SHARD) + 1;
        let waiting = self.durable.load(Ordering::SeqCst) + 1 - first;
        if waiting == 0 {
            return;
        }
        let last = first + self.below(waiting.unsigned_abs());
        let mut next = (*on).clone();
        next.mark.raise(SHARD, last);
        next.files.push(file(first, last));
        let _commit = self.catalog.commit_events(&nyc(), &on, next).await.unwrap();
    }

    /// The tail lets go of what is in published files.
    fn release(&self) {
        self.released.fetch_max(self.catalog.events_mark(&nyc()).seq(SHARD), Ordering::SeqCst);
    }

    /// Some of the events files becomes deltas.
    async fn take_in(&self) {
        let on = self.catalog.manifest(&nyc(), &flights());
        let waiting = self.catalog.events_mark(&nyc()).seq(SHARD) - on.mark;
        let mark = on.mark + self.below(waiting.unsigned_abs() + 1);
        let next = CollectionManifest { mark, ..(*on).clone() };
        let _commit = self.catalog.commit_collection((&nyc(), &flights()), &on, next).await.unwrap();
    }
}

fn file(first: Seq, last: Seq) -> EventsFile {
    let at = Range { min: Instant::from_micros(1), max: Instant::from_micros(1) };
    let ours: Vec<Seq> = (first..=last).filter(|seq| is_flights(*seq)).collect();
    let collections = ours.first().zip(ours.last()).map(|(min, max)| CollectionRows {
        collection: flights(),
        rows: ours.len() as u64,
        seq: Range { min: *min, max: *max },
        schema_id: 0,
    });
    EventsFile {
        path: format!("{first}-{last}"),
        planned_on: 0,
        rows: (last - first + 1).unsigned_abs(),
        bytes: 1,
        sha256: String::new(),
        positions: vec![Positions { shard: SHARD, first, last }],
        system_time: at,
        ts: at,
        collections: collections.into_iter().collect(),
    }
}

#[async_trait]
impl LiveTail for World {
    async fn tail(&self, _: &Namespace, table: &Table, after: &Mark) -> Result<Tail, Behind> {
        self.steps().await;
        let (after, durable) = (after.seq(SHARD), self.durable.load(Ordering::SeqCst));
        if after < self.released.load(Ordering::SeqCst) {
            self.behind.fetch_add(1, Ordering::SeqCst);
            return Err(Behind);
        }
        let wanted = (after + 1..=durable).filter(|seq| *table == Table::Events || is_flights(*seq));
        let seqs: Vec<Seq> = wanted.collect();
        let batch = |seqs: &[Seq]| {
            let column: ArrayRef = Arc::new(Int64Array::from(seqs.to_vec()));
            RecordBatch::try_from_iter([("_seq", column)]).unwrap()
        };
        *self.answered.lock().unwrap() = durable;
        self.steps().await;
        Ok(Tail { batches: seqs.chunks(3).map(batch).collect() })
    }

    fn reached(&self, _: &Namespace) -> Mark {
        Mark::of(SHARD, self.durable.load(Ordering::SeqCst))
    }

    fn closed(&self) -> Instant {
        self.now()
    }

    fn now(&self) -> Instant {
        ManualClock::at(Instant::from_micros(1)).now()
    }

    async fn close_instant(&self, _: Instant, _: std::time::Duration) -> Result<(), NotClosed> {
        Ok(())
    }
}

/// The sequences a reader gets out of a view, as a scan would.
fn seen(view: &View) -> Vec<Seq> {
    let mark = view.collection.as_ref().map_or(BEFORE_ALL, |(_known, manifest)| manifest.mark);
    let is_ours = |seq: &Seq| view.table == Table::Events || is_flights(*seq);
    let mut seqs: Vec<Seq> = (0..=mark).filter(is_ours).collect();
    for file in view.pending_files() {
        let Positions { first, last, .. } = file.positions[0];
        seqs.extend((first.max(mark + 1)..=last).filter(is_ours));
    }
    for batch in &view.tail.batches {
        seqs.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    seqs
}

#[tokio::test]
async fn a_reader_sees_every_row_exactly_once_at_any_step() {
    let (mut behind, mut cuts) = (0, 0);
    for seed in 0..HISTORIES {
        let world = World::new(seed).await;
        for _read in 0..READS {
            world.steps().await;
            for table in [Table::Events, Table::Collection(flights())] {
                let view = View::read(&world.catalog, &world, &nyc(), &table).await.unwrap();
                let durable = *world.answered.lock().unwrap();
                let expected: Vec<Seq> =
                    (0..=durable).filter(|seq| table == Table::Events || is_flights(*seq)).collect();
                let mut seqs = seen(&view);
                seqs.sort_unstable();
                // A mark that passed the durable rows of the answer brings rows that became durable since.
                let mark = view.collection.as_ref().map_or(BEFORE_ALL, |(_known, manifest)| manifest.mark);
                let fresh = (durable + 1..=mark).filter(|seq| is_flights(*seq));
                let expected: Vec<Seq> = expected.into_iter().chain(fresh).collect();
                assert_eq!(seqs, expected, "seed {seed}, table {table}");
                cuts += usize::from(mark > view.events.mark.seq(SHARD));
            }
        }
        behind += world.behind.load(Ordering::SeqCst);
    }
    assert!(behind > 100 && cuts > 50, "the interesting cases came {behind} and {cuts} times");
}

#[derive(Debug)]
struct AlwaysBehind;

#[async_trait]
impl LiveTail for AlwaysBehind {
    async fn tail(&self, _: &Namespace, _: &Table, _: &Mark) -> Result<Tail, Behind> {
        Err(Behind)
    }

    fn reached(&self, _: &Namespace) -> Mark {
        Mark::default()
    }

    fn closed(&self) -> Instant {
        Instant::MIN
    }

    fn now(&self) -> Instant {
        Instant::MIN
    }

    async fn close_instant(&self, _: Instant, _: std::time::Duration) -> Result<(), NotClosed> {
        Ok(())
    }
}

#[tokio::test]
async fn a_tail_that_is_always_ahead_is_given_up() {
    let world = World::new(1).await;
    let read = View::read(&world.catalog, &AlwaysBehind, &nyc(), &Table::Events).await;
    assert!(matches!(read, Err(Behind)));
}

#[tokio::test]
async fn quiet_collections_open_no_file() {
    let world = World::new(1).await;
    let on = world.catalog.events(&nyc());
    let mut next = (*on).clone();
    next.mark.raise(SHARD, 6);
    next.files = vec![file(0, 2), file(3, 3), file(4, 6)];
    let _commit = world.catalog.commit_events(&nyc(), &on, next).await.unwrap();
    let on = world.catalog.manifest(&nyc(), &flights());
    let next = CollectionManifest { mark: 3, ..(*on).clone() };
    let _commit = world.catalog.commit_collection((&nyc(), &flights()), &on, next).await.unwrap();
    world.durable.store(6, Ordering::SeqCst);
    for (table, expected) in [
        (Table::Events, vec!["0-2", "3-3", "4-6"]),
        (Table::Collection(flights()), vec!["4-6"]),
        (Table::Collection(CollectionName::parse("unknown").unwrap()), vec![]),
    ] {
        let events = world.catalog.events(&nyc());
        let view = View::cut(&world.catalog, (&nyc(), &table), events, Tail::default()).unwrap();
        assert_eq!(view.pending_files().map(|file| file.path.as_str()).collect::<Vec<_>>(), expected, "{table}");
    }
}
