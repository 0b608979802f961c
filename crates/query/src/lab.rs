//! A small lake for tests: changes are appended, flushed, made deltas, folded — with the real catalog, files and
//! kernels — and an oracle of thirty lines says what any instant must show.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::{concat_batches, filter_record_batch, kernels::cmp},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use async_trait::async_trait;
use futures::TryStreamExt;
use tidemark_catalog::{
    Base, Behind, Catalog, Commit, LiveTail, NotClosed, Tail, catalog,
    manifest::{BaseFile, CollectionRows, DeltaFile, EventsFile, Range, Snapshot, SnapshotKind, Window},
};
use tidemark_fold::{
    columns::{self, doc, event},
    conform, derive, sort,
    winner::{Counts, winners},
};
use tidemark_model::{
    Clock, CollectionName, DocSchema, Ids, Instant, Mark, Namespace, Op, OrderKey, Positions, Principal, Shard, Table,
    clock::ManualClock,
    json,
    schema::{Kinds, Observed, SchemaChange},
};
use tidemark_storage::{
    Store,
    files::{self, Content, FileKind},
    paths,
};

use crate::{Answer, Config, Deps, Error, Query, Session, Statement};

const SHARD: Shard = Shard(3);
/// The first instant of every lab.
pub(crate) const START: i64 = 1_600_000_000_000_000;

/// One change as it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) op: Op,
    pub(crate) ts: i64,
    pub(crate) bookmark: Option<String>,
    pub(crate) doc: Option<String>,
    pub(crate) system_time: i64,
    pub(crate) seq: i64,
}

impl Change {
    pub(crate) fn of(id: &str, op: Op, ts: i64, doc: Option<&str>) -> Self {
        let doc = doc.map(str::to_owned);
        Self { id: id.to_owned(), op, ts, bookmark: None, doc, system_time: 0, seq: 0 }
    }

    fn order(&self) -> OrderKey<'_> {
        OrderKey {
            ts: Instant::from_micros(self.ts),
            bookmark: self.bookmark.as_deref(),
            system_time: Instant::from_micros(self.system_time),
            seq: self.seq,
        }
    }
}

/// What the owner of the lab knows that is in no file.
#[derive(Debug)]
struct Live {
    clock: Arc<ManualClock>,
    tail: Mutex<Vec<RecordBatch>>,
    closed: Mutex<i64>,
}

#[async_trait]
impl LiveTail for Live {
    async fn tail(&self, _: &Namespace, table: &Table, after: &Mark) -> Result<Tail, Behind> {
        let tail = self.tail.lock().unwrap().clone();
        let wanted = |batch: &RecordBatch| {
            let seqs = cmp::gt(batch.column_by_name(event::SEQ).unwrap(), &Int64Array::new_scalar(after.seq(SHARD)));
            let batch = filter_record_batch(batch, &seqs.unwrap()).unwrap();
            match table {
                Table::Events => batch,
                Table::Collection(name) => {
                    let of = batch.column_by_name(event::COLLECTION).unwrap();
                    filter_record_batch(&batch, &cmp::eq(of, &StringArray::new_scalar(name.as_str())).unwrap()).unwrap()
                }
            }
        };
        Ok(Tail { batches: tail.iter().map(wanted).filter(|batch| batch.num_rows() > 0).collect() })
    }

    fn reached(&self, _: &Namespace) -> Mark {
        let tail = self.tail.lock().unwrap();
        let seqs = tail
            .iter()
            .flat_map(|batch| batch.column_by_name(event::SEQ).unwrap().as_primitive::<Int64Type>().values().to_vec());
        seqs.max().map_or_else(Mark::default, |seq| Mark::of(SHARD, seq))
    }

    fn closed(&self) -> Instant {
        Instant::from_micros(*self.closed.lock().unwrap())
    }

    fn now(&self) -> Instant {
        self.clock.now().max(self.closed())
    }

    async fn close_instant(&self, at: Instant, _: Duration) -> Result<(), NotClosed> {
        let mut closed = self.closed.lock().unwrap();
        *closed = (*closed).max(at.micros());
        Ok(())
    }
}

/// The lake.
pub(crate) struct Lab {
    pub(crate) query: Query,
    pub(crate) changes: Vec<Change>,
    pub(crate) catalog: Catalog,
    clock: Arc<ManualClock>,
    live: Arc<Live>,
    ids: Arc<Ids>,
    schema: DocSchema,
}

