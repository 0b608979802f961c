//! A whole server in one value: start it, ask where it listens, stop it. `serve`, `demo` and tests use the same.
//!
//! Starting: guard the addresses, open the ports (so that a wrong address fails before anything is touched), open the
//! rooms, then answer. Stopping goes the other way: `/ready` says 503 and streams are told to go, ports take nothing new, what is under way is
//! finished or dropped after `stop.drain_ms`, rooms put what is acknowledged into files.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use axum::Extension;
use tidemark_catalog::{Login, Tokens, audit::Deed};
use tidemark_model::Principal;

use crate::{
    audit::{self, Begun},
    authority::Authority,
    clock::{SystemClock, random_ids},
    config::{Auth, Environment, Listen, Settings},
    doors::{Door, Unfinished, Wire},
    guard::{Guard, Mode, Unguarded},
    health::Health,
    limits::Limits,
    machine, openapi,
    ports::{Life, Port, PortError},
    reload::{self, Reading, Reloader},
    standby::Standby,
    tls::{Speaks, Tls, TlsError, tell_end},
    tokens::{self, Office},
    wiring::{Parts, Rooms, WiringError, open_store},
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither token nor loopback.
    #[error(transparent)]
    Unguarded(#[from] Unguarded),
    /// What tokens there are could not be read.
    #[error(transparent)]
    Tokens(#[from] tidemark_catalog::CatalogError),
    /// TLS as it is set cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port is taken.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Measurements could not be registered.
    #[error("measurements could not be registered")]
    Metrics(#[from] prometheus::Error),
    /// A room did not open.
    #[error(transparent)]
    Wiring(#[from] WiringError),
}

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    http: SocketAddr,
    grpc: SocketAddr,
    /// None when it is off.
    postgres: Option<SocketAddr>,
    life: Life,
    health: Health,
    rooms: Rooms,
    reloader: Reloader,
}

impl Server {
    /// Starts a server; returns when it answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: Settings, environment: &Environment) -> Result<Self, StartError> {
        Self::start_reading(settings, environment, Reading::default()).await
    }

    /// The same, of a server whose settings can be read again.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_reading(
        settings: Settings,
        environment: &Environment,
        reading: Reading,
    ) -> Result<Self, StartError> {
        check_guarded(&settings, environment).await?;
        let (tls, postgres_tls) = (Tls::of(&settings.tls, Speaks::Http)?, Tls::of(&settings.tls, Speaks::Postgres)?);
        if let Some(certificate) = &settings.tls.certificate {
            tell_end(certificate);
        }
        let ports = (Port::open("http", settings.http).await?, Port::open("grpc", settings.grpc).await?);
        let postgres = open_postgres(&settings).await?;
        let parts = Parts::of_process()?;
        let ports = (ports.0.with_tls(tls.clone()), ports.1.with_tls(tls));
        let rooms = if settings.standby {
            let doors = [&ports.0, &ports.1];
            let standby = Standby::begin(doors, postgres.as_ref(), (&settings, environment, &parts)).await?;
            let rooms = Rooms::open(&settings, environment, &parts).await?;
            standby.end().await;
            rooms
        } else {
            Rooms::open(&settings, environment, &parts).await?
        };
        let authority =
            Authority::new(&settings.auth, rooms.tokens().clone(), parts.clock.clone(), parts.metrics.tokens_refused());
        let limits = Limits::new(&settings.limits, parts.metrics.rate_limited());
        rooms.limit(&limits);
        let guard = |address| Guard::of_port(&settings.auth, &authority, address);
        let guards = (guard(ports.0.address())?, guard(ports.1.address())?);
        postgres.as_ref().map(|port| guard(port.address())).transpose()?;
        say_mode(guards.0.mode(), ports.0.address());
        let health =
            Health::new(settings.env.clone(), parts.clock.clone(), parts.metrics.clone(), rooms.store().clone())
                .holding(rooms.lease().clone());
        let login: Arc<dyn Login> = authority.clone();
        let grpc_routes = rooms.grpc(&health, Arc::clone(&login))?;
        let life = Life::default();
        rooms.measure(&settings, &life, &parts.metrics);
        let connections = machine::fitted_connections(settings.connections.clone());
        let unfinished = Unfinished::new(settings.ingest.bodies_bytes_max, parts.metrics.unfinished_refused());
        let door = |wire, guard| Door {
            wire,
            guard,
            limits: Arc::clone(&limits),
            audit: Some(rooms.audit().clone()),
            lease: Some(rooms.lease().clone()),
            metrics: parts.metrics.clone(),
            ids: parts.ids.clone(),
            clock: parts.clock.clone(),
            body_pause_max: Duration::from_millis(settings.connections.body_timeout_ms),
            unfinished: unfinished.clone(),
        };
        let (http, grpc) = (ports.0.address(), ports.1.address());
        let office =
            Office { tokens: rooms.tokens().clone(), authority: Arc::clone(&authority), clock: parts.clock.clone() };
        let counting = (Arc::clone(&authority), Arc::clone(&limits));
        let reloader = Reloader::new(settings.clone(), reading, counting, parts.metrics.clone());
        let routes = health
            .router()
            .merge(openapi::router())
            .merge(rooms.http().layer(Extension(login)))
            .merge(tokens::router(office))
            .merge(reload::router(reloader.clone()));
        let routes = door(Wire::Http, guards.0).around(routes.merge(audit::router(rooms.audit().clone())));
        ports.0.serve(routes, connections.clone(), &life);
        ports.1.serve(door(Wire::Grpc, guards.1).around(grpc_routes), connections.clone(), &life);
        let address = postgres.as_ref().map(Port::address);
        #[cfg(feature = "postgres")]
        if let Some(port) = postgres {
            let parts = (authority, limits, parts.ids.as_ref());
            crate::postgres::serve(port.with_tls(postgres_tls), rooms.query(), parts, &connections, &life);
        }
        Ok(Self { settings, http, grpc, postgres: address, life, health, rooms, reloader })
    }

    /// Whether the ports speak TLS.
    #[must_use]
    pub const fn speaks_tls(&self) -> bool {
        self.settings.tls.certificate.is_some()
    }

    /// Where HTTP is spoken.
    #[must_use]
    pub const fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where gRPC is spoken.
    #[must_use]
    pub const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where PostgreSQL's protocol is spoken, if it is.
    #[must_use]
    pub const fn postgres(&self) -> Option<SocketAddr> {
        self.postgres
    }

    /// Is cancelled when the server can no longer be trusted: its log could not be synced, or another process owns the
    /// lake.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.rooms.failed()
    }

    /// Reads the settings anew because of a signal; recorded as what this process did itself.
    pub fn reload_on(&self, signal: &'static str) -> impl Future<Output = ()> + Send + use<> {
        let (reloader, audit) = (self.reloader.clone(), self.rooms.audit().clone());
        async move {
            let who = Principal::LAKE.to_owned();
            let deed = Deed { who, action: "reload", namespace: None, object: None, door: "signal", request: None };
            let begun = Begun::new(audit, deed);
            let done = reloader.reload(signal).await;
            // It is in the log: nobody waits for an answer.
            let _told = begun.ended(done.as_ref().map_or_else(reload::ReloadError::code, |_changes| "ok")).await;
        }
    }

    /// Stops in order.
    ///
    /// # Errors
    /// When something acknowledged could not be put into files; it is still in the log.
    pub async fn stop(self) -> Result<(), WiringError> {
        self.health.stop();
        self.rooms.go_away(self.settings.stop.streams());
        tokio::time::sleep(Duration::from_millis(self.settings.stop.announce_ms)).await;
        self.life.stop.cancel();
        self.life.tasks.close();
        if tokio::time::timeout(self.settings.stop.drain(), self.life.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.life.tasks.len(), "requests under way were dropped: raise stop.drain_ms");
            self.life.abandon.cancel();
            self.life.tasks.wait().await;
        }
        self.rooms.drain().await
    }
}

