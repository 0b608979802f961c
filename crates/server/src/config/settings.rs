//! What can be set. Every key stands in `tidemark.toml` under the same name.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ConfigError, Listen, LogPlace, Secret, Traces};

/// The longest window of a log in the store, ms.
const WINDOW_MS_MAX: u64 = 60_000;
/// The shortest lease, ms.
const LEASE_MS_MIN: u64 = 300;

/// Settings of one process.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of the embedded store (`lake`) and of the log (`log`). Default `./tidemark-data`.
    pub data: PathBuf,
    /// URL of the store: `file:///path`, `s3://bucket/prefix`, `memory://`. Default: `{data}/lake`.
    pub store: Option<String>,
    /// When a store that is neither this machine's disk nor its memory is asked whether it creates once: at each `start`, or
    /// `never`. Default `start`.
    pub store_check: StoreCheck,
    /// Directory of the log, or `object`: in the store, so that no disk is needed. Default: `{data}/log`.
    pub log: Option<LogPlace>,
    /// Wait for as long as another process owns the lake, and take over when it ends. Default false.
    pub standby: bool,
    /// Address of the HTTP port; port 0 picks a free one. Default `127.0.0.1:7070`.
    pub http: SocketAddr,
    /// Address of the gRPC port; port 0 picks a free one. Default `127.0.0.1:7071`.
    pub grpc: SocketAddr,
    /// Address of the port of PostgreSQL's protocol; port 0 picks a free one, `off` opens none. Default `127.0.0.1:7072` if
    /// that is free, and none, with a warning, if it is taken.
    pub postgres: Option<Listen>,
    /// Name of the deployment, shown by `/health`. Default `development`.
    pub env: String,
    /// Who may ask.
    pub auth: Auth,
    /// TLS on every port.
    pub tls: Tls,
    /// Limits of connections.
    pub connections: Connections,
    /// What a client may do in a minute.
    pub limits: Limits,
    /// A log in the store.
    pub object_log: ObjectLog,
    /// How long the process may be silent before another takes over.
    pub lease: Lease,
    /// How the process ends.
    pub stop: Stop,
    /// Where logs go and what they look like.
    pub logs: Logs,
    /// Where traces go.
    pub traces: Traces,
    /// Options of the object store, such as `aws_endpoint`; over the standard `AWS_*` variables. Default none.
    pub object_store: BTreeMap<String, Secret>,
    /// Settings of the catalog.
    pub catalog: tidemark_catalog::catalog::Config,
    /// Settings of the ingest room.
    pub ingest: tidemark_ingest::Config,
    /// Settings of the change room.
    pub cdc: tidemark_cdc::Config,
    /// Settings of published tables.
    pub publish: tidemark_catalog::publish::Config,
    /// Settings of the query room.
    pub query: tidemark_query::Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "./tidemark-data".into(),
            store: None,
            store_check: StoreCheck::Start,
            log: None,
            standby: false,
            http: SocketAddr::from(([127, 0, 0, 1], 7070)),
            grpc: SocketAddr::from(([127, 0, 0, 1], 7071)),
            postgres: None,
            env: "development".to_owned(),
            auth: Auth::default(),
            tls: Tls::default(),
            connections: Connections::default(),
            limits: Limits::default(),
            object_log: ObjectLog::default(),
            lease: Lease::default(),
            stop: Stop::default(),
            logs: Logs::default(),
            traces: Traces::default(),
            object_store: BTreeMap::new(),
            catalog: tidemark_catalog::catalog::Config::default(),
            ingest: tidemark_ingest::Config::default(),
            cdc: tidemark_cdc::Config::default(),
            publish: tidemark_catalog::publish::Config::default(),
            query: tidemark_query::Config::default(),
        }
    }
}

/// When the store is asked whether a lake can be kept in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreCheck {
    /// At each start.
    Start,
    /// Never: whoever runs it knows the store.
    Never,
}

/// Who may ask.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The root token; may be `file:/path`. Default none: only loopback is served.
    pub token: Option<Secret>,
    /// Serve without a token on any address. Default false.
    pub allow_unauthenticated: bool,
    /// Origins of web pages that may ask besides the server's own, such as `https://app.example.com`. Default none.
    pub allowed_origins: Vec<String>,
}

/// TLS on every port. Files are PEM; they are read again when they change.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate, with those between it and its root behind it. Default none: nothing is encrypted.
    pub certificate: Option<PathBuf>,
    /// Its private key. Default none.
    pub key: Option<PathBuf>,
    /// Certificates of those who sign clients' certificates; every client then needs one. Default none.
    pub client_ca: Option<PathBuf>,
}

/// Limits of connections; the same for both ports.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections at once per port; more wait in the system's queue. Default 1024.
    pub max: usize,
    /// Milliseconds in which the head of a request must arrive. Default 10,000.
    pub header_timeout_ms: u64,
    /// Milliseconds a request's body may pause. Default 30,000.
    pub body_timeout_ms: u64,
    /// Seconds between HTTP/2 pings, and TCP's own on the PostgreSQL port, on a connection that is still. Default 20.
    pub keepalive_s: u64,
    /// HTTP/2 streams at once per connection. Default 256.
    pub streams_max: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self { max: 1024, header_timeout_ms: 10_000, body_timeout_ms: 30_000, keepalive_s: 20, streams_max: 256 }
    }
}

