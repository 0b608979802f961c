//! Maintenance: `PUT /v1/maintenance` switches ingest off, `DELETE` on again, `GET` tells how it stands.
//!
//! While it is off every door refuses what adds to the lake with 503 `maintenance`; questions, exports and administration go
//! on, and so do the jobs: what was acknowledged is put into files at once, and the answers tell how much of it is not yet. The
//! word is kept in the store, so a restart and whoever takes the lake over find it.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tidemark_catalog::{
    CatalogError,
    lease::Lease,
    maintenance::{self, Closed, REASON_CHARS_MAX},
};
use tidemark_ingest::Ingest;
use tidemark_model::Kind;
use tidemark_proto::{By, Problem};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::{
    access::Touched,
    metrics::Metrics,
    reply::{self, answer},
};

/// Switches ingest off and on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Switch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    word: maintenance::Maintenance,
    ingest: Ingest,
    metrics: Metrics,
    lease: Lease,
    /// Held from reading or writing the word until it is done: two who switch do not leave the room as neither said.
    turn: Mutex<()>,
}

impl Switch {
    /// The switch of a process that owns the lake.
    #[must_use]
    pub fn of(word: maintenance::Maintenance, ingest: Ingest, metrics: Metrics, lease: Lease) -> Self {
        Self(Arc::new(Inner { word, ingest, metrics, lease, turn: Mutex::default() }))
    }

    /// Does as the store says now.
    ///
    /// # Errors
    /// [`CatalogError`]; nothing is switched then.
    pub async fn obey(&self) -> Result<Option<Closed>, CatalogError> {
        let _turn = self.0.turn.lock().await;
        let closed = self.0.word.look().await?;
        self.turn(closed.as_ref()).await;
        Ok(closed)
    }

    async fn begin(&self, by: &str, reason: &str) -> Result<Closed, CatalogError> {
        let (switch, by, reason) = (self.clone(), by.to_owned(), reason.to_owned());
        let begun = self.finish(async move {
            let closed = switch.0.word.begin(&by, &reason).await?;
            switch.turn(Some(&closed)).await;
            tracing::warn!(by, reason, since = %closed.since, "ingest is switched off for maintenance");
            Ok(closed)
        });
        begun.await
    }

    async fn end(&self, by: &str) -> Result<(), CatalogError> {
        let (switch, by) = (self.clone(), by.to_owned());
        let ended = self.finish(async move {
            switch.0.word.end().await?;
            switch.turn(None).await;
            tracing::warn!(by, "ingest is switched on again");
            Ok(())
        });
        ended.await
    }

    /// Says and does it to the end, also when whoever asked goes away: else the store would say one thing and the process do
    /// another. After an error, what the store says then is done.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CatalogError>> + Send + 'static,
    ) -> Result<T, CatalogError> {
        if !self.0.lease.is_held() {
            return Err(CatalogError::Lapsed);
        }
        let switch = self.clone();
        let (done, answer) = tokio::sync::oneshot::channel();
        TaskTracker::new().spawn(async move {
            let turn = switch.0.turn.lock().await;
            let said = work.await;
            drop(turn);
            if said.is_err()
                && let Err(error) = switch.obey().await
            {
                tracing::warn!(%error, "what the store says on maintenance is not known: ask for it again");
            }
            // Whoever asked may be gone.
            let _gone = done.send(said);
        });
        answer.await.unwrap_or(Err(CatalogError::Lapsed))
    }

    async fn turn(&self, closed: Option<&Closed>) {
        match closed {
            Some(closed) if self.0.ingest.close(&told(closed)).await => self.flush_soon(),
            Some(_) => {}
            None => self.0.ingest.open_again(),
        }
        self.0.metrics.set_maintenance(closed.is_some());
    }

    /// Whoever switches ingest off wants the log empty: it is not waited for until a flush is due.
    fn flush_soon(&self) {
        let ingest = self.0.ingest.clone();
        TaskTracker::new().spawn(async move {
            if let Err(error) = ingest.flush_all().await {
                tracing::warn!(%error, "not all that is acknowledged could be put into files: it is tried again when it is due");
            }
        });
    }

    fn shown(&self, closed: Option<&Closed>) -> Value {
        json!({
            "maintenance": closed.is_some(),
            "since": closed.map(|closed| closed.since.to_string()),
            "by": closed.map(|closed| closed.by.as_str()),
            "reason": closed.map(|closed| closed.reason.as_str()),
            "unflushed_bytes": self.0.ingest.unflushed_bytes(),
        })
    }
}

/// What those who send are told, behind "for maintenance".
fn told(closed: &Closed) -> String {
    let Closed { since, reason, .. } = closed;
    if reason.is_empty() { format!(" since {since}") } else { format!(" since {since} ({reason})") }
}

/// The route.
pub fn router(switch: Switch) -> Router {
    Router::new().route("/v1/maintenance", get(look).put(begin).delete(end)).with_state(switch)
}

/// The body of a `PUT`; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    reason: String,
}

async fn look(State(switch): State<Switch>) -> Response {
    let looked = switch.obey().await.map_err(|error| problem(&error));
    answer(looked.map(|closed| reply::json(&switch.shown(closed.as_ref()))))
}

async fn begin(State(switch): State<Switch>, By(by): By, body: Bytes) -> Response {
    let begun = async {
        let Wanted { reason } = reply::body(&body)?;
        if reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
            let detail = format!("a reason has at most {REASON_CHARS_MAX} visible characters");
            return Err(Problem::new(Kind::Invalid, "invalid_reason", detail));
        }
        let closed = switch.begin(by.id(), &reason).await.map_err(|error| problem(&error))?;
        let mut response = reply::json(&switch.shown(Some(&closed)));
        if !reason.is_empty() {
            response.extensions_mut().insert(Touched(reason));
        }
        Ok::<_, Problem>(response)
    };
    begun.await.unwrap_or_else(|problem: Problem| problem.into_response())
}

async fn end(State(switch): State<Switch>, By(by): By) -> Response {
    let ended = switch.end(by.id()).await.map_err(|error| problem(&error));
    answer(ended.map(|()| reply::json(&switch.shown(None))))
}

fn problem(error: &CatalogError) -> Problem {
    tracing::error!(error = error as &dyn std::error::Error, "the word on maintenance could not be read or written");
    Problem::new(error.kind(), "unavailable", error.to_string())
}
