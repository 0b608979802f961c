//! A lake in memory, a log in a temporary directory, a clock that stands still.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::{AsArray, RecordBatch};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tidemark_catalog::{Catalog, LiveTail, View};
use tidemark_ingest::{Config, Deps, Ingest, Tasks, point::Points};
use tidemark_model::{Clock, CollectionName, Ids, Instant, Namespace, Principal, Table, clock::ManualClock};
use tidemark_storage::{
    Store,
    files::{self, Wanted},
    log::LogOptions,
};
use tower::ServiceExt;

/// 2026-01-01.
pub(crate) const START_US: i64 = 1_767_225_600_000_000;

#[derive(Debug)]
pub(crate) struct Bed {
    directory: TempDir,
    generation: u32,
    log_name: &'static str,
    store: Store,
    config: Config,
    pub clock: Arc<ManualClock>,
    pub catalog: Catalog,
    pub ingest: Ingest,
    pub tasks: Tasks,
}

/// A lake without a process.
#[derive(Debug)]
pub(crate) struct Stopped {
    directory: TempDir,
    generation: u32,
    /// Begins the name of the log's directory.
    log_name: &'static str,
    store: Store,
    config: Config,
    clock: Arc<ManualClock>,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// In order: everything is in files.
    Drained,
    /// At once: what the next process finds is the log as it lies on the disk.
    Killed,
}

pub(crate) struct Reply {
    pub status: StatusCode,
    pub json: Value,
    pub retry_after: Option<String>,
}

pub(crate) fn ns(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

pub(crate) fn collection(name: &str) -> Table {
    Table::Collection(CollectionName::parse(name).expect("a name"))
}

/// Settings under which only what a test asks for is flushed.
pub(crate) fn quiet() -> Config {
    Config { flush_age_s: 100_000_000, ..Config::default() }
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(quiet()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::on(Store::memory(), config).await
    }

    pub(crate) async fn on(store: Store, config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(START_US)));
        let directory = tempfile::tempdir().expect("a directory");
        Stopped { directory, generation: 0, log_name: "", store, config, clock }.start().await.expect("opens")
    }

    /// The next process on the same lake.
    pub(crate) async fn restart(self, end: End) -> Self {
        self.stop(end).await.start().await.expect("opens")
    }

    /// Ends the process; the next one finds a copy of its log.
    pub(crate) async fn stop(self, end: End) -> Stopped {
        let Self { directory, generation, log_name, store, config, clock, tasks, .. } = self;
        if end == End::Drained {
            tasks.drain().await.expect("drains");
        }
        let mut stopped = Stopped { directory, generation, log_name, store, config, clock };
        let from = stopped.log();
        stopped.generation += 1;
        copy(&from, &stopped.log());
        stopped
    }

    /// Sends a request; one that names no principal comes from somebody who may everything.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Reply {
        if request.extensions().get::<Principal>().is_none() {
            request.extensions_mut().insert(Principal::lake());
        }
        let response = tidemark_ingest::http::router(self.ingest.clone()).oneshot(request).await.expect("answers");
        let status = response.status();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Reply { status, json, retry_after }
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub(crate) async fn events(&self, body: &str) -> Reply {
        self.post("/v1/shop/events", body.to_owned(), &[]).await
    }

    pub(crate) async fn changes(&self, body: &str) -> Reply {
        let ndjson = [("content-type", "application/x-ndjson")];
        self.post("/v1/shop/orders/changes", body.to_owned(), &ndjson).await
    }

    /// Every row of a table: files first, then the tail, as a view reads them.
    pub(crate) async fn rows(&self, table: &Table) -> Vec<RecordBatch> {
        let live: &dyn LiveTail = &self.ingest;
        let view = View::read(&self.catalog, live, &ns("shop"), table).await.expect("a view");
        let equal = match table {
            Table::Events => None,
            Table::Collection(name) => Some(("collection".to_owned(), name.to_string())),
        };
        let wanted = Wanted { equal, ..Wanted::default() };
        let mut rows = Vec::new();
        for file in view.pending_files() {
            let path = file.path.as_str().into();
            rows.extend(files::read(&self.store, &path, &wanted).await.expect("reads"));
        }
        rows.extend(view.tail.batches);
        rows
    }

    /// One text column of a table, sorted.
    pub(crate) async fn texts(&self, table: &Table, column: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for batch in self.rows(table).await {
            let column = batch.column_by_name(column).expect("a column").as_string::<i32>().clone();
            texts.extend(column.iter().map(|text| text.unwrap_or("NULL").to_owned()));
        }
        texts.sort_unstable();
        texts
    }

    pub(crate) async fn count(&self, table: &Table) -> usize {
        self.rows(table).await.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Stopped {
    /// The clock that the next process looks at.
    pub(crate) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Where the next process has its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join(format!("{}{}", self.log_name, self.generation))
    }

    /// The same lake, with another log.
    pub(crate) fn with_log(self, log_name: &'static str) -> Self {
        Self { log_name, ..self }
    }

    /// The next process; gives the lake back where it does not start.
    pub(crate) async fn start(self) -> Result<Bed, Box<(Self, tidemark_ingest::Error)>> {
        let ids = Arc::new(Ids::seeded(u128::from(self.generation) + 1));
        let (clock, metrics) = (Arc::clone(&self.clock), prometheus::Registry::new());
        let deps = tidemark_catalog::catalog::Deps {
            store: self.store.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::clone(&ids),
            metrics: metrics.clone(),
        };
        let catalog = Catalog::open(tidemark_catalog::catalog::Config::default(), deps).await.expect("a catalog");
        let log = LogOptions {
            segment_bytes: 1 << 20,
            free_space_min_percent: 0,
            ..LogOptions::new(self.log(), catalog.cluster().to_owned(), catalog.epoch())
        };
        let deps = Deps {
            catalog: catalog.clone(),
            clock: Arc::clone(&clock) as _,
            ids,
            log: log.into(),
            metrics,
            points: Points::default(),
        };
        match Ingest::open(self.config.clone(), deps).await {
            Ok((ingest, tasks)) => {
                let Self { directory, generation, log_name, store, config, clock } = self;
                Ok(Bed { directory, generation, log_name, store, config, clock, catalog, ingest, tasks })
            }
            Err(error) => Err(Box::new((self, error))),
        }
    }
}

/// Copies the files of a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("lists") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copies");
    }
}

impl Reply {
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self.json
    }

    /// Status and code of a problem document.
    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.json["code"].as_str().unwrap_or_default())
    }
}
