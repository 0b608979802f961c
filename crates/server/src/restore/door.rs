//! Restore over HTTP: `POST /v1/{namespace}/{collection}/restore`.
//!
//! The answer is the report as JSON when it is done; with `Accept: application/x-ndjson` a line of progress after every
//! append, and last the report or the problem. A client that goes away ends it between two appends.

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemark_model::{Instant, Kind, Principal, Scope};
use tidemark_proto::{By, Problem};
use tidemark_query::{CollectionRef, Then};

use super::{Mode, Restorer, Run, Wanted};
use crate::reply;

const NDJSON: &str = "application/x-ndjson";

/// The route.
pub fn router(restorer: Restorer) -> Router {
    Router::new().route("/v1/{namespace}/{collection}/restore", post(restore)).with_state(restorer)
}

/// The body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    as_of: Option<String>,
    valid_as_of: Option<String>,
    snapshot: Option<String>,
    into: Option<String>,
    r#where: Option<String>,
    dry_run: bool,
    actor: Option<String>,
}

async fn restore(
    State(restorer): State<Restorer>,
    By(principal): By,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let wanted = path.map_err(|e| invalid("invalid_path", e.body_text())).and_then(|Path((namespace, collection))| {
        wanted(principal, collection_of(&format!("{namespace}.{collection}"))?, &body)
    });
    let run = match wanted {
        Ok(wanted) => restorer.begin(wanted).await,
        Err(problem) => Err(problem),
    };
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match run {
        Ok(run) if accepts.contains(NDJSON) => streamed(run),
        Ok(run) => whole(run).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

fn wanted(principal: Principal, source: CollectionRef, body: &[u8]) -> Result<Wanted, Problem> {
    let asked: Asked = reply::body(body)?;
    let instant = |text: &Option<String>| {
        let read = text.as_deref().map(Instant::parse).transpose();
        read.map_err(|error| invalid("invalid_instant", error.to_string()))
    };
    let into = asked.into.as_deref().map(collection_of).transpose()?;
    for of in into.iter().chain([&source]) {
        principal.check(Scope::Admin, &of.namespace)?;
    }
    Ok(Wanted {
        source,
        into,
        then: Then { as_of: instant(&asked.as_of)?, valid_as_of: instant(&asked.valid_as_of)? },
        snapshot: asked.snapshot,
        predicate: asked.r#where,
        mode: if asked.dry_run { Mode::Dry } else { Mode::Real },
        actor: asked.actor.unwrap_or_else(|| principal.id().to_owned()),
        principal,
    })
}

/// `namespace.collection`.
fn collection_of(text: &str) -> Result<CollectionRef, Problem> {
    text.parse().map_err(|why| invalid("invalid_path", why))
}

async fn whole(mut run: Run) -> Result<Response, Problem> {
    while run.step().await? {}
    Ok(reply::json(run.report()))
}

fn streamed(run: Run) -> Response {
    let lines = futures::stream::unfold(Some(run), |run| async move {
        let mut run = run?;
        Some(match run.step().await {
            Ok(true) => (line("progress", run.report()), Some(run)),
            Ok(false) => (line("restored", run.report()), None),
            Err(problem) => (line("error", &problem), None),
        })
    });
    (StatusCode::OK, [(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}

fn line(name: &str, what: &impl Serialize) -> Result<Bytes, std::convert::Infallible> {
    let mut text = json!({ name: what }).to_string();
    text.push('\n');
    Ok(text.into())
}

fn invalid(code: &'static str, detail: String) -> Problem {
    Problem::new(Kind::Invalid, code, detail)
}
