//! A lake in memory with a namespace whose changes come from the test, as ingest would bring them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array},
    compute::concat_batches,
};
use tidemark_catalog::{
    Behind, Catalog, CollectionManifest, Commit, EventsManifest, LiveTail, NotClosed, Tail, catalog,
    manifest::{Base, BaseFile, CollectionRows, EventsFile, Range},
};
use tidemark_fold::{
    columns::{doc, event, events_schema, state_schema, tombstones_schema},
    conform::to_schema,
    derive,
};
use tidemark_model::{
    Clock as _, CollectionName, DocSchema, Ids, Instant, Mark, Namespace, OrderKey, Positions, Shard, Table,
    clock::ManualClock,
    json::{Value, for_each_field},
    schema::{Kinds, Observed, SchemaChange},
};
use tidemark_storage::{
    ObjectPath, Store,
    files::{self, Content, FileKind, Wanted},
    paths,
};

use crate::{Cdc, Config, Deps, point::Points};

/// The collections: two share a shard.
const COLLECTIONS: [(&str, u16); 3] = [("a", 3), ("b", 3), ("c", 5)];

pub(super) fn namespace() -> Namespace {
    Namespace::parse("nyc").expect("a name")
}

pub(super) fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).expect("a name")
}

/// One change as a person would write it down.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    collection: &'static str,
    shard: u16,
    id: String,
    op: &'static str,
    ts: i64,
    bookmark: Option<String>,
    document: Option<String>,
    system_time: i64,
    seq: i64,
}

impl Change {
    fn key(&self) -> OrderKey<'_> {
        OrderKey {
            ts: Instant::from_micros(self.ts),
            bookmark: self.bookmark.as_deref(),
            system_time: Instant::from_micros(self.system_time),
            seq: self.seq,
        }
    }
}

/// A tail without rows: what was not flushed is not acknowledged here.
#[derive(Debug)]
struct Idle {
    catalog: Catalog,
    clock: Arc<ManualClock>,
}

#[async_trait::async_trait]
impl LiveTail for Idle {
    async fn tail(&self, _: &Namespace, _: &Table, _: &Mark) -> Result<Tail, Behind> {
        Ok(Tail::default())
    }

    fn reached(&self, namespace: &Namespace) -> Mark {
        self.catalog.events_mark(namespace)
    }

    fn closed(&self) -> Instant {
        self.now()
    }

    fn now(&self) -> Instant {
        self.clock.now().max(self.catalog.frontier().1)
    }

    async fn close_instant(&self, _: Instant, _: std::time::Duration) -> Result<(), NotClosed> {
        Ok(())
    }
}

/// Which kinds of cases occurred.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) crashes: usize,
    bases: usize,
    tombstones: usize,
    thinned: usize,
    shared_parts: usize,
    several_parts: usize,
    widened: usize,
    late: usize,
}

impl Seen {
    pub(super) fn assert_all(&self) {
        let Self { crashes, bases, tombstones, thinned, shared_parts, several_parts, widened, late } = self;
        let all = [crashes, bases, tombstones, thinned, shared_parts, several_parts, widened, late];
        assert!(all.iter().all(|count| **count > 10), "a kind of case is missing: {self:?}");
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) catalog: Catalog,
    pub(super) clock: Arc<ManualClock>,
    store: Store,
    ids: Arc<Ids>,
    changes: Vec<Change>,
    /// How many of the changes are in events files.
    flushed: usize,
    observed: BTreeMap<&'static str, (Observed, DocSchema)>,
}

