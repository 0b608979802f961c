//! The log through its door, on a real disk and on a simulated one.

mod damage;
mod door;
mod objects;
mod power;
mod sim;
mod takeovers;
mod trouble;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use tidemark_fold::columns::log_schema;
use tidemark_model::{Ids, Instant, Namespace, Shard, clock::ManualClock};

use super::{Append, Durable, EncodedRows, Log, LogBatch, LogDeps, LogError, LogOptions, Recovery, disk::Disk};

/// A namespace.
pub(super) fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

/// Rows of the log's schema.
pub(super) fn rows(count: usize, seed: &str) -> RecordBatch {
    let text = |what: &str| {
        Arc::new(StringArray::from_iter_values((0..count).map(|n| format!("{what}{seed}{n}")))) as ArrayRef
    };
    let times = || {
        let times = (0..count).map(|n| (n % 2 == 0).then_some(i64::try_from(n).expect("small")));
        Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC")) as ArrayRef
    };
    let schema = log_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "ts" => times(),
        name => text(name),
    });
    RecordBatch::try_new(log_schema(), columns.collect()).expect("rows")
}

/// A request.
fn batch(name: &str, counts: &[(u16, u32)], seed: &str) -> LogBatch {
    let rows = rows(counts.iter().map(|(_shard, count)| *count as usize).sum(), seed);
    let counts = counts.iter().map(|(shard, count)| (Shard(*shard), *count)).collect();
    LogBatch {
        namespace: namespace(name),
        counts,
        encoded: EncodedRows::encode(&rows).expect("encodes"),
        rows,
        key: None,
    }
}

/// Remembers what it is told, in order.
#[derive(Debug, Default)]
struct Listener(Mutex<Vec<Arc<Append>>>);

impl Listener {
    fn times(&self) -> Vec<Instant> {
        self.0.lock().expect("no panic").iter().map(|append| append.assigned.system_time).collect()
    }
}

impl Durable for Listener {
    fn durable(&self, appends: &[Arc<Append>]) {
        self.0.lock().expect("no panic").extend(appends.iter().cloned());
    }
}

/// What a log is given.
#[derive(Debug, Clone)]
struct Bench {
    clock: Arc<ManualClock>,
    sink: Arc<dyn Durable>,
}

const NOON: Instant = Instant::from_micros(1_700_000_000_000_000);

impl Bench {
    fn new() -> Self {
        Self { clock: Arc::new(ManualClock::at(NOON)), sink: Arc::new(Listener::default()) }
    }

    fn deps(&self) -> LogDeps {
        LogDeps {
            clock: self.clock.clone(),
            ids: Arc::new(Ids::seeded(1)),
            sink: Arc::clone(&self.sink),
            metrics: prometheus::Registry::new(),
        }
    }

    /// Starts a log where a disk stands.
    fn start(&self, options: LogOptions, disk: &(impl Disk + Clone + 'static)) -> Result<Log, LogError> {
        let recovery = Recovery::open_on(options, Arc::new(disk.clone()), None)?;
        recovery.start(BTreeMap::new(), Instant::MIN, self.deps())
    }
}

fn small() -> LogOptions {
    LogOptions { segment_bytes: 8000, free_space_min_percent: 0, ..LogOptions::new("sim".into(), "lake".into(), 1) }
}

/// Everything a disk holds.
fn found(options: LogOptions, disk: &(impl Disk + Clone + 'static)) -> Result<Vec<Append>, LogError> {
    let mut recovery = Recovery::open_on(options, Arc::new(disk.clone()), None)?;
    std::iter::from_fn(|| recovery.next_append().transpose()).collect()
}

/// Appends one request without catalog changes.
async fn append(log: &Log, batch: LogBatch) -> Result<Arc<Append>, LogError> {
    log.append(batch, |_assigned| Vec::new()).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}
