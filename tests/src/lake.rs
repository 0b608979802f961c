//! The rooms of one process over bytes that outlive it: opened, drained, killed, opened again.
//!
//! A [`World`] is what survives a crash: the objects, the log's folder, the clock. A [`Lake`] is one process over it with
//! a runtime of its own, so that a kill ends every task where it stands.

mod ticks;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use object_store::{ObjectStore, memory::InMemory};
use tidemark_catalog::{
    Catalog, CollectionManifest, EventsManifest, LiveTail, OwnLogs, Publisher, Tenure, catalog,
    publish::{self, How},
    verify::{Depth, verify},
};
use tidemark_cdc::{Cdc, Duty, point::Points};
use tidemark_ingest::{Format, Ingest, RawBatch, Receipt, Request, Target};
use tidemark_model::{Clock, CollectionName, Ids, Instant, Namespace, Principal, clock::ManualClock};
use tidemark_query::{CollectionRef, Export, Holds, Query, Session, Statement, Then};
use tidemark_server::administration::Administration;
use tidemark_storage::{
    Store,
    log::{LogError, LogOptions, LogPlace, ObjectLogOptions},
};
use tokio::runtime::{Builder, Runtime};

use self::ticks::{erased, events_upkeep, published, upkeep};
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

/// One process.
#[derive(Debug)]
pub struct Lake {
    // Rooms are dropped before the runtime that runs their tasks.
    rooms: Option<Rooms>,
    runtime: Runtime,
    halt: Arc<Halt>,
}

#[derive(Debug)]
struct Rooms {
    catalog: Catalog,
    ingest: Ingest,
    tasks: tidemark_ingest::Tasks,
    cdc: Cdc,
    administration: Administration,
    publisher: Publisher,
    query: Query,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It came to its end.
    Whole,
    /// The process died in the middle of it.
    Killed,
}

/// A step of the work behind the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Acknowledged rows become files of the events table.
    Flush,
    /// Changes in events files become deltas.
    Delta,
    /// Deltas become a state.
    Fold,
    /// Upkeep of the past.
    Upkeep(Duty),
    /// Upkeep of the events table.
    Events(tidemark_ingest::Duty),
    /// Other engines get to see the tables.
    Publish(How),
    /// What was dropped goes when its grace is over.
    Erase,
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

fn reference((namespace, collection): (&Namespace, &CollectionName)) -> CollectionRef {
    CollectionRef { namespace: namespace.clone(), collection: collection.clone() }
}

impl Lake {
    fn rooms(&self) -> &Rooms {
        self.rooms.as_ref().expect("the process runs")
    }

    /// Sends lines of changes to a collection; the receipt.
    ///
    /// # Errors
    /// What the room says.
    pub fn send(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        lines: String,
    ) -> Result<Receipt, tidemark_ingest::Error> {
        let request = Request::new(Target::Changes(collection.clone()), RawBatch::plain(Format::Ndjson, lines));
        self.runtime.block_on(self.rooms().ingest.append(namespace, request))
    }

    /// Sends lines of events, or of changes that name their collection; the receipt.
    ///
    /// # Errors
    /// What the room says.
    pub fn send_events(&self, namespace: &Namespace, lines: String) -> Result<Receipt, tidemark_ingest::Error> {
        let request = Request::new(Target::Events, RawBatch::plain(Format::Ndjson, lines));
        self.runtime.block_on(self.rooms().ingest.append(namespace, request))
    }

    /// Asks SQL.
    ///
    /// # Errors
    /// What the room says, at planning or while running.
    pub fn ask(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let (principal, session) = (Principal::lake(), Session::default());
        let statement = Statement { sql: sql.to_owned(), params: Vec::new(), principal, session, pin: None };
        self.runtime.block_on(async {
            let answer = self.rooms().query.run(&statement).await.map_err(|error| error.to_string())?;
            answer.stream.try_collect().await.map_err(|error| error.to_string())
        })
    }

    /// The instant of a snapshot.
    ///
    /// # Errors
    /// What the room says.
    pub fn instant_of(&self, table: (&Namespace, &CollectionName), name: &str) -> Result<Instant, String> {
        let instant = self.runtime.block_on(self.rooms().query.instant_of(&reference(table), name));
        instant.map_err(|error| error.to_string())
    }