impl World {
    pub(super) async fn open(store: Store, seed: u128) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(1)));
        let ids = Arc::new(Ids::seeded(seed + 1_000_000));
        let catalog = open_catalog(&store, &clock, &ids).await;
        let (changes, observed) = (Vec::new(), BTreeMap::new());
        Self { catalog, clock, store, ids, changes, flushed: 0, observed }
    }

    /// Another process takes over; what was not flushed is in the log and observed again.
    pub(super) async fn restart(&mut self) {
        self.catalog = open_catalog(&self.store, &self.clock, &self.ids).await;
        for (collection, (_, schema)) in &self.observed {
            self.catalog.observe(
                &namespace(),
                Instant::from_micros(1),
                &[created(collection), evolved(collection, schema)],
            );
        }
    }

    pub(super) fn cdc(&self, config: Config) -> Cdc {
        let (catalog, clock, ids) = (self.catalog.clone(), self.clock.clone(), Arc::clone(&self.ids));
        let live = Arc::new(Idle { catalog: catalog.clone(), clock: clock.clone() });
        Cdc::new(
            config,
            &Deps { catalog, live, clock, ids, metrics: prometheus::Registry::new(), points: Points::default() },
        )
        .expect("opens")
    }

    /// One append: changes of one collection with one system time.
    pub(super) fn change(&mut self, collection: &str, rows: &[(&str, &'static str, i64, Option<&str>)]) {
        let (collection, shard) = *COLLECTIONS.iter().find(|known| known.0 == collection).expect("known");
        let system_time = self.changes.last().map_or(1, |last| last.system_time + 1);
        for (id, op, ts, document) in rows {
            let seq = self.changes.iter().filter(|change| change.shard == shard).count();
            let seq = i64::try_from(seq).expect("small");
            let (id, document) = ((*id).to_owned(), document.map(str::to_owned));
            let bookmark = (seq % 3 != 0).then(|| format!("{:02}", seq % 7));
            self.changes.push(Change { collection, shard, id, op, ts: *ts, bookmark, document, system_time, seq });
        }
        self.observe(collection, rows.iter().filter_map(|row| row.3));
    }

    fn observe<'d>(&mut self, collection: &'static str, documents: impl Iterator<Item = &'d str>) {
        let (observed, schema) = self.observed.entry(collection).or_default();
        for document in documents {
            for_each_field(document, |name, raw| observed.see(&name, Kinds::of(&Value::of(raw)))).expect("an object");
        }
        let mut news = vec![created(collection)];
        if let Some(next) = schema.evolved(observed) {
            *schema = next;
            news.push(evolved(collection, schema));
        }
        let now = self.changes.last().map_or(1, |last| last.system_time);
        self.catalog.observe(&namespace(), Instant::from_micros(now), &news);
    }

    /// A random append.
    pub(super) fn append(&mut self, random: &Ids) {
        let number = |end: u64| i64::try_from(random.random() % end).expect("small");
        let (collection, _) = COLLECTIONS[usize::try_from(number(3)).expect("small")];
        let now = self.changes.last().map_or(1, |last| last.system_time + 1);
        let mut rows = Vec::new();
        for _row in 0..=number(12) {
            let ts = if number(3) == 0 { number(now.unsigned_abs() + 1) } else { now };
            let value = match number(if now > 12 { 6 } else { 2 }) {
                0..=2 => number(100).to_string(),
                3 => "1.5".to_owned(),
                4 => "\"x\"".to_owned(),
                _ => "null".to_owned(),
            };
            let field = if number(20) == 0 { format!("f{}", number(3)) } else { "n".to_owned() };
            let delete = number(4) == 0;
            let document = (!delete || number(3) == 0).then(|| format!("{{\"{field}\":{value}}}"));
            rows.push((format!("id{:03}", number(60)), if delete { "delete" } else { "update" }, ts, document));
        }
        let rows: Vec<_> = rows.iter().map(|row| (row.0.as_str(), row.1, row.2, row.3.as_deref())).collect();
        self.change(collection, &rows);
    }

    /// Puts what was appended into one events file, as ingest does.
    pub(super) async fn flush(&mut self) {
        let mut rows: Vec<Change> = self.changes[self.flushed..].to_vec();
        if rows.is_empty() {
            return;
        }
        self.flushed = self.changes.len();
        rows.sort_by_key(|row| (row.collection, row.op, row.ts));
        let path = paths::events_file(&namespace(), Instant::from_micros(1), self.ids.ulid(Instant::from_micros(1)));
        let content = Content { schema: events_schema(), batches: vec![events(&rows)], metadata: Vec::new() };
        let written = files::write(&self.store, FileKind::Events, path, content).await.expect("writes");
        let on = self.catalog.events(&namespace());
        let mut next = EventsManifest::clone(&on);
        self.changes.iter().for_each(|change| next.mark.raise(Shard(change.shard), change.seq));
        next.system_time = ends(&rows, |row| Instant::from_micros(row.system_time)).max;
        next.files.push(EventsFile {
            path: written.path.to_string(),
            planned_on: on.head.version,
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256,
            positions: positions(&rows),
            system_time: ends(&rows, |row| Instant::from_micros(row.system_time)),
            ts: ends(&rows, |row| Instant::from_micros(row.ts)),
            collections: contained(&rows),
        });
        self.catalog.persist(&namespace()).await.expect("persists");
        let commit = self.catalog.commit_events(&namespace(), &on, next).await.expect("commits");
        assert!(matches!(commit, Commit::Committed(_)));
    }

    /// Everything flushed is in deltas and in the newest base.
    pub(super) fn check_settled(&self) {
        for (collection, _) in COLLECTIONS {
            let own = self.changes.iter().filter(|change| change.collection == collection);
            let last = own.map(|change| change.seq).max();
            let manifest = self.catalog.manifest(&namespace(), &name(collection));
            let base = manifest.bases.last().map(|base| base.mark);
            assert!(last.is_none_or(|last| manifest.mark >= last) && base == last, "{collection}: {base:?} {last:?}");
        }
    }

    /// Compares every collection with the literal fold.
    pub(super) async fn check(&self, seen: &mut Seen) -> Result<(), String> {
        for (collection, shard) in COLLECTIONS {
            let manifest = self.catalog.manifest(&namespace(), &name(collection));
            let end = self.catalog.events_mark(&namespace()).seq(Shard(shard));
            let all: Vec<&Change> = self.changes.iter().filter(|change| change.collection == collection).collect();
            ensure(manifest.mark <= end, || format!("{collection}: mark {} above {end}", manifest.mark))?;
            self.check_deltas(&manifest, &all).await.map_err(|wrong| format!("{collection}: {wrong}"))?;
            for base in &manifest.bases {
                let checked = self.check_base(base, &all, seen).await;
                checked.map_err(|wrong| format!("{collection} at {}: {wrong}", base.mark))?;
            }
            note(&manifest, seen);
        }
        Ok(())
    }

    async fn check_deltas(&self, manifest: &CollectionManifest, all: &[&Change]) -> Result<(), String> {
        let mut found: Vec<i64> = Vec::new();
        for (number, delta) in (1..).zip(&manifest.deltas) {
            let seqs: Vec<i64> = self.read(&delta.path).await.iter().flat_map(seqs).collect();
            let ends = Range { min: *seqs.iter().min().expect("rows"), max: *seqs.iter().max().expect("rows") };
            let follows = ends.min > found.iter().copied().max().unwrap_or(-1);
            let told = delta.number == number && delta.rows == seqs.len() as u64 && delta.seq == ends;
            ensure(told && follows, || format!("{delta:?}"))?;
            found.extend(seqs);
        }
        found.sort_unstable();
        let expected: Vec<i64> = all.iter().map(|change| change.seq).filter(|seq| *seq <= manifest.mark).collect();
        ensure(found == expected, || format!("deltas hold {found:?} up to {}", manifest.mark))
    }

    async fn check_base(&self, base: &Base, all: &[&Change], seen: &mut Seen) -> Result<(), String> {
        let folded: Vec<&Change> = all.iter().copied().filter(|change| change.seq <= base.mark).collect();
        let (dead, live) = fold(&folded);
        let state = state_schema(&base.schema);
        let rows = derive::changes(&events(&live), &base.schema).and_then(|rows| to_schema(&rows, &state));
        let found = concat_batches(&state, &self.parts(&base.parts).await?).expect("fits");
        ensure(found == rows.expect("derives"), || format!("rows differ: {found:?}"))?;
        let rows =
            derive::changes(&events(&dead), &base.schema).and_then(|rows| to_schema(&rows, &tombstones_schema()));
        let found = concat_batches(&tombstones_schema(), &self.parts(&base.tombstones).await?).expect("fits");
        ensure(found == rows.expect("derives"), || format!("tombstones differ: {found:?}"))?;
        let greatest = folded.iter().map(|change| (change.ts, change.bookmark.clone())).max().expect("changes");
        let system_time = folded.iter().map(|change| change.system_time).max().expect("changes");
        ensure((base.max_ts.micros(), base.max_bookmark.clone()) == greatest, || format!("greatest is {greatest:?}"))?;
        let numbers = (base.system_time.micros(), base.rows, base.changes);
        ensure(numbers == (system_time, live.len() as u64, folded.len() as u64), || format!("{numbers:?}"))?;
        seen.bases += 1;
        seen.tombstones += usize::from(!dead.is_empty());
        seen.several_parts += usize::from(base.parts.len() > 1);
        seen.late += folded.windows(2).filter(|pair| pair[1].ts < pair[0].ts).count();
        Ok(())
    }

    /// The rows of files whose ids must ascend without overlap, as their entries say.
    async fn parts(&self, files: &[BaseFile]) -> Result<Vec<RecordBatch>, String> {
        let mut found: Vec<RecordBatch> = Vec::new();
        for pair in files.windows(2) {
            ensure(pair[0].id.max < pair[1].id.min, || format!("{pair:?}"))?;
        }
        for file in files {
            let batches = self.read(&file.path).await;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            ensure(rows as u64 == file.rows && rows > 0, || format!("{file:?}"))?;
            found.extend(batches);
        }
        Ok(found)
    }

    async fn read(&self, path: &str) -> Vec<RecordBatch> {
        files::read(&self.store, &ObjectPath::from(path), &Wanted::default()).await.expect("reads")
    }
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// The fold, literally: deleted and live documents by id, each with its winner.
fn fold(changes: &[&Change]) -> (Vec<Change>, Vec<Change>) {
    let mut best: BTreeMap<&str, &Change> = BTreeMap::new();
    for change in changes {
        let greatest = best.entry(&change.id).or_insert(change);
        *greatest = if change.key() > greatest.key() { change } else { greatest };
    }
    best.into_values().cloned().partition(|change| change.op == "delete")
}

fn note(manifest: &CollectionManifest, seen: &mut Seen) {
    for pair in manifest.bases.windows(2) {
        seen.thinned += usize::from(pair[1].planned_on > pair[0].planned_on + 2);
        seen.shared_parts += usize::from(pair[1].parts.iter().any(|part| pair[0].parts.contains(part)));
        seen.widened += usize::from(pair[0].schema.fields != pair[1].schema.fields);
    }
}

async fn open_catalog(store: &Store, clock: &Arc<ManualClock>, ids: &Arc<Ids>) -> Catalog {
    let metrics = prometheus::Registry::new();
    let deps = catalog::Deps { store: store.clone(), clock: clock.clone(), ids: Arc::clone(ids), metrics };
    Catalog::open(catalog::Config::default(), deps).await.expect("opens")
}

fn created(collection: &str) -> SchemaChange {
    let (_, shard) = *COLLECTIONS.iter().find(|known| known.0 == collection).expect("known");
    let (created_at, directory) = (Instant::from_micros(1), collection.to_owned());
    SchemaChange::Created { collection: name(collection), directory, shard: Shard(shard), created_at }
}

fn evolved(collection: &str, schema: &DocSchema) -> SchemaChange {
    SchemaChange::Evolved { collection: name(collection), schema: schema.clone() }
}

fn ends<T: Ord + Copy>(rows: &[Change], of: impl Fn(&Change) -> T) -> Range<T> {
    Range { min: rows.iter().map(&of).min().expect("rows"), max: rows.iter().map(&of).max().expect("rows") }
}

fn positions(rows: &[Change]) -> Vec<Positions> {
    let of = |shard: u16| rows.iter().filter(|row| row.shard == shard).cloned().collect::<Vec<_>>();
    let filled = [3, 5].map(|shard| (shard, of(shard))).into_iter().filter(|(_, rows)| !rows.is_empty());
    let run = |(shard, rows): (u16, Vec<Change>)| {
        let Range { min, max } = ends(&rows, |row| row.seq);
        Positions { shard: Shard(shard), first: min, last: max }
    };
    filled.map(run).collect()
}

fn contained(rows: &[Change]) -> Vec<CollectionRows> {
    let of = |collection: &str| rows.iter().filter(|row| row.collection == collection).cloned().collect::<Vec<_>>();
    let filled = COLLECTIONS.map(|(collection, _)| (collection, of(collection))).into_iter();
    let entry = |(collection, rows): (&str, Vec<Change>)| CollectionRows {
        collection: name(collection),
        rows: rows.len() as u64,
        seq: ends(&rows, |row| row.seq),
        schema_id: 0,
    };
    filled.filter(|(_, rows)| !rows.is_empty()).map(entry).collect()
}

/// The rows as events.
fn events(rows: &[Change]) -> RecordBatch {
    let schema = events_schema();
    let text =
        |of: &dyn Fn(&Change) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let time = |of: &dyn Fn(&Change) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(of)).with_timezone("UTC"))
    };
    let int = |of: &dyn Fn(&Change) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        event::ID => text(&|row| Some(format!("{}-{}", row.shard, row.seq))),
        event::TYPE => text(&|row| Some(format!("{}.{}", row.collection, row.op))),
        event::COLLECTION => text(&|row| Some(row.collection.to_owned())),
        event::DOCUMENT_ID => text(&|row| Some(row.id.clone())),
        event::OP => text(&|row| Some(row.op.to_owned())),
        event::BOOKMARK => text(&|row| row.bookmark.clone()),
        event::DATA => text(&|row| row.document.clone()),
        event::TS => time(&|row| row.ts),
        event::SYSTEM_TIME => time(&|row| row.system_time),
        event::SHARD => int(&|row| i64::from(row.shard)),
        event::SEQ => int(&|row| row.seq),
        _ => new_null_array(field.data_type(), rows.len()),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch")
}

fn seqs(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name(doc::SEQ).expect("a column");
    column.as_any().downcast_ref::<Int64Array>().expect("integers").values().to_vec()
}
