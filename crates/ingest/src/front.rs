//! The room's front: its parts, its verbs, and what ends with it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tidemark_catalog::{Allowance, Behind, Bell, Catalog, LiveTail, NotClosed, Tail, documents::Documents};
use tidemark_model::{
    Clock, CollectionName, Denied, Ids, Instant, Mark, Namespace, Principal, Scope, Table, schema::SchemaChange,
};
use tidemark_storage::log::{Log, LogDeps, LogError, LogPlace};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{
    budget::Budget,
    config::Config,
    declared::Rules,
    dedup::{ids::IdIndex, keys::KeyIndex, producers::ProducerIndex},
    error::Error,
    flush::{Flusher, Pace},
    maintenance::Closing,
    metrics::Metrics,
    point::Points,
    receipt::Receipt,
    rejected::Rejects,
    replay,
    request::{Durability, Request},
    standing::Standings,
    tasks::Tasks,
    upkeep::Upkeep,
    visible::Visible,
};

/// How long the instant at which something is made may take to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Which part of the bytes of all bodies batches of streams may have that wait for a place among them.
const PLACELESS_PART: usize = 4;

/// What the room is given.
#[derive(Debug)]
pub struct Deps {
    /// Who exists, and the manifests.
    pub catalog: Catalog,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Unique ids.
    pub ids: Arc<Ids>,
    /// The log to take over and write on.
    pub log: LogPlace,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
    /// Where tests let the process die; none by default.
    pub points: Points,
}

/// The handle of the room. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    pub(crate) room: Arc<Room>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) config: Config,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) log: Log,
    /// What an acknowledgement means.
    pub(crate) durability: Durability,
    /// The declared schemas in force.
    pub(crate) rules: Rules,
    /// What was refused and is kept.
    pub(crate) rejects: Rejects,
    pub(crate) visible: Arc<Visible>,
    pub(crate) flusher: Flusher,
    pub(crate) upkeep: Upkeep,
    pub(crate) standings: Standings,
    pub(crate) closing: Closing,
    /// Bytes of bodies that are being read and parsed.
    pub(crate) bodies: Budget,
    /// Bytes of batches of streams that wait for a place among them.
    pub(crate) placeless: Budget,
    pub(crate) metrics: Arc<Metrics>,
    /// Who knows which documents live, if anybody does.
    pub(crate) documents: Mutex<Option<Weak<dyn Documents>>>,
    /// Who counts what clients send, if anybody does.
    pub(crate) allowance: OnceLock<Arc<dyn Allowance>>,
    /// Requests that have passed the door: a client that goes away does not stop them half-way.
    pub(crate) requests: TaskTracker,
    pub(crate) is_draining: AtomicBool,
    /// Within which time streams are ended, once the server is about to drain.
    pub(crate) leaving: watch::Sender<Option<Duration>>,
}

