//! The rooms of one process over bytes that outlive it: opened, drained, killed, opened again.
//!
//! A [`World`] is what survives a crash: the objects, the log's folder, the clock. A [`Lake`] is one process over it with
//! a runtime of its own, so that a kill ends every task where it stands.

mod ticks;
mod world;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use arrow::array::RecordBatch;
use futures::{TryStreamExt as _, future::LocalBoxFuture};
use tidemark_catalog::{
    Catalog, CollectionManifest, EventsManifest, LiveTail as _, Publisher,
    publish::How,
    verify::{Depth, verify},
};
use tidemark_cdc::{Cdc, Duty};
use tidemark_ingest::{Format, Ingest, RawBatch, Receipt, Request, Target};
use tidemark_model::{CollectionName, Instant, Namespace, Principal};
use tidemark_query::{CollectionRef, Export, Holds, Query, Session, Statement, Then};
use tidemark_server::administration::Administration;
use tokio::runtime::Runtime;

use self::ticks::{erased, events_upkeep, published, upkeep};
pub use self::world::World;
use crate::halting::{Halt, Last};

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
        self.runtime.block_on(self.sending((namespace, collection), lines))
    }

    /// The same while others work.
    ///
    /// # Errors
    /// What the room says.
    pub async fn sending(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        lines: String,
    ) -> Result<Receipt, tidemark_ingest::Error> {
        let request = Request::new(Target::Changes(collection.clone()), RawBatch::plain(Format::Ndjson, lines));
        self.rooms().ingest.append(namespace, request).await
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
        self.runtime.block_on(self.asking(sql))
    }

    /// The same while others work.
    ///
    /// # Errors
    /// What the room says, at planning or while running.
    pub async fn asking(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let (principal, session) = (Principal::lake(), Session::default());
        let statement = Statement { sql: sql.to_owned(), params: Vec::new(), principal, session, pin: None };
        let answer = self.rooms().query.run(&statement).await.map_err(|error| error.to_string())?;
        answer.stream.try_collect().await.map_err(|error| error.to_string())
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

    /// Lets several work at once until all have ended; the process dies in their middle if the store is halted before.
    pub fn together(&self, work: Vec<LocalBoxFuture<'_, ()>>) -> Ended {
        self.until_killed(async {
            futures::future::join_all(work).await;
            Ok(())
        })
    }

    /// Does a job while others work.
    ///
    /// # Errors
    /// What the room says.
    pub async fn work(&self, job: Job, namespace: &Namespace) -> Result<(), String> {
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

    /// Lets one in so many writes fail, every other of them after it was done, until what is next has ended.
    pub fn fail_every(&self, writes: u64) {
        self.halt.fail_every(writes);
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

    /// Every object, with a hash of its bytes.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, u64> {
        let store = self.rooms().catalog.store();
        self.runtime.block_on(async {
            let mut contents = BTreeMap::new();
            for object in store.list(&tidemark_storage::ObjectPath::default()).await.expect("lists") {
                let mut hasher = DefaultHasher::new();
                store.get(&object.location).await.expect("reads").hash(&mut hasher);
                contents.insert(object.location.to_string(), hasher.finish());
            }
            contents
        })
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