    /// How many documents an export of a snapshot holds.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn exported(&self, table: (&Namespace, &CollectionName), snapshot: &str) -> usize {
        let (then, holds) = (Then::default(), Holds::Documents);
        let (principal, snapshot) = (Principal::lake(), Some(snapshot.to_owned()));
        let export = Export { principal, of: reference(table), then, snapshot, predicate: None, holds };
        self.runtime.block_on(async {
            let answer = self.rooms().query.export(&export).await.expect("is exported");
            let batches: Vec<RecordBatch> = answer.stream.try_collect().await.expect("streams");
            batches.iter().map(RecordBatch::num_rows).sum()
        })
    }

    /// The owner's present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.rooms().ingest.now()
    }

    /// The greatest source time that the newest base of a collection holds.
    #[must_use]
    pub fn base_max_ts(&self, (namespace, collection): (&Namespace, &CollectionName)) -> Option<Instant> {
        self.rooms().catalog.manifest(namespace, collection).bases.last().map(|base| base.max_ts)
    }

    /// Drops a collection, or a namespace, with a grace in seconds.
    ///
    /// # Errors
    /// What is said of it.
    pub fn drop(&self, of: (&Namespace, Option<&CollectionName>), grace_s: u64) -> Result<(), String> {
        let dropped = self.runtime.block_on(self.rooms().administration.drop(of, Some(grace_s)));
        dropped.map(|_dropped| ()).map_err(|problem| problem.detail)
    }

    /// Brings back a collection, or a namespace.
    ///
    /// # Errors
    /// What is said of it.
    pub fn undrop(&self, of: (&Namespace, Option<&CollectionName>)) -> Result<(), String> {
        self.runtime.block_on(self.rooms().administration.undrop(of)).map_err(|problem| problem.detail)
    }

    /// Keeps the state of a collection as of an instant; the process may die in the middle.
    ///
    /// # Panics
    /// When it is refused.
    pub fn snapshot(&self, table: (&Namespace, &CollectionName), name: &str, at: Instant) -> Ended {
        let rooms = self.rooms();
        self.until_killed(async {
            rooms.ingest.flush(table.0).await.map_err(|error| error.to_string())?;
            let taken = rooms.cdc.snapshot(table, Some(name), at).await.map_err(|error| error.to_string())?;
            assert_eq!((taken.name.as_str(), taken.instant), (name, at));
            Ok(())
        })
    }

    /// The newest manifest of a collection.
    #[must_use]
    pub fn manifest(&self, (namespace, collection): (&Namespace, &CollectionName)) -> Arc<CollectionManifest> {
        self.rooms().catalog.manifest(namespace, collection)
    }

    /// The newest manifest of the events.
    #[must_use]
    pub fn events_manifest(&self, namespace: &Namespace) -> Arc<EventsManifest> {
        self.rooms().catalog.events(namespace)
    }

    fn until_killed(&self, work: impl Future<Output = Result<(), String>>) -> Ended {
        let ended = self.runtime.block_on(async {
            tokio::select! {
                done = work => { done.unwrap_or_else(|error| panic!("a job failed: {error}")); Ended::Whole }
                () = self.halt.reached() => Ended::Killed,
            }
        });
        self.halt.disarm();
        ended
    }

    /// Does a job; the process dies in its middle if the store is halted before the job ends.
    ///
    /// # Panics
    /// When the job fails.
    pub fn run(&self, job: Job, namespace: &Namespace) -> Ended {
        self.until_killed(async { self.work(job, namespace).await.map_err(|error| format!("{job:?}: {error}")) })
    }

    /// Does a job in a process that may have lost the lake.
    ///
    /// # Errors
    /// What the room says.
    pub fn try_run(&self, job: Job, namespace: &Namespace) -> Result<(), String> {
        self.runtime.block_on(self.work(job, namespace))
    }

    async fn work(&self, job: Job, namespace: &Namespace) -> Result<(), String> {
        let rooms = self.rooms();
        match job {
            Job::Flush => rooms.ingest.flush(namespace).await.map_err(|error| error.to_string()),
            Job::Delta => rooms.cdc.drain().await.map_err(|error| error.to_string()),
            Job::Upkeep(duty) => upkeep(&rooms.cdc, duty).await,
            Job::Events(duty) => events_upkeep(&rooms.ingest, duty).await,
            Job::Publish(how) => published(&rooms.publisher, how).await,
            Job::Fold => rooms.cdc.settle(namespace).await.map_err(|error| error.to_string()),
            Job::Erase => erased(&rooms.administration).await,
        }
    }

    /// Lets so many writes of the next job through, and no more.
    pub fn halt_after(&self, writes: i64, last: Last) {
        self.halt.arm(writes, last);
    }

    /// Looks the whole lake over, every checksum included; what is wrong.
    ///
    /// # Panics
    /// When it cannot look.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let store = self.rooms().catalog.store();
        self.runtime.block_on(verify(store, Depth::Checksums, Instant::MAX, 0)).expect("looks").complaints
    }

    /// How many objects there are.
    ///
    /// # Panics
    /// When they cannot be listed.
    #[must_use]
    pub fn objects(&self) -> usize {
        let root = tidemark_storage::ObjectPath::default();
        self.runtime.block_on(self.rooms().catalog.store().list(&root)).expect("lists").len()
    }

    /// Puts other bytes in the place of an object, as damage does.
    ///
    /// # Panics
    /// When the store fails.
    pub fn overwrite(&self, path: &str, bytes: &'static str) {
        let path = tidemark_storage::ObjectPath::from(path);
        self.runtime.block_on(self.rooms().catalog.store().put(&path, bytes.into())).expect("writes");
    }

    /// Lets the process die when it passes a point of this name.
    pub fn halt_at(&self, point: &str) {
        self.halt.arm_at(point);
    }

    /// Ends the process as SIGTERM does.
    ///
    /// # Panics
    /// When it does not drain.
    pub fn drain(mut self) {
        let Rooms { catalog, ingest, tasks, cdc, administration, publisher, query } =
            self.rooms.take().expect("the process runs");
        self.runtime.block_on(async {
            tasks.drain().await.expect("the ingest room drains");
            cdc.drain().await.expect("the cdc room drains");
        });
        drop((catalog, ingest, cdc, administration, publisher, query));
    }

    /// Ends the process where it stands.
    pub fn kill(mut self) {
        drop(self.rooms.take());
    }
}
