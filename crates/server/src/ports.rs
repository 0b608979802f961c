//! Ports: accepting connections and speaking HTTP/1.1 and HTTP/2 on them, gRPC included.
//!
//! All ports run the same loop. A connection has to send its first byte and each head of a request in time, is closed
//! when its peer no longer answers pings, and on shutdown finishes what it has begun.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, http::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{config::Connections, tls::Tls};

/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// The largest head of a request, bytes.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// What a peer may send ahead on one HTTP/2 stream, bytes.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a peer may send ahead on one HTTP/2 connection, bytes.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {name} port {address} could not be opened: {source}; choose another with --{name}, or 0 for a free one")]
pub struct PortError {
    /// `http`, `grpc` or `postgres`.
    name: &'static str,
    /// The address asked for.
    address: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// An open port that nobody answers on yet.
#[derive(Debug)]
pub struct Port {
    name: &'static str,
    address: SocketAddr,
    listener: Arc<TcpListener>,
    tls: Option<Tls>,
}

/// Whose connection a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What the connections of a port listen to while they live.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// Finish what has begun, take nothing new.
    pub stop: CancellationToken,
    /// Drop everything.
    pub abandon: CancellationToken,
    /// Counts whoever is still alive.
    pub tasks: TaskTracker,
    /// Counts the connections of each port.
    pub open: Open,
}

/// How many connections each port has, and how many it may have. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Open(Arc<Mutex<Vec<Opened>>>);

/// A port, what counts its connections, and the most it may have at once.
type Opened = (&'static str, TaskTracker, usize);

impl Open {
    /// Every port: its name, its connections, the most it may have at once.
    #[must_use]
    pub fn ports(&self) -> Vec<(&'static str, usize, usize)> {
        let ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ports.iter().map(|(name, connections, max)| (*name, connections.len(), *max)).collect()
    }

    /// What counts the connections of a port from now on, one token each.
    fn begin(&self, name: &'static str, max: usize) -> TaskTracker {
        let connections = TaskTracker::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, connections.clone(), max));
        connections
    }
}

impl Port {
    /// Opens a port.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn open(name: &'static str, address: SocketAddr) -> Result<Self, PortError> {
        let failed = |source| PortError { name, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { name, address, listener: Arc::new(listener), tls: None })
    }

    /// The address it really has.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, speaking TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The same port once more, for whoever answers on it first.
    pub(crate) fn again(&self) -> Self {
        let Self { name, address, listener, tls } = self;
        Self { name, address: *address, listener: Arc::clone(listener), tls: tls.clone() }
    }

    /// The TLS that it is to speak.
    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// Answers connections with `router` until `life` stops.
    pub fn serve(self, router: Router, limits: Connections, life: &Life) {
        let (builder, lives) = (Arc::new(builder(&limits)), life.clone());
        let first_byte = Duration::from_millis(limits.header_timeout_ms);
        self.hand(limits.max, life, move |stream, peer, tls| {
            let (router, builder, life) = (router.clone(), Arc::clone(&builder), lives.clone());
            async move { connection((stream, peer, tls), router, &builder, first_byte, &life).await }
        });
    }

    /// Hands every connection to whoever speaks with it, so many at once, until `life` stops.
    pub fn hand<Spoken>(
        self,
        connections_max: usize,
        life: &Life,
        speak: impl Fn(TcpStream, Peer, Option<Tls>) -> Spoken + Send + 'static,
    ) where
        Spoken: Future<Output = Result<(), Broken>> + Send + 'static,
    {
        life.tasks.spawn(accept(self, connections_max, speak, life.clone()));
    }
}

/// Why a connection ended early.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn accept<Spoken>(
    port: Port,
    connections_max: usize,
    speak: impl Fn(TcpStream, Peer, Option<Tls>) -> Spoken,
    life: Life,
) where
    Spoken: Future<Output = Result<(), Broken>> + Send + 'static,
{
    let connections_max = connections_max.clamp(1, Semaphore::MAX_PERMITS);
    let (places, open) = (Arc::new(Semaphore::new(connections_max)), life.open.begin(port.name, connections_max));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, port.listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = life.stop.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (spoken, lives) = (speak(stream, Peer(peer), port.tls.clone()), life.clone());
                let counted = open.token();
                life.tasks.spawn(async move {
                    let (_place, _counted) = (place, counted);
                    let ended = tokio::select! {
                        () = lives.abandon.cancelled() => Ok(()),
                        ended = spoken => ended,
                    };
                    if let Err(error) = ended {
                        tracing::debug!(port = port.name, %peer, error = %error, "connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(port = port.name, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from its first byte to its end.
async fn connection(
    (stream, peer, tls): (TcpStream, Peer, Option<Tls>),
    router: Router,
    builder: &Builder<TokioExecutor>,
    first_byte: Duration,
    life: &Life,
) -> Result<(), Broken> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    tokio::select! {
        () = life.stop.cancelled() => return Ok(()),
        peeked = tokio::time::timeout(first_byte, stream.peek(&mut first)) => if peeked?? == 0 { return Ok(()) },
    }
    match tls {
        Some(tls) => talk(tls.accept(stream).await?, peer, router, builder, life).await,
        None => talk(stream, peer, router, builder, life).await,
    }
}

/// Requests and answers, in the clear or inside of TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    router: Router,
    builder: &Builder<TokioExecutor>,
    life: &Life,
) -> Result<(), Broken> {
    let router = TowerToHyperService::new(router.map_request(told(peer)));
    let mut conn = pin!(builder.serve_connection(TokioIo::new(stream), router));
    tokio::select! {
        ended = conn.as_mut() => ended,
        () = life.stop.cancelled() => {
            conn.as_mut().graceful_shutdown();
            conn.await
        }
    }
}

/// Tells a request whose connection it came over.
fn told<B>(peer: Peer) -> impl Fn(Request<B>) -> Request<B> + Clone {
    move |mut request| {
        request.extensions_mut().insert(peer);
        request
    }
}

fn builder(limits: &Connections) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let keepalive = Duration::from_secs(limits.keepalive_s.max(1));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_timeout_ms.max(1)));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(keepalive)
        .keep_alive_timeout(keepalive)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}

#[cfg(test)]
mod tests;
