//! Wiring: which room gets what, in which order they open and end.
//!
//! Opening: the claim on the log directory, the store (and whether a lake can be kept in it), the turn to own the lake, catalog
//! (takes the next epoch), the lease, ingest (takes the log over and replays it), cdc, query. Ending goes the other way for
//! what writes: ingest puts what is acknowledged into files, then cdc takes these in; the last word is that the lease has
//! ended.

use std::{sync::Arc, time::Duration};

use axum::Router;
use tidemark_catalog::{
    Allowance, Audit, Catalog, CatalogError, LiveTail, Login, OwnLogs, Publisher, Tokens,
    documents::Documents,
    lease::{Lease, TurnError},
    maintenance::Maintenance,
    point::Points,
};
use tidemark_cdc::Cdc;
use tidemark_ingest::Ingest;
use tidemark_model::{Clock, Ids};
use tidemark_proto::DESCRIPTORS;
use tidemark_query::{Query, Shown, procedure::Procedures};
use tidemark_storage::{
    Store, StoreError,
    log::{LogOptions, LogPlace, ObjectLogOptions},
};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_reflection::server::Builder as Reflection;

use crate::{
    administration::Administration,
    claim::{Claim, ClaimError},
    clock::{SystemClock, random_ids},
    compaction::Compactor,
    config::{Environment, Secret, Settings},
    documents::Asking,
    fitness::{self, FitnessError},
    health::Health,
    lease::{self, Leasing},
    limits::Limits,
    machine,
    maintenance::Switch,
    metrics::{Metrics, Sources},
    ports::Life,
    restore::{Restorer, call::Caller},
    schedule::{self, Runner},
};

/// What every room may be given.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Unique ids.
    pub ids: Arc<Ids>,
    /// Where everything is measured.
    pub registry: prometheus::Registry,
    /// The server's own measurements.
    pub metrics: Metrics,
}

impl Parts {
    /// The parts of a process.
    ///
    /// # Errors
    /// When measurements cannot be registered.
    pub fn of_process() -> Result<Self, prometheus::Error> {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry)?;
        Ok(Self { clock: Arc::new(SystemClock), ids: Arc::new(random_ids()), registry, metrics })
    }
}