impl Ingest {
    /// Opens the room: takes the log over, replays what no manifest covers (flushing as it goes under the byte cap),
    /// rebuilds what deduplication remembers, and begins to write.
    ///
    /// # Errors
    /// [`Error`]; the log is then left as it was found.
    pub async fn open(config: Config, deps: Deps) -> Result<(Self, Tasks), Error> {
        let metrics = Metrics::new(&deps.metrics).map_err(|error| Error::Internal(error.to_string()))?;
        let flusher = flusher(&config, &deps, Arc::new(metrics));
        let chance = (Arc::clone(&deps.clock), Arc::clone(&deps.ids));
        let rejects = Rejects::open(&config, &deps.catalog, chance).await?;
        let durability = Durability::of(&deps.log);
        let recovery = replay::all(&flusher, deps.log, &config).await?;
        let (next, above) = deps.catalog.frontier();
        let log_deps = LogDeps {
            clock: Arc::clone(&deps.clock),
            ids: Arc::clone(&deps.ids),
            sink: Arc::clone(&flusher.visible) as _,
            metrics: deps.metrics,
        };
        let log = replay::on_thread(move || recovery.start(next, above, log_deps)).await?;
        for namespace in deps.catalog.every_namespace() {
            log.release(&namespace, deps.catalog.events(&namespace).system_time)?;
        }
        flusher.log.get_or_init(|| log.clone());
        let room = Room {
            durability,
            bodies: Budget::new(config.bodies_bytes_max),
            placeless: Budget::new(config.bodies_bytes_max / PLACELESS_PART),
            rules: Rules::of(&deps.catalog),
            rejects,
            upkeep: Upkeep::new(&config, &deps.catalog, deps.points),
            standings: Standings::default(),
            closing: Closing::default(),
            visible: Arc::clone(&flusher.visible),
            metrics: Arc::clone(&flusher.metrics),
            catalog: deps.catalog,
            clock: deps.clock,
            ids: deps.ids,
            documents: Mutex::default(),
            allowance: OnceLock::new(),
            requests: TaskTracker::new(),
            is_draining: AtomicBool::new(false),
            leaving: watch::Sender::new(None),
            config,
            log,
            flusher,
        };
        let ingest = Self { room: Arc::new(room) };
        let tasks = Tasks::begin(ingest.clone());
        Ok((ingest, tasks))
    }

    /// Lets on who may write to a namespace. One that does not exist appears only to whoever may write any; to others it is
    /// as one that they do not see.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn admit(&self, principal: &Principal, namespace: &Namespace) -> Result<(), Error> {
        principal.check(Scope::Ingest, namespace)?;
        if !principal.may_create() && !self.room.catalog.namespaces().contains(namespace) {
            return Err(Denied::Hidden(namespace.clone()).into());
        }
        Ok(())
    }

    /// Counts what clients send from now on; the first one who counts stays.
    pub fn limit(&self, allowance: Arc<dyn Allowance>) {
        self.room.allowance.get_or_init(|| allowance);
    }

    /// Makes a namespace, or a collection, that would appear with its first record; whether it was not there.
    ///
    /// # Errors
    /// [`Error`]; it may then have appeared in this process, and is written down with its first record.
    pub async fn create(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Result<bool, Error> {
        let room = self.open_room()?;
        let is_there = |catalog: &Catalog| match collection {
            Some(name) => catalog.collection(namespace, name).is_some(),
            None => catalog.namespaces().contains(namespace),
        };
        if is_there(&room.catalog) {
            // It may be there for whoever asks, and not yet written down.
            room.catalog.persist(namespace).await?;
            return Ok(false);
        }
        room.may_be(namespace)?;
        let admission = &room.visible.admission;
        let names: Vec<CollectionName> = collection.cloned().into_iter().collect();
        let _proposal = admission.propose(namespace, &names, room.config.collections_max)?;
        let _stands = room.stands(namespace, &names).await?;
        // Behind all that was ever acknowledged: what was erased begins anew. And before all that will be, whatever clocks do:
        // a change older than its collection would be in no past.
        let now = room.log.now();
        room.log.close_instant(now, CLOSE_WITHIN).await?;
        let at = now.plus_micros(1);
        let created = |name: &CollectionName| SchemaChange::Created {
            collection: name.clone(),
            directory: name.as_str().to_owned(),
            shard: admission.shard_of(namespace, name, room.catalog.shards()),
            created_at: at,
        };
        let changes: Vec<SchemaChange> = names.iter().map(created).collect();
        room.catalog.observe(namespace, at, &changes);
        // Until then an append brings it along: what it says of a collection nobody else may have kept.
        room.catalog.persist(namespace).await?;
        admission.durable(namespace, changes.iter());
        Ok(true)
    }

    /// Appends one request; returns when it is durable and visible. A caller that goes away does not take it back.
    ///
    /// # Errors
    /// [`Error`]; nothing is stored then, unless the log's outcome is unknown.
    pub async fn append(&self, namespace: &Namespace, request: Request) -> Result<Receipt, Error> {
        let (room, namespace) = (self.open_room()?, namespace.clone());
        self.finish(async move { room.append(&namespace, request).await }).await
    }

    /// The room, unless it takes no requests (any more, or while it is closed), or does not know whether the lake is still its own.
    pub(crate) fn open_room(&self) -> Result<Arc<Room>, Error> {
        if self.room.is_draining.load(Ordering::Acquire) {
            return Err(Error::Draining);
        }
        self.room.closing.check()?;
        self.room.catalog.check_held()?;
        Ok(Arc::clone(&self.room))
    }

    /// Runs work to its end, also when the caller goes away.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = self.room.requests.spawn(work.in_current_span()).await;
        ended.unwrap_or_else(|ended| Err(Error::Internal(format!("the request ended early: {ended}"))))
    }

    /// Tells streams that the server will drain: they are ended after this time.
    pub fn go_away(&self, within: Duration) {
        self.room.leaving.send_replace(Some(within));
    }

    /// Moves what a namespace has acknowledged so far into files.
    ///
    /// # Errors
    /// [`Error`]; what could not be moved stays in the log.
    pub async fn flush(&self, namespace: &Namespace) -> Result<(), Error> {
        self.room.flusher.flush_all_of(namespace).await
    }

    /// Moves everything that is acknowledged so far into files.
    ///
    /// # Errors
    /// The first [`Error`]; the other namespaces are flushed nevertheless.
    pub async fn flush_all(&self) -> Result<(), Error> {
        let mut all = Ok(());
        for namespace in self.room.visible.namespaces() {
            all = all.and(self.flush(&namespace).await);
        }
        all
    }

    /// Rings after every commit of events.
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.room.flusher.bell.clone()
    }

    /// Ends when the log failed: what is on its medium is unknown, and the process must end and recover.
    pub fn log_failed(&self) -> impl Future<Output = LogError> + Send + use<> {
        self.room.log.failed()
    }
}

