//! What survives a crash, and how a process starts over it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{ObjectStore, memory::InMemory};
use tidemark_catalog::{Catalog, LiveTail, OwnLogs, Publisher, Tenure, catalog, publish};
use tidemark_cdc::{Cdc, point::Points};
use tidemark_ingest::Ingest;
use tidemark_model::{Clock, Ids, Instant, clock::ManualClock};
use tidemark_query::Query;
use tidemark_server::administration::Administration;
use tidemark_storage::{
    Store,
    log::{LogError, LogOptions, LogPlace, ObjectLogOptions},
};
use tokio::runtime::Builder;

use super::{Lake, Rooms};
use crate::halting::{Halt, HaltingStore, Last};

/// Bytes of a log segment: small, so that histories fill several.
const SEGMENT_BYTES: u64 = 1 << 18;
/// How often the lock of a killed process is looked at before it counts as leaked.
const LOCK_TRIES_MAX: usize = 500;

/// What survives a crash.
#[derive(Debug)]
pub struct World {
    objects: Arc<dyn ObjectStore>,
    log: PathBuf,
    /// Goes with the world, unless it lies over a folder of somebody else.
    _folder: Option<tempfile::TempDir>,
    /// The wall clock of every process.
    pub clock: Arc<ManualClock>,
    seed: u64,
    starts: u64,
    /// Settings of the cdc room.
    pub cdc: tidemark_cdc::Config,
    /// Settings of the ingest room.
    pub ingest: tidemark_ingest::Config,
    /// Whether processes keep their logs in the store; they may then take over from one another while both live.
    pub log_in_store: bool,
}

impl World {
    /// Nothing yet; the clock stands at `at`.
    #[must_use]
    pub fn new(seed: u64, at: Instant) -> Self {
        let folder = fast_folder();
        let log = folder.path().join("log");
        Self { _folder: Some(folder), ..Self::on(Arc::new(InMemory::new()), log, (seed, at)) }
    }

    /// The same on a disk, where a server over `home` looks for its lake and its log.
    ///
    /// # Panics
    /// When there can be no folder.
    #[must_use]
    pub fn over(home: &Path, at: Instant) -> Self {
        let data = home.join("data");
        let store = Store::local(data.join("lake")).expect("a folder for the lake");
        Self::on(store.objects(), data.join("log"), (1, at))
    }

    fn on(objects: Arc<dyn ObjectStore>, log: PathBuf, (seed, at): (u64, Instant)) -> Self {
        let ingest = tidemark_ingest::Config { ts_ahead_s_max: u32::MAX, ..Default::default() };
        Self {
            objects,
            log,
            _folder: None,
            clock: Arc::new(ManualClock::at(at)),
            seed,
            starts: 0,
            cdc: tidemark_cdc::Config::default(),
            ingest,
            log_in_store: false,
        }
    }

    /// Starts a process.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(&mut self) -> Lake {
        let halt = Arc::new(Halt::default());
        self.start_with(halt).expect("nothing halts it")
    }

    /// Starts a process that dies after so many writes, unless it is up by then.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_dying(&mut self, writes: i64, last: Last) -> Option<Lake> {
        let halt = Arc::new(Halt::default());
        halt.arm(writes, last);
        self.start_with(halt)
    }

    fn start_with(&mut self, halt: Arc<Halt>) -> Option<Lake> {
        self.starts += 1;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let rooms = runtime.block_on(async {
            tokio::select! {
                rooms = self.open(&halt) => Some(rooms),
                () = halt.reached() => None,
            }
        });
        halt.disarm();
        Some(Lake { rooms: Some(rooms?), runtime, halt })
    }

    async fn open(&self, halt: &Arc<Halt>) -> Rooms {
        let objects = HaltingStore::new(Arc::clone(&self.objects), Arc::clone(halt));
        let (clock, metrics) = (Arc::clone(&self.clock) as Arc<dyn Clock>, prometheus::Registry::new());
        let ids = Arc::new(Ids::seeded((u128::from(self.seed) << 64) | u128::from(self.starts)));
        let store = Store::wrapping(Arc::new(objects), "memory:///");
        let deps = catalog::Deps { store, clock: Arc::clone(&clock), ids: Arc::clone(&ids), metrics: metrics.clone() };
        let tenure = Tenure { log_in_store: self.log_in_store, ..Tenure::default() };
        let catalog = Catalog::open_as(catalog::Config::default(), deps, &tenure).await.expect("the catalog opens");
        let (ingest, tasks) = self.open_ingest(&catalog, (&clock, &ids), &metrics, halt).await;
        let live = Arc::new(ingest.clone()) as Arc<dyn LiveTail>;
        let deps = tidemark_cdc::Deps {
            catalog: catalog.clone(),
            live,
            clock: Arc::clone(&clock),
            ids,
            metrics: metrics.clone(),
            points: points(halt),
        };
        let cdc = Cdc::new(self.cdc.clone(), &deps).expect("the cdc room opens");
        let deps = tidemark_query::Deps { catalog: catalog.clone(), live: Arc::new(ingest.clone()), clock, metrics };
        let query = Query::open(tidemark_query::Config::default(), deps).expect("the query room opens");
        let publisher = Publisher::new(catalog.clone(), publish::Config::default(), points(halt));
        let administration = Administration {
            catalog: catalog.clone(),
            ingest: ingest.clone(),
            cdc: cdc.clone(),
            standings: Arc::default(),
        };
        Rooms { catalog, ingest, tasks, cdc, administration, publisher, query }
    }

    /// The lock of a process that was killed goes with its last thread: a moment after the kill.
    async fn open_ingest(
        &self,
        catalog: &Catalog,
        (clock, ids): (&Arc<dyn Clock>, &Arc<Ids>),
        metrics: &prometheus::Registry,
        halt: &Arc<Halt>,
    ) -> (Ingest, tidemark_ingest::Tasks) {
        for _try in 0..LOCK_TRIES_MAX {
            let log = self.log_place(catalog);
            let deps = tidemark_ingest::Deps {
                catalog: catalog.clone(),
                clock: Arc::clone(clock),
                ids: Arc::clone(ids),
                log,
                metrics: metrics.clone(),
                points: points(halt),
            };
            match Ingest::open(self.ingest.clone(), deps).await {
                Err(tidemark_ingest::Error::Log(LogError::InUse { .. })) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                opened => return opened.expect("the ingest room opens"),
            }
        }
        panic!("the lock of the log was not given back");
    }

    fn log_place(&self, catalog: &Catalog) -> LogPlace {
        let (cluster, epoch) = (catalog.cluster().to_owned(), catalog.epoch());
        match catalog.own_logs().cloned() {
            Some(OwnLogs { log, inherited, since }) => LogPlace::Objects(ObjectLogOptions {
                inherited,
                since,
                window: Duration::ZERO,
                ..ObjectLogOptions::new(catalog.store().clone(), cluster, epoch, log)
            }),
            None => LogPlace::Directory(LogOptions {
                segment_bytes: SEGMENT_BYTES,
                free_space_min_percent: 0,
                ..LogOptions::new(self.log.clone(), cluster, epoch)
            }),
        }
    }
}

/// Points that the store's halt stops at too.
fn points(halt: &Arc<Halt>) -> Points {
    let halt = Arc::clone(halt);
    Points::hooked(move |name| {
        let (halt, name) = (Arc::clone(&halt), name.to_owned());
        Box::pin(async move { halt.pass(&name).await })
    })
}

/// A folder in memory where there is one: syncing is proved elsewhere, here it would only take time.
fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).expect("a temporary folder")
}