/// A room that did not open or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The directory of the log.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process owns the lake.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// A log on a disk was not emptied, and the log is to lie in the store.
    #[error(
        "the log in {0} may hold what was acknowledged and is in no file: start once with it, stop that server in order, \
         and then use --log object"
    )]
    LogLeft(std::path::PathBuf),
    /// The owner before kept its log on the disk of another machine and did not end in order.
    #[error(
        "the owner of epoch {0} kept its log on a disk and did not end in order: what it acknowledged may be there and in \
         no file, so this server does not take over by itself. Start that server again; or, if its disk is lost, start this \
         one without --standby"
    )]
    LogElsewhere(u64),
    /// The log's directory could not be read.
    #[error("the epochs of the log could not be read")]
    Epochs(#[source] std::io::Error),
    /// No lake is kept in a store that does not create once.
    #[error(transparent)]
    Fitness(#[from] FitnessError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Ingest, its log included.
    #[error(transparent)]
    Ingest(#[from] tidemark_ingest::Error),
    /// The change room.
    #[error(transparent)]
    Cdc(#[from] tidemark_cdc::Error),
    /// The query room.
    #[error(transparent)]
    Query(#[from] tidemark_query::Error),
    /// What describes the services of the gRPC port.
    #[error("the services of the gRPC port could not be described")]
    Described(#[from] tonic_reflection::server::Error),
    /// A task of ours ended early.
    #[error("{0}")]
    Ended(String),
}

/// The rooms of a process.
#[derive(Debug)]
pub struct Rooms {
    catalog: Catalog,
    ingest: Ingest,
    cdc: Cdc,
    administration: Administration,
    publisher: Publisher,
    query: Query,
    tokens: Tokens,
    audit: Audit,
    switch: Switch,
    runner: Runner,
    keeper: Keeper,
    failed: CancellationToken,
    /// Is cancelled when whoever watches has to go.
    leaving: CancellationToken,
    cdc_drain: Duration,
    /// Does what SQL calls; the query room holds it weakly.
    _procedures: Arc<dyn Procedures>,
    /// Tells ingest which documents live; held weakly too.
    _documents: Arc<dyn Documents>,
    leasing: Leasing,
    /// Last, so that it is given back after everything else.
    _claim: Option<Claim>,
}

impl Rooms {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// [`WiringError`] of the first room that does not open.
    pub async fn open(settings: &Settings, environment: &Environment, parts: &Parts) -> Result<Self, WiringError> {
        let failed = CancellationToken::new();
        let claim = settings.log_directory().as_deref().map(Claim::take).transpose()?;
        let store = open_store(settings, environment)?;
        fitness::ascertain(&store, settings, parts).await?;
        let catalog = open_catalog(settings, &store, parts).await?;
        let leasing = Leasing::begin(&catalog, parts, failed.clone());
        let (ingest, tasks) = open_ingest(settings, parts, &catalog).await?;
        let keeper = Keeper::of(tasks, failed.clone());
        let cdc = open_cdc(settings, parts, &catalog, &ingest)?;
        let query = open_query(settings, parts, &catalog, &ingest)?;
        let restorer = Restorer { catalog: catalog.clone(), ingest: ingest.clone(), query: query.clone() };
        let (store, clock, ids) = (catalog.store(), parts.clock.clone(), parts.ids.clone());
        let tokens = Tokens::of(store, clock.clone(), ids.clone());
        tokens.refresh().await?;
        let audit = Audit::of(store, clock.clone(), ids.clone());
        let word = Maintenance::of(store, clock, ids);
        let switch = Switch::of(word, ingest.clone(), parts.metrics.clone(), catalog.lease().clone());
        switch.obey().await?;
        let administration = Administration {
            catalog: catalog.clone(),
            ingest: ingest.clone(),
            cdc: cdc.clone(),
            standings: Arc::default(),
        };
        let caller = Caller::new(restorer, administration.clone(), audit.clone(), Handle::current());
        let procedures: Arc<dyn Procedures> = Arc::new(caller);
        query.serve(&procedures);
        let documents: Arc<dyn Documents> = Arc::new(Asking(query.clone()));
        ingest.serve(&documents);
        let runner = Runner::new(parts.metrics.clone(), (parts.clock.clone(), parts.ids.clone()), failed.clone());
        let (rejects, jobs) = (Arc::new(ingest.clone()), runner.board());
        query.show(Shown { rejects, jobs, tokens: tokens.clone(), audit: audit.clone() });
        let publisher = Publisher::new(catalog.clone(), settings.publish.clone(), Points::default());
        for job in schedule::jobs(&administration, &publisher, &tokens) {
            runner.start(job);
        }
        let cdc_drain = Duration::from_secs(settings.cdc.drain_s);
        Ok(Self {
            catalog,
            ingest,
            cdc,
            administration,
            publisher,
            query,
            tokens,
            audit,
            switch,
            runner,
            keeper,
            failed,
            leaving: CancellationToken::new(),
            cdc_drain,
            _procedures: procedures,
            _documents: documents,
            leasing,
            _claim: claim,
        })
    }

    /// The lake's bytes.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.catalog.store()
    }

    /// How the lake is held.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        self.catalog.lease()
    }

    /// Lets measurements be read whenever somebody asks for them.
    pub(crate) fn measure(&self, settings: &Settings, life: &Life, metrics: &Metrics) {
        let log = settings.log_directory().map(|folder| ("log", folder));
        let folders = log.into_iter().chain([("data", settings.data.clone())]).collect();
        let (query, lease, life) = (self.query.clone(), self.lease().clone(), life.clone());
        let certificate = settings.tls.certificate.clone();
        metrics.ask(Sources { query, lease, life, folders, certificate });
    }

    /// Who may ask.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Who did what.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Routes of the HTTP port.
    pub fn http(&self) -> Router {
        tidemark_ingest::http::router(self.ingest.clone())
            .merge(tidemark_query::http::router(self.query.clone()))
            .merge(crate::restore::door::router(self.restorer()))
            .merge(crate::snapshots::router(self.administration()))
            .merge(crate::retention::router(self.administration()))
            .merge(crate::dropping::router(self.administration()))
            .merge(crate::publishing::router(self.publisher.clone(), self.ingest.clone()))
            .merge(crate::compaction::router(self.compactor()))
            .merge(crate::maintenance::router(self.switch.clone()))
    }

    fn administration(&self) -> Administration {
        self.administration.clone()
    }

    fn compactor(&self) -> Compactor {
        Compactor { catalog: self.catalog.clone(), ingest: self.ingest.clone(), cdc: self.cdc.clone() }
    }

    /// The query room, for doors that are not HTTP.
    #[cfg(feature = "postgres")]
    pub(crate) fn query(&self) -> Query {
        self.query.clone()
    }

    fn restorer(&self) -> Restorer {
        Restorer { catalog: self.catalog.clone(), ingest: self.ingest.clone(), query: self.query.clone() }
    }

    /// Routes of the gRPC port: Flight SQL, ingest, the catalog, health, and what describes them.
    ///
    /// # Errors
    /// [`WiringError::Described`] when the descriptions do not fit together.
    pub fn grpc(&self, health: &Health, login: Arc<dyn Login>) -> Result<Router, WiringError> {
        let described = || Reflection::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        let flight = tidemark_query::flight::service(self.query.clone(), Arc::new(self.ingest.clone()));
        let leaving = self.leaving.clone();
        let services = tonic::service::Routes::new(flight)
            .add_service(tidemark_ingest::grpc::service(self.ingest.clone()))
            .add_service(crate::catalog::service(self.administration(), self.audit.clone(), login, leaving))
            .add_service(health.service())
            .add_service(described().build_v1()?)
            .add_service(described().build_v1alpha()?);
        Ok(services.prepare().into_axum_router())
    }

    /// Counts what clients do from now on.
    pub fn limit(&self, limits: &Arc<Limits>) {
        self.ingest.limit(Arc::clone(limits) as Arc<dyn Allowance>);
    }

    /// Tells clients that stream to go on elsewhere: their streams are ended after this time.
    pub fn go_away(&self, within: Duration) {
        self.ingest.go_away(within);
        self.query.go_away();
        self.leaving.cancel();
    }

    /// Is cancelled when the log or the lake can no longer be trusted.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Puts what is acknowledged into files, closes the log, and takes the files in as far as time allows.
    ///
    /// # Errors
    /// [`WiringError`] when something acknowledged is in no file; it is still in the log.
    pub async fn drain(self) -> Result<(), WiringError> {
        self.runner.drain().await;
        self.keeper.drain().await?;
        match tokio::time::timeout(self.cdc_drain, self.cdc.drain()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "changes remain outside of deltas: the next start takes them in"),
            Err(_late) => tracing::warn!("changes remain outside of deltas: the next start takes them in"),
        }
        self.leasing.end().await;
        Ok(())
    }
}

/// Opens the store that the settings name.
pub(crate) fn open_store(settings: &Settings, environment: &Environment) -> Result<Store, StoreError> {
    let Some(url) = &settings.store else { return Store::local(settings.data.join("lake")) };
    Store::open(url, &store_options(settings, environment))
}

/// Opens the same to read it: whoever looks leaves nothing behind in the lake of a server that may run as another user.
pub(crate) fn look_at_store(settings: &Settings, environment: &Environment) -> Result<Store, StoreError> {
    let Some(url) = &settings.store else { return Store::look_locally(&settings.data.join("lake")) };
    Store::look(url, &store_options(settings, environment))
}

fn store_options(settings: &Settings, environment: &Environment) -> Vec<(String, String)> {
    let mut options = environment.object_store_options();
    let exposed = |(key, secret): (&String, &Secret)| (key.clone(), secret.expose().to_owned());
    options.extend(settings.object_store.iter().map(exposed));
    options
}

async fn open_catalog(settings: &Settings, store: &Store, parts: &Parts) -> Result<Catalog, WiringError> {
    // Once: a registry takes each metric once, and there may be several attempts.
    let store = store.metered(&parts.registry);
    loop {
        let tenure = lease::tenure(settings, &store, parts).await?;
        let deps = tidemark_catalog::catalog::Deps {
            store: store.clone(),
            clock: Arc::clone(&parts.clock),
            ids: Arc::clone(&parts.ids),
            metrics: parts.registry.clone(),
        };
        match Catalog::open_as(settings.catalog.clone(), deps, &tenure).await {
            Err(error @ CatalogError::Fenced { .. }) => tracing::info!(%error, "somebody else was faster"),
            opened => return Ok(opened?),
        }
    }
}

async fn open_ingest(
    settings: &Settings,
    parts: &Parts,
    catalog: &Catalog,
) -> Result<(Ingest, tidemark_ingest::Tasks), WiringError> {
    let deps = tidemark_ingest::Deps {
        catalog: catalog.clone(),
        clock: Arc::clone(&parts.clock),
        ids: Arc::clone(&parts.ids),
        log: log_place(settings, catalog),
        metrics: parts.registry.clone(),
        points: Points::default(),
    };
    Ok(Ingest::open(settings.ingest.clone(), deps).await?)
}

/// Where the log lies, and which logs of owners before are read.
fn log_place(settings: &Settings, catalog: &Catalog) -> LogPlace {
    let (cluster, epoch) = (catalog.cluster().to_owned(), catalog.epoch());
    match (settings.log_directory(), catalog.own_logs()) {
        (None, Some(OwnLogs { log, inherited, since })) => LogPlace::Objects(ObjectLogOptions {
            inherited: inherited.clone(),
            since: *since,
            window: Duration::from_millis(settings.object_log.window_ms),
            ..ObjectLogOptions::new(catalog.store().clone(), cluster, epoch, *log)
        }),
        (directory, _) => {
            let directory = directory.unwrap_or_else(|| settings.data.join("log"));
            LogPlace::Directory(LogOptions::new(directory, cluster, epoch))
        }
    }
}

/// Without a loop of its own: the jobs of the process tick it.
fn open_cdc(settings: &Settings, parts: &Parts, catalog: &Catalog, ingest: &Ingest) -> Result<Cdc, WiringError> {
    let deps = tidemark_cdc::Deps {
        catalog: catalog.clone(),
        live: Arc::new(ingest.clone()) as Arc<dyn LiveTail>,
        points: Points::default(),
        clock: Arc::clone(&parts.clock),
        ids: Arc::clone(&parts.ids),
        metrics: parts.registry.clone(),
    };
    Ok(Cdc::new(settings.cdc.clone(), &deps)?)
}

fn open_query(settings: &Settings, parts: &Parts, catalog: &Catalog, ingest: &Ingest) -> Result<Query, WiringError> {
    let deps = tidemark_query::Deps {
        catalog: catalog.clone(),
        live: Arc::new(ingest.clone()) as Arc<dyn LiveTail>,
        clock: Arc::clone(&parts.clock),
        metrics: parts.registry.clone(),
    };
    Ok(Query::open(machine::fitted(settings.query.clone()), deps)?)
}

/// Keeps the background work of ingest: notices when it fails for good, and drains it when asked.
#[derive(Debug)]
struct Keeper {
    drain: CancellationToken,
    kept: tokio::task::JoinHandle<Result<(), tidemark_ingest::Error>>,
}

impl Keeper {
    fn of(mut tasks: tidemark_ingest::Tasks, failed: CancellationToken) -> Self {
        let drain = CancellationToken::new();
        let asked = drain.clone();
        let kept = TaskTracker::new().spawn(async move {
            tokio::select! {
                () = asked.cancelled() => tasks.drain().await,
                error = tasks.failed() => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the process cannot go on and ends");
                    failed.cancel();
                    Err(error)
                }
            }
        });
        Self { drain, kept }
    }

    async fn drain(self) -> Result<(), WiringError> {
        self.drain.cancel();
        let ended = self.kept.await;
        Ok(ended.map_err(|error| WiringError::Ended(format!("the drain of ingest ended early: {error}")))??)
    }
}