impl Lab {
    pub(crate) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(START)));
        let ids = Arc::new(Ids::seeded(7));
        let metrics = prometheus::Registry::new();
        let deps =
            catalog::Deps { store: Store::memory(), clock: clock.clone(), ids: ids.clone(), metrics: metrics.clone() };
        let catalog = Catalog::open(catalog::Config::default(), deps).await.unwrap();
        let live = Arc::new(Live { clock: clock.clone(), tail: Mutex::default(), closed: Mutex::new(START) });
        let deps = Deps { catalog: catalog.clone(), live: live.clone(), clock: clock.clone(), metrics };
        let query = Query::open(config, deps).unwrap();
        Self { query, changes: Vec::new(), catalog, clock, live, ids, schema: DocSchema::default() }
    }

    pub(crate) fn namespace() -> Namespace {
        Namespace::parse("lab").unwrap()
    }

    pub(crate) fn collection() -> CollectionName {
        CollectionName::parse("c").unwrap()
    }

    /// Acknowledges changes as one append; they are in the tail then.
    pub(crate) fn append(&mut self, changes: Vec<Change>) -> i64 {
        let system_time = self.live.closed().micros().max(self.clock.now().micros()) + 1;
        let first = self.changes.last().map_or(0, |change| change.seq + 1);
        let mut news = Vec::new();
        if self.changes.is_empty() {
            let created_at = Instant::from_micros(system_time);
            news.push(SchemaChange::Created {
                collection: Self::collection(),
                directory: "c".to_owned(),
                shard: SHARD,
                created_at,
            });
        }
        let mut observed = Observed::default();
        let mut appended = Vec::new();
        for (nth, change) in changes.into_iter().enumerate() {
            if let Some(doc) = &change.doc {
                json::for_each_field(doc, |name, raw| observed.see(&name, Kinds::of(&json::Value::of(raw)))).unwrap();
            }
            appended.push(Change { system_time, seq: first + nth as i64, ..change });
        }
        if let Some(schema) = self.schema.evolved(&observed) {
            self.schema = schema.clone();
            news.push(SchemaChange::Evolved { collection: Self::collection(), schema });
        }
        self.catalog.observe(&Self::namespace(), Instant::from_micros(system_time), &news);
        self.live.tail.lock().unwrap().push(events(&appended));
        self.changes.extend(appended);
        *self.live.closed.lock().unwrap() = system_time;
        self.clock.set(Instant::from_micros(system_time + 3));
        system_time
    }

    /// Moves the tail into an events file.
    pub(crate) async fn flush(&mut self) {
        let batches = self.live.tail.lock().unwrap().clone();
        if batches.is_empty() {
            return;
        }
        let rows = concat_batches(&columns::events_schema(), &batches).unwrap();
        self.catalog.persist(&Self::namespace()).await.unwrap();
        let on = self.catalog.events(&Self::namespace());
        let last = *rows.column_by_name(event::SEQ).unwrap().as_primitive::<Int64Type>().values().last().unwrap();
        let first = rows.column_by_name(event::SEQ).unwrap().as_primitive::<Int64Type>().value(0);
        let system_time = range(&rows, event::SYSTEM_TIME);
        let path = paths::events_file(&Self::namespace(), system_time.min, self.ids.ulid(system_time.min));
        let written = self.write(FileKind::Events, path, vec![rows.clone()]).await;
        let mut next = on.as_ref().clone();
        next.mark.raise(SHARD, last);
        next.system_time = system_time.max;
        next.files.push(EventsFile {
            path: written.0,
            planned_on: on.head.version,
            rows: rows.num_rows() as u64,
            bytes: written.1,
            sha256: String::new(),
            positions: vec![Positions { shard: SHARD, first, last }],
            system_time,
            ts: range(&rows, event::TS),
            collections: vec![CollectionRows {
                collection: Self::collection(),
                rows: rows.num_rows() as u64,
                seq: Range { min: first, max: last },
                schema_id: self.schema.id,
            }],
        });
        assert!(matches!(
            self.catalog.commit_events(&Self::namespace(), &on, next).await.unwrap(),
            Commit::Committed(_)
        ));
        self.live.tail.lock().unwrap().clear();
    }

    async fn write(
        &self,
        kind: FileKind,
        path: tidemark_storage::ObjectPath,
        batches: Vec<RecordBatch>,
    ) -> (String, u64) {
        let content = Content { schema: batches[0].schema(), batches, metadata: Vec::new() };
        let written = files::write(self.catalog.store(), kind, path, content).await.unwrap();
        (written.path.to_string(), written.bytes)
    }

    fn derived(&self, from: i64, to: i64) -> RecordBatch {
        let changes: Vec<Change> =
            self.changes.iter().filter(|change| (from..=to).contains(&change.seq)).cloned().collect();
        derive::changes(&events(&changes), &self.schema).unwrap()
    }

    /// Makes a delta of what the events files hold after the mark.
    pub(crate) async fn delta(&mut self) {
        let (namespace, collection) = (Self::namespace(), Self::collection());
        let on = self.catalog.manifest(&namespace, &collection);
        let last = self.catalog.events_mark(&namespace).seq(SHARD);
        if last <= on.mark {
            return;
        }
        let rows = sort::changes(&[self.derived(on.mark + 1, last)], 1 << 20).unwrap().remove(0);
        let system_time = range(&rows, doc::SYSTEM_TIME);
        let number = on.deltas.len() as u64 + 1;
        let table = paths::table(&namespace, "c");
        let path = paths::delta_file(&table, number, system_time.min, self.ids.ulid(system_time.min));
        let (path, bytes) = self.write(FileKind::Delta, path, vec![rows.clone()]).await;
        let mut next = on.as_ref().clone();
        next.deltas.push(DeltaFile {
            number,
            path,
            planned_on: on.head.version,
            rows: rows.num_rows() as u64,
            bytes,
            sha256: String::new(),
            seq: Range { min: on.mark + 1, max: last },
            system_time,
            ts: range(&rows, doc::TS),
            id: ids(&rows),
            schema_id: self.schema.id,
        });
        (next.mark, next.system_time, next.schema) = (last, system_time.max, self.schema.clone());
        let commit = self.catalog.commit_collection((&namespace, &collection), &on, next).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
    }

    /// Folds everything in deltas into a base of two parts.
    pub(crate) async fn fold(&mut self) {
        let (namespace, collection) = (Self::namespace(), Self::collection());
        let on = self.catalog.manifest(&namespace, &collection);
        if on.mark < 0 || on.bases.last().is_some_and(|base| base.mark == on.mark) {
            return;
        }
        let folded = winners(&[self.derived(0, on.mark)], &Counts::ALL).unwrap();
        let deleted = cmp::eq(folded.column_by_name(doc::OP).unwrap(), &StringArray::new_scalar("delete")).unwrap();
        let lives = arrow::compute::not(&deleted).unwrap();
        let state =
            conform::to_schema(&filter_record_batch(&folded, &lives).unwrap(), &columns::state_schema(&self.schema))
                .unwrap();
        let dead = conform::to_schema(&filter_record_batch(&folded, &deleted).unwrap(), &columns::tombstones_schema())
            .unwrap();
        let (table, version) = (paths::table(&namespace, "c"), on.head.version + 1);
        let half = state.num_rows() / 2;
        let mut parts = Vec::new();
        for (nth, rows) in [state.slice(0, half), state.slice(half, state.num_rows() - half)].into_iter().enumerate() {
            let path = paths::state_file(&table, version, nth, self.ids.ulid(Instant::from_micros(START)));
            parts.extend(self.base_file(path, rows).await);
        }
        let path = paths::tombstones_file(&table, version, self.ids.ulid(Instant::from_micros(START)));
        let tombstones = self.base_file(path, dead).await.into_iter().collect();
        let greatest = self
            .changes
            .iter()
            .filter(|change| change.seq <= on.mark)
            .max_by_key(|c| (c.ts, c.bookmark.clone()))
            .unwrap();
        let mut next = on.as_ref().clone();
        next.bases.push(Base {
            planned_on: on.head.version,
            mark: on.mark,
            system_time: on.system_time,
            max_ts: Instant::from_micros(greatest.ts),
            max_bookmark: greatest.bookmark.clone(),
            rows: state.num_rows() as u64,
            changes: on.mark as u64 + 1,
            parts,
            tombstones,
            schema: self.schema.clone(),
            bound: None,
        });
        let commit = self.catalog.commit_collection((&namespace, &collection), &on, next).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
    }

    /// Keeps the newest base as a snapshot of its last instant.
    pub(crate) async fn snapshot(&mut self, name: &str) -> Instant {
        let (namespace, collection) = (Self::namespace(), Self::collection());
        let on = self.catalog.manifest(&namespace, &collection);
        let base = on.bases.last().unwrap().clone();
        let mut next = on.as_ref().clone();
        let (instant, taken_at) = (base.system_time, base.system_time);
        let (name, kind) = (name.to_owned(), SnapshotKind::Named);
        next.snapshots.push(Snapshot { name, kind, instant, taken_at, base, until: None });
        let commit = self.catalog.commit_collection((&namespace, &collection), &on, next).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
        instant
    }

    /// Drops what lies before the newest base, as retention does; from where on history is whole.
    pub(crate) async fn forget(&mut self) -> Instant {
        let (namespace, collection) = (Self::namespace(), Self::collection());
        let on = self.catalog.manifest(&namespace, &collection);
        let mut next = on.as_ref().clone();
        let horizon = next.bases.last().unwrap().clone();
        next.deltas.retain(|delta| horizon.leaves(delta));
        next.bases = vec![horizon.clone()];
        let (system_time, valid_time) = (horizon.system_time, horizon.max_ts);
        next.window = Some(Window { system_time, valid_time, mark: horizon.mark, bound: horizon.max_ts });
        let commit = self.catalog.commit_collection((&namespace, &collection), &on, next).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
        system_time
    }

    async fn base_file(&self, path: tidemark_storage::ObjectPath, rows: RecordBatch) -> Option<BaseFile> {
        if rows.num_rows() == 0 {
            return None;
        }
        let id = ids(&rows);
        let count = rows.num_rows() as u64;
        let bytes = small_groups(&rows);
        let size = bytes.len() as u64;
        self.catalog.store().put(&path, bytes.into()).await.unwrap();
        Some(BaseFile { path: path.to_string(), rows: count, bytes: size, sha256: String::new(), id })
    }

    /// The documents the collection must hold at the instants, by id.
    pub(crate) fn oracle(&self, at: Option<i64>, valid: Option<i64>) -> Vec<&Change> {
        let mut winners: BTreeMap<&str, &Change> = BTreeMap::new();
        let counts = |c: &&Change| at.is_none_or(|at| c.system_time <= at) && valid.is_none_or(|valid| c.ts <= valid);
        for change in self.changes.iter().filter(counts) {
            let winner = winners.entry(change.id.as_str()).or_insert(change);
            if change.order() > winner.order() {
                *winner = change;
            }
        }
        winners.into_values().filter(|change| change.op != Op::Delete).collect()
    }

    pub(crate) fn statement(sql: &str) -> Statement {
        let session = Session { namespace: Some(Self::namespace()), ..Session::default() };
        Statement { sql: sql.to_owned(), params: Vec::new(), principal: Principal::lake(), session, pin: None }
    }

    pub(crate) async fn ask(&self, sql: &str) -> Result<Answer, Error> {
        self.query.run(&Self::statement(sql)).await
    }

    /// The cells of an answer as text; `NULL` for null.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let answer = self.ask(sql).await?;
        let columns = Arc::clone(&answer.schema);
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        assert!(batches.iter().all(|batch| batch.schema() == columns), "batches have the columns told");
        let cells = |batch: &RecordBatch, row: usize| batch.columns().iter().map(|column| cell(column, row)).collect();
        Ok(batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| cells(batch, row))).collect())
    }
}

