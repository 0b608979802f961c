//! What the process says about itself: `/health`, `/ready`, `/metrics`, `/version`, and gRPC's health protocol.
//!
//! *Alive* means that it answers. *Ready* means that it takes work: not stopping, and the store answers; the store is
//! asked at most once per [`STORE_ASKED_EVERY`], however often `/ready` is.

mod grpc;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tidemark_catalog::lease::Lease;
use tidemark_model::{Clock, Instant, Kind};
use tidemark_proto::Problem;
use tidemark_storage::{Store, paths};
use tokio::sync::Mutex;

use crate::metrics::{Metrics, VERSION};

/// How often the store is asked whether it answers.
const STORE_ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long the store may take.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What the process knows of its own state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: String,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    store: Store,
    stopping: AtomicBool,
    lease: OnceLock<Lease>,
    asked: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// Of a process that serves.
    #[must_use]
    pub fn new(env: String, clock: Arc<dyn Clock>, metrics: Metrics, store: Store) -> Self {
        let (stopping, lease) = (AtomicBool::new(false), OnceLock::new());
        Self(Arc::new(Inner { env, clock, metrics, store, stopping, lease, asked: Mutex::default() }))
    }

    /// The same, ready only while the lake is held.
    #[must_use]
    pub fn holding(self, lease: Lease) -> Self {
        self.0.lease.get_or_init(|| lease);
        self
    }

    /// From now on `/ready` answers 503.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/version", get(version))
            .with_state(self.clone())
    }

    /// Why the process takes no work, if it does not.
    async fn unready(&self) -> Option<String> {
        if self.is_stopping() {
            return Some("the server is stopping: use another one".to_owned());
        }
        if self.0.lease.get().is_some_and(|lease| !lease.is_held()) {
            return Some("the lease on the lake has run out: another server may own it".to_owned());
        }
        let mut asked = self.0.asked.lock().await;
        let now = self.0.clock.now();
        let age = asked.as_ref().and_then(|(at, _)| u128::try_from(now.micros() - at.micros()).ok());
        let answer = match (&*asked, age) {
            (Some((_, answer)), Some(age)) if age < STORE_ASKED_EVERY.as_micros() => answer.clone(),
            _ => {
                let answer = self.ask_store().await;
                *asked = Some((now, answer.clone()));
                answer
            }
        };
        answer.err()
    }

    /// Whether the process takes work, without asking the store: it counts as well until it was found not to be.
    async fn is_ready_so_far(&self) -> bool {
        let is_held = self.0.lease.get().is_none_or(Lease::is_held);
        let asked = self.0.asked.lock().await;
        is_held && !self.is_stopping() && asked.as_ref().is_none_or(|(_, answer)| answer.is_ok())
    }

    async fn ask_store(&self) -> Result<(), String> {
        match tokio::time::timeout(STORE_ANSWERS_WITHIN, self.0.store.get(&paths::format())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the store does not answer: {error}")),
            Err(_late) => Err(format!("the store did not answer within {} s", STORE_ANSWERS_WITHIN.as_secs())),
        }
    }
}

async fn health(State(health): State<Health>) -> Response {
    let ts = health.0.clock.now().to_string();
    answer(&json!({"status": "ok", "service": "tidemark", "ts": ts, "env": health.0.env, "version": VERSION}))
}

async fn ready(State(health): State<Health>) -> Response {
    match health.unready().await {
        // Questions are answered all the same: whoever balances load is not to turn away.
        None => answer(&json!({"status": "ready", "maintenance": health.0.metrics.is_maintenance()})),
        Some(why) => Problem::new(Kind::Unavailable, "not_ready", why).into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    health.0.metrics.ready(health.is_ready_so_far().await);
    measured(&health.0.metrics)
}

/// All measurements, for Prometheus.
pub(crate) fn measured(metrics: &Metrics) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.text()).into_response()
}

pub(crate) async fn version() -> Response {
    answer(&json!({"service": "tidemark", "version": VERSION}))
}

pub(crate) fn answer(document: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}