/// Where the port of PostgreSQL's protocol is to be, if this binary speaks it.
fn postgres_address(settings: &Settings) -> Option<SocketAddr> {
    match settings.postgres.unwrap_or(Listen::DEFAULT_POSTGRES) {
        Listen::At(address) if cfg!(feature = "postgres") => Some(address),
        Listen::At(_) | Listen::Off => None,
    }
}

/// Opens the port of PostgreSQL's protocol. Where nobody said where it is to be and its usual place is taken, there is
/// none: a second server on the machine starts as it did before there was this port.
async fn open_postgres(settings: &Settings) -> Result<Option<Port>, PortError> {
    let Some(address) = postgres_address(settings) else { return Ok(None) };
    match Port::open("postgres", address).await {
        Ok(port) => Ok(Some(port)),
        Err(error) if settings.postgres.is_none() => {
            tracing::warn!(%error, "PostgreSQL's protocol is not served");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Refuses an address that strangers reach, where no token is asked for, before anything is opened or taken over.
async fn check_guarded(settings: &Settings, environment: &Environment) -> Result<(), StartError> {
    let Auth { token, allow_unauthenticated, .. } = &settings.auth;
    let mut addresses = [settings.http, settings.grpc].into_iter().chain(postgres_address(settings));
    let exposed = addresses.find(|address| !address.ip().is_loopback());
    let Some(address) = exposed.filter(|_| token.is_none() && !allow_unauthenticated) else { return Ok(()) };
    let store = open_store(settings, environment).map_err(WiringError::from)?;
    let tokens = Tokens::of(&store, Arc::new(SystemClock), Arc::new(random_ids()));
    tokens.refresh().await?;
    if tokens.are_in_use() { Ok(()) } else { Err(Unguarded(address).into()) }
}

fn say_mode(mode: Mode, http: SocketAddr) {
    match mode {
        Mode::Token => tracing::info!(%http, "every request has to carry the token"),
        Mode::Loopback => {
            tracing::info!(%http, "no token is set: only this machine is served, host and origin are checked")
        }
        Mode::Open => tracing::warn!(%http, "no token is set and everyone is served, as --allow-unauthenticated says"),
    }
}