/// A cell as canonical text, so that types do not matter.
fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".to_owned();
    }
    match column.data_type() {
        DataType::Float64 => json::float_text(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).to_string()
        }
        _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
    }
}

fn range(rows: &RecordBatch, column: &str) -> Range<Instant> {
    let times = rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>();
    let of = |micros: Option<i64>| Instant::from_micros(micros.unwrap());
    Range { min: of(arrow::compute::min(times)), max: of(arrow::compute::max(times)) }
}

fn ids(rows: &RecordBatch) -> Range<String> {
    let ids = rows.column_by_name(doc::ID).unwrap().as_string::<i32>();
    Range { min: ids.value(0).to_owned(), max: ids.value(ids.len() - 1).to_owned() }
}

/// A file of many row groups and pages, so that pruning and selections have something to do.
fn small_groups(rows: &RecordBatch) -> Vec<u8> {
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(5))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .build();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}

/// Changes as rows of the events table.
fn events(changes: &[Change]) -> RecordBatch {
    fn text<'a>(of: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
        Arc::new(of.collect::<StringArray>())
    }
    let time = |of: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(of).with_timezone("UTC")) };
    let (types, names): (Vec<String>, Vec<String>) =
        changes.iter().map(|c| (format!("collection.{}", c.op), format!("e{}", c.seq))).unzip();
    let none = || text(changes.iter().map(|_| None));
    let columns: Vec<ArrayRef> = vec![
        text(names.iter().map(|name| Some(name.as_str()))),
        text(types.iter().map(|name| Some(name.as_str()))),
        time(changes.iter().map(|c| c.ts).collect()),
        none(),
        none(),
        none(),
        text(changes.iter().map(|c| c.doc.as_deref())),
        none(),
        text(changes.iter().map(|_| Some("c"))),
        text(changes.iter().map(|c| Some(c.id.as_str()))),
        text(changes.iter().map(|c| Some(c.op.as_str()))),
        none(),
        text(changes.iter().map(|c| c.bookmark.as_deref())),
        time(changes.iter().map(|c| c.system_time).collect()),
        Arc::new(Int64Array::from_iter_values(changes.iter().map(|_| i64::from(SHARD.0)))),
        Arc::new(Int64Array::from_iter_values(changes.iter().map(|c| c.seq))),
    ];
    RecordBatch::try_new(columns::events_schema(), columns).unwrap()
}