fn flusher(config: &Config, deps: &Deps, metrics: Arc<Metrics>) -> Flusher {
    let pace = Pace {
        bytes: config.flush_bytes,
        rows: config.flush_rows,
        age_us: i64::from(config.flush_age_s) * 1_000_000,
        log_bytes: config.log_bytes,
    };
    let unflushed = Budget::new(config.unflushed_bytes_max);
    let visible = Visible::new(deps.catalog.clone(), unflushed, pace, Arc::clone(&metrics));
    Flusher {
        visible: Arc::new(visible),
        catalog: deps.catalog.clone(),
        clock: Arc::clone(&deps.clock),
        ids: Arc::clone(&deps.ids),
        bell: Bell::default(),
        seen_ids: Arc::new(IdIndex::new(config.dedup_ids_max)),
        seen_keys: Arc::new(KeyIndex::new(config.dedup_keys_max, config.dedup_receipts_bytes_max)),
        producers: Arc::new(ProducerIndex::new(config.producers_max)),
        metrics,
        log: OnceLock::new(),
        turns: Mutex::new(HashMap::new()),
    }
}

#[async_trait]
impl LiveTail for Ingest {
    async fn tail(&self, namespace: &Namespace, table: &Table, after: &Mark) -> Result<Tail, Behind> {
        self.room.visible.read(namespace, table, after)
    }

    fn reached(&self, namespace: &Namespace) -> Mark {
        self.room.visible.reached(namespace)
    }

    fn closed(&self) -> Instant {
        self.room.log.closed()
    }

    fn now(&self) -> Instant {
        self.room.log.now()
    }

    async fn close_instant(&self, at: Instant, deadline: Duration) -> Result<(), NotClosed> {
        self.room.log.close_instant(at, deadline).await.map_err(|error| {
            tracing::debug!(%error, %at, "an instant could not be closed");
            NotClosed(at)
        })
    }
}