/// What a client (a token, or an address that has none) may do in a minute.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests of HTTP and gRPC, and statements over Postgres. Default no limit.
    pub requests_per_minute: Option<u32>,
    /// Records of requests that write. Default no limit.
    pub events_per_minute: Option<u32>,
}

/// A log in the store.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectLog {
    /// Milliseconds from the beginning of one object to that of the next, at least: meanwhile requests gather, and each
    /// object costs one request to the store. Default 100.
    pub window_ms: u64,
}

impl Default for ObjectLog {
    fn default() -> Self {
        Self { window_ms: 100 }
    }
}

/// The lease on the lake: how others learn that its owner is alive.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lease {
    /// Milliseconds that the owner may be silent before another may take over; it speaks three times in that time, each a
    /// request to the store. Default 10,000, at least 300.
    pub time_ms: u64,
}

impl Default for Lease {
    fn default() -> Self {
        Self { time_ms: 10_000 }
    }
}

/// How the process ends.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// Milliseconds that `/ready` says 503 before the ports close, for load balancers. Default 0.
    pub announce_ms: u64,
    /// Milliseconds that requests under way are given. Default 20,000.
    pub drain_ms: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { announce_ms: 0, drain_ms: 20_000 }
    }
}

impl Stop {
    /// How long requests under way are given.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    /// How long streams of batches are given once they were told to go: half of what requests are.
    #[must_use]
    pub fn streams(&self) -> Duration {
        Duration::from_millis(self.announce_ms + self.drain_ms / 2)
    }
}

/// Where logs go and what they look like. They go to standard error, always.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// `pretty` or `json`. Default `pretty`.
    pub format: LogFormat,
    /// Levels, as `tracing` reads them: `info`, `warn,tidemark_ingest=debug`. Default `info`.
    pub filter: String,
}

impl Default for Logs {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".to_owned() }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// The URL or directory of the store, as people read it.
    #[must_use]
    pub fn store_name(&self) -> String {
        self.store.clone().unwrap_or_else(|| self.data.join("lake").display().to_string())
    }

    /// The directory of the log; none where it lies in the store.
    #[must_use]
    pub fn log_directory(&self) -> Option<PathBuf> {
        match &self.log {
            Some(LogPlace::Object) => None,
            Some(LogPlace::Directory(directory)) => Some(directory.clone()),
            None => Some(self.data.join("log")),
        }
    }

    /// Replaces every `file:` secret by its content.
    pub(super) fn read_secrets(&mut self) -> Result<(), ConfigError> {
        let refused = |key: &str| {
            let key = key.to_owned();
            move |reason| ConfigError::Secret { key, reason }
        };
        if let Some(token) = self.auth.token.take() {
            self.auth.token = Some(token.read().map_err(refused("auth.token"))?);
        }
        for (key, secret) in &mut self.object_store {
            *secret = secret.clone().read().map_err(refused(&format!("object_store.{key}")))?;
        }
        Ok(())
    }

    /// Checks what no setting knows by itself.
    pub(super) fn check_together(&self) -> Result<(), ConfigError> {
        if self.standby && self.log_directory().is_some() {
            return Err(ConfigError::Together(
                "standby needs --log object: what the log of another machine holds on its disk cannot be taken over"
                    .to_owned(),
            ));
        }
        if self.object_log.window_ms > WINDOW_MS_MAX {
            let window_ms = self.object_log.window_ms;
            return Err(ConfigError::Together(format!(
                "object_log.window_ms = {window_ms} would hold every acknowledgement up for that long: give at most \
                 {WINDOW_MS_MAX}"
            )));
        }
        if self.lease.time_ms < LEASE_MS_MIN {
            let time_ms = self.lease.time_ms;
            return Err(ConfigError::Together(format!(
                "lease.time_ms = {time_ms} cannot be held: give {LEASE_MS_MIN} or more"
            )));
        }
        self.traces.check()?;
        let Limits { requests_per_minute, events_per_minute } = self.limits;
        for (key, most) in [("requests", requests_per_minute), ("events", events_per_minute)] {
            if most == Some(0) {
                let said = "would let nobody do anything: leave it out for no limit";
                return Err(ConfigError::Together(format!("limits.{key}_per_minute = 0 {said}")));
            }
        }
        let longest = self.query.timeout_s.max(self.query.bulk_timeout_s);
        let least = longest.saturating_mul(2);
        let graces = [("cdc.grace_s", self.cdc.grace_s), ("ingest.grace_s", self.ingest.grace_s)];
        let Some((key, grace)) = graces.into_iter().find(|(_, grace)| *grace < least) else { return Ok(()) };
        Err(ConfigError::Together(format!(
            "{key} = {grace} would delete files that a query of {longest} s may still read: set it to {least} or more, or lower \
             query.bulk_timeout_s and query.timeout_s"
        )))
    }
}
