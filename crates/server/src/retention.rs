//! How long the past is kept, over HTTP: `PUT`, `GET` and `DELETE /v1/{namespace}/{collection}/retention` and
//! `/v1/{namespace}/retention`, and clean-up on demand, `POST /v1/{namespace}/{collection}/clean-up`.

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemark_cdc::{CleanedUp, Mode};
use tidemark_model::{CollectionName, Kind, Namespace, Retention};
use tidemark_proto::Problem;

use crate::{
    administration::{Administration, Kept},
    reply::{self, Names, answer, json, names, problem},
};

/// The routes.
pub fn router(administration: Administration) -> Router {
    Router::new()
        .route("/v1/{namespace}/retention", get(tell_namespace).put(say_of_namespace).delete(forget_namespace))
        .route("/v1/{namespace}/{collection}/retention", get(tell).put(say).delete(forget))
        .route("/v1/{namespace}/{collection}/clean-up", post(clean_up))
        .with_state(administration)
}

/// Whose past it is.
type Whose = (Namespace, Option<CollectionName>);
type Name = Result<Path<String>, PathRejection>;

async fn tell_namespace(State(rooms): State<Administration>, path: Name) -> Response {
    answer(of_namespace(path).map(|(namespace, _)| told(rooms.kept(&namespace, None))))
}

async fn tell(State(rooms): State<Administration>, path: Names) -> Response {
    answer(names(path).map(|(namespace, collection)| told(rooms.kept(&namespace, Some(&collection)))))
}

async fn say_of_namespace(State(rooms): State<Administration>, path: Name, body: Bytes) -> Response {
    answer(keep(&rooms, of_namespace(path), read(&body)).await)
}

async fn say(State(rooms): State<Administration>, path: Names, body: Bytes) -> Response {
    answer(keep(&rooms, of_collection(path), read(&body)).await)
}

async fn forget_namespace(State(rooms): State<Administration>, path: Name) -> Response {
    answer(keep(&rooms, of_namespace(path), Ok(Retention::default())).await)
}

async fn forget(State(rooms): State<Administration>, path: Names) -> Response {
    answer(keep(&rooms, of_collection(path), Ok(Retention::default())).await)
}

async fn keep(
    rooms: &Administration,
    whose: Result<Whose, Problem>,
    said: Result<Retention, Problem>,
) -> Result<Response, Problem> {
    let ((namespace, collection), said) = (whose?, said?);
    rooms.keep(&namespace, collection.as_ref(), said).await.map(told)
}

/// What was said, and what is in force by that.
fn told(Kept { said, in_force }: Kept) -> Response {
    json(&json!({ "said": said, "in_force": in_force }))
}

/// The body of a clean-up; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    history_window_s: Option<u64>,
    daily: Option<u64>,
    monthly: Option<u64>,
    /// Whether it is only told what would go.
    dry_run: bool,
}

/// What went, as people and programs see it.
#[derive(Debug, Serialize)]
struct Shown {
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_from: Option<String>,
    snapshots: Vec<String>,
    changes: u64,
    files: u64,
    bytes: u64,
    deleted: u64,
    waiting: u64,
}

async fn clean_up(State(rooms): State<Administration>, path: Names, body: Bytes) -> Response {
    let cleaned = async {
        let (namespace, collection) = names(path)?;
        let Asked { history_window_s, daily, monthly, dry_run } = reply::body(&body)?;
        let mode = if dry_run { Mode::Dry } else { Mode::Real };
        let asked = Retention { history_window_s, daily, monthly };
        let done = rooms.cdc.clean_up((&namespace, &collection), asked, mode).await;
        let CleanedUp { exact_from, snapshots, changes, files, bytes, deleted, waiting } =
            done.map_err(|error| problem(&error))?;
        let exact_from = exact_from.map(|at| at.to_string());
        Ok(json(&Shown { dry_run, exact_from, snapshots, changes, files, bytes, deleted, waiting }))
    };
    answer(cleaned.await)
}

fn of_namespace(path: Name) -> Result<Whose, Problem> {
    reply::namespace(path).map(|namespace| (namespace, None))
}

fn of_collection(path: Names) -> Result<Whose, Problem> {
    names(path).map(|(namespace, collection)| (namespace, Some(collection)))
}

fn read(body: &[u8]) -> Result<Retention, Problem> {
    let said: Retention = reply::object(body).map_err(|error| reply::unreadable(&error))?;
    let said = said.checked().map_err(|e| problem(&tidemark_cdc::Error::Retention(e)))?;
    if said.is_nothing() {
        let detail = "nothing is said: send history_window_s, daily or monthly, or DELETE to take back what was said";
        return Err(Problem::new(Kind::Invalid, "invalid_retention", detail));
    }
    Ok(said)
}
