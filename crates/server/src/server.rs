//! A whole server in one value: start it, ask where it listens, stop it. `serve`, `demo` and tests use the same.
//!
//! Starting: guard the addresses, open the ports (so that a wrong address fails before anything is touched), open the
//! rooms, then answer. Stopping goes the other way: `/ready` says 503, ports take nothing new, what is under way is
//! finished or dropped after `stop.drain_ms`, rooms put what is acknowledged into files.

use std::{net::SocketAddr, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    authority::Authority,
    config::{Environment, Listen, Settings},
    doors::{Door, Wire},
    guard::{Guard, Mode, Unguarded},
    health::Health,
    machine,
    ports::{Life, Port, PortError},
    wiring::{Parts, Rooms, WiringError},
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither token nor loopback.
    #[error(transparent)]
    Unguarded(#[from] Unguarded),
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
}

impl Server {
    /// Starts a server; returns when it answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: Settings, environment: &Environment) -> Result<Self, StartError> {
        let authority = Authority::new(&settings.auth);
        let guard = |address| Guard::of_port(&settings.auth, &authority, address);
        let guards = (guard(settings.http)?, guard(settings.grpc)?);
        let postgres = postgres_address(&settings);
        postgres.map(guard).transpose()?;
        let ports = (Port::open("http", settings.http).await?, Port::open("grpc", settings.grpc).await?);
        let postgres = match postgres {
            Some(address) => Some(Port::open("postgres", address).await?),
            None => None,
        };
        say_mode(guards.0.mode(), ports.0.address());
        let parts = Parts::of_process()?;
        let rooms = Rooms::open(&settings, environment, &parts).await?;
        let health =
            Health::new(settings.env.clone(), parts.clock.clone(), parts.metrics.clone(), rooms.store().clone());
        let life = Life::default();
        let connections = machine::fitted_connections(settings.connections.clone());
        let door = |wire, guard| Door {
            wire,
            guard,
            metrics: parts.metrics.clone(),
            ids: parts.ids.clone(),
            clock: parts.clock.clone(),
            body_pause_max: Duration::from_millis(settings.connections.body_timeout_ms),
        };
        let (http, grpc) = (ports.0.address(), ports.1.address());
        let routes = door(Wire::Http, guards.0).around(health.router().merge(rooms.http()));
        ports.0.serve(routes, connections.clone(), &life);
        ports.1.serve(door(Wire::Grpc, guards.1).around(rooms.grpc()), connections.clone(), &life);
        let address = postgres.as_ref().map(Port::address);
        #[cfg(feature = "postgres")]
        if let Some(port) = postgres {
            crate::postgres::serve(port, rooms.query(), (authority, parts.ids.as_ref()), &connections, &life);
        }
        Ok(Self { settings, http, grpc, postgres: address, life, health, rooms })
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

    /// Where every port is, as the line `ready` tells it.
    #[must_use]
    pub fn addresses(&self) -> String {
        let postgres = self.postgres.map(|address| format!(" postgres={address}")).unwrap_or_default();
        format!("http={} grpc={}{postgres}", self.http, self.grpc)
    }

    /// Is cancelled when the server can no longer be trusted: its log could not be synced, or another process owns the
    /// lake.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.rooms.failed()
    }

    /// Stops in order.
    ///
    /// # Errors
    /// When something acknowledged could not be put into files; it is still in the log.
    pub async fn stop(self) -> Result<(), WiringError> {
        self.health.stop();
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
    match settings.postgres {
        Listen::At(address) if cfg!(feature = "postgres") => Some(address),
        Listen::At(_) | Listen::Off => None,
    }
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
