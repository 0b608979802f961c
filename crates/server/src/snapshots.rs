//! Snapshots over HTTP: `POST`, `GET` and `DELETE /v1/{namespace}/{collection}/snapshots`.
//!
//! Taking one composes two rooms: ingest puts what is acknowledged into files, then the change room folds exactly up to
//! the instant. Without an instant it is the last closed one, not below any acknowledgement given before the request.

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_catalog::{LiveTail as _, View, manifest::Snapshot, view::Held};
use tidemark_model::{Instant, Kind, Table};
use tidemark_proto::Problem;

use crate::{
    administration::Administration,
    reply::{self, Names, answer, invalid_path, json, names},
};

/// How long the present may take to close.
const CLOSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The routes.
pub fn router(administration: Administration) -> Router {
    Router::new()
        .route("/v1/{namespace}/{collection}/snapshots", get(list).post(take))
        .route("/v1/{namespace}/{collection}/snapshots/{name}", delete(forget))
        .with_state(administration)
}

/// The body of a `POST`; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Its name; without one it is named after the instant.
    name: Option<String>,
    /// The instant, RFC 3339 with a zone; without one the present.
    as_of: Option<String>,
}

/// A snapshot as people and programs see it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    kind: &'static str,
    /// Exactly as of this system time.
    instant: String,
    taken_at: String,
    rows: u64,
    bytes: u64,
    schema_id: u32,
    /// Of a period in which nothing changed: the one before, whose state is still the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    derived_from: Option<String>,
    files: Vec<File>,
}

/// One file of a snapshot.
#[derive(Debug, Serialize)]
struct File {
    path: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

impl From<&Held<'_>> for Shown {
    fn from(held: &Held<'_>) -> Self {
        let derived_from = held.is_derived().then(|| held.stored.name.clone());
        Self { name: held.name.clone(), instant: held.instant.to_string(), derived_from, ..Self::from(held.stored) }
    }
}

impl From<&Snapshot> for Shown {
    fn from(snapshot: &Snapshot) -> Self {
        let files = snapshot.base.files().map(|file| File {
            path: file.path.clone(),
            rows: file.rows,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
        });
        Self {
            name: snapshot.name.clone(),
            kind: snapshot.kind.as_str(),
            instant: snapshot.instant.to_string(),
            taken_at: snapshot.taken_at.to_string(),
            rows: snapshot.base.rows,
            bytes: snapshot.base.bytes(),
            schema_id: snapshot.base.schema.id,
            derived_from: None,
            files: files.collect(),
        }
    }
}

async fn list(State(rooms): State<Administration>, path: Names) -> Response {
    let listed = async {
        let (namespace, collection) = names(path)?;
        rooms.collection(&namespace, &collection)?;
        let (upto, table) = (rooms.ingest.now(), Table::Collection(collection));
        let closed = rooms.ingest.close_instant(upto, CLOSE_WITHIN).await;
        closed.map_err(|late| Problem::new(Kind::Unavailable, "unavailable", late.to_string()))?;
        let view = View::read(&rooms.catalog, &rooms.ingest, &namespace, &table).await;
        let view = view.map_err(|behind| Problem::new(Kind::Unavailable, "unavailable", behind.to_string()))?;
        let snapshots: Vec<Shown> = view.snapshots(upto).iter().map(Shown::from).collect();
        Ok(json(&serde_json::json!({ "snapshots": snapshots })))
    };
    answer(listed.await)
}

async fn take(State(rooms): State<Administration>, path: Names, body: Bytes) -> Response {
    let taken = async {
        let (namespace, collection) = names(path)?;
        let wanted: Wanted = reply::body(&body)?;
        let at = wanted.as_of.as_deref().map(Instant::parse).transpose();
        let at = at.map_err(|e| Problem::new(Kind::Invalid, "invalid_instant", e.to_string()))?;
        rooms.take_snapshot((&namespace, &collection), wanted.name.as_deref(), at).await
    };
    answer(taken.await.map(|snapshot| json(&Shown::from(&snapshot))))
}

async fn forget(
    State(rooms): State<Administration>,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Response {
    let dropped = async {
        let Path((namespace, collection, name)) = path.map_err(|e| invalid_path(e.body_text()))?;
        let (namespace, collection) = names(Ok(Path((namespace, collection))))?;
        rooms.drop_snapshot((&namespace, &collection), &name).await
    };
    answer(dropped.await.map(|()| StatusCode::NO_CONTENT.into_response()))
}
