//! The audit trail at the doors: an administrative action is recorded before its answer goes out, however it ended.
//!
//! An action whose client went away is recorded as `abandoned`: what it had done until then stays. What could not be
//! recorded is answered 503, so that nothing is done in silence.

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemark_catalog::{
    Audit,
    audit::{Deed, Record},
};
use tidemark_model::{Kind, Scope};
use tidemark_proto::{By, Problem};
use tokio_util::task::TaskTracker;

/// How many records are told when nobody says.
const LIMIT_DEFAULT: usize = 100;
/// How many are told at most.
const LIMIT_MAX: usize = 1000;
/// The outcome of what nobody waited for.
const ABANDONED: &str = "abandoned";

/// An action that has begun. Dropped before it ended it is recorded as abandoned.
#[derive(Debug)]
pub struct Begun {
    audit: Audit,
    deed: Option<Deed>,
}

impl Begun {
    /// Begins one.
    #[must_use]
    pub const fn new(audit: Audit, deed: Deed) -> Self {
        Self { audit, deed: Some(deed) }
    }

    /// What it was about is known only now.
    #[must_use]
    pub fn touching(mut self, object: Option<String>) -> Self {
        if let (Some(deed), Some(object)) = (&mut self.deed, object) {
            deed.object = Some(object);
        }
        self
    }

    /// Records how it ended.
    ///
    /// # Errors
    /// 503 when it could not be recorded.
    pub async fn ended(mut self, outcome: &str) -> Result<(), Problem> {
        let Some(deed) = self.deed.clone() else { return Ok(()) };
        let recorded = self.audit.record(deed, outcome).await;
        // From here on there is nothing to abandon; while the record was written there was.
        self.deed = None;
        recorded.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an action could not be recorded");
            let detail = format!("the action ended ({outcome}) and could not be recorded in the audit trail: {error}");
            Problem::new(Kind::Unavailable, "not_audited", detail)
        })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(deed) = self.deed.take() else { return };
        let audit = self.audit.clone();
        let record = async move {
            if let Err(error) = audit.record(deed, ABANDONED).await {
                tracing::error!(%error, "an abandoned action could not be recorded");
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            TaskTracker::new().spawn_on(record, &runtime);
        }
    }
}

/// The route `GET /v1/audit?limit=n`: the newest records first.
pub fn router(audit: Audit) -> Router {
    Router::new().route("/v1/audit", get(list)).with_state(audit)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
}

async fn list(
    State(audit): State<Audit>,
    By(by): By,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    by.check_scope(Scope::Admin)?;
    let Query(Asked { limit }) = asked.map_err(|e| Problem::new(Kind::Invalid, "invalid_parameter", e.body_text()))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let records = audit.seen(&by, limit).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the audit trail could not be read");
        Problem::new(error.kind(), "unavailable", error.to_string())
    })?;
    let records: Vec<Value> = records.iter().map(shown).collect();
    let body = json!({ "records": records }).to_string();
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn shown(record: &Record) -> Value {
    json!({
        "at": record.at.to_string(),
        "who": record.who,
        "action": record.action,
        "namespace": record.namespace,
        "object": record.object,
        "door": record.door,
        "request": record.request,
        "outcome": record.outcome,
    })
}
