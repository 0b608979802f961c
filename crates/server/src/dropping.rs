//! Dropping over HTTP: `POST /v1/{namespace}/{collection}/drop` and `…/undrop`, `POST /v1/{namespace}/drop` and `…/undrop`,
//! and `GET /v1/dropped`.

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemark_model::{CollectionName, Namespace, Scope};
use tidemark_proto::{By, Problem};

use crate::{
    administration::{Administration, Dropped},
    reply::{self, Names, answer, json, names},
};

/// The routes.
pub fn router(administration: Administration) -> Router {
    Router::new()
        .route("/v1/dropped", get(list))
        .route("/v1/{namespace}/drop", post(drop_namespace))
        .route("/v1/{namespace}/undrop", post(undrop_namespace))
        .route("/v1/{namespace}/{collection}/drop", post(drop_collection))
        .route("/v1/{namespace}/{collection}/undrop", post(undrop_collection))
        .with_state(administration)
}

type Name = Result<Path<String>, PathRejection>;
type What = (Namespace, Option<CollectionName>);

/// The body of a drop; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    /// How long it can be brought back, seconds; 0 erases it at once.
    grace_s: Option<u64>,
}

/// What was dropped, as people and programs see it.
#[derive(Debug, Serialize)]
struct Shown {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    dropped_at: String,
    until: String,
}

impl From<Dropped> for Shown {
    fn from(Dropped { namespace, collection, at, until }: Dropped) -> Self {
        let collection = collection.map(|name| name.to_string());
        Self { namespace: namespace.to_string(), collection, dropped_at: at.to_string(), until: until.to_string() }
    }
}

async fn list(State(rooms): State<Administration>, By(principal): By) -> Response {
    let listed = principal.check_scope(Scope::Admin).map(|()| {
        let mut dropped = rooms.dropped();
        dropped.retain(|one| principal.may_admin(&one.namespace));
        json(&json!({ "dropped": dropped.into_iter().map(Shown::from).collect::<Vec<_>>() }))
    });
    answer(listed.map_err(Problem::from))
}

async fn drop_namespace(State(rooms): State<Administration>, path: Name, body: Bytes) -> Response {
    answer(dropped(&rooms, reply::namespace(path).map(|namespace| (namespace, None)), &body).await)
}

async fn drop_collection(State(rooms): State<Administration>, path: Names, body: Bytes) -> Response {
    answer(dropped(&rooms, names(path).map(|(namespace, name)| (namespace, Some(name))), &body).await)
}

async fn dropped(rooms: &Administration, what: Result<What, Problem>, body: &[u8]) -> Result<Response, Problem> {
    let (namespace, collection) = what?;
    let Asked { grace_s } = reply::body(body)?;
    let dropped = rooms.drop((&namespace, collection.as_ref()), grace_s).await?;
    Ok(json(&Shown::from(dropped)))
}

async fn undrop_namespace(State(rooms): State<Administration>, path: Name) -> Response {
    answer(undropped(&rooms, reply::namespace(path).map(|namespace| (namespace, None))).await)
}

async fn undrop_collection(State(rooms): State<Administration>, path: Names) -> Response {
    answer(undropped(&rooms, names(path).map(|(namespace, name)| (namespace, Some(name)))).await)
}

async fn undropped(rooms: &Administration, what: Result<What, Problem>) -> Result<Response, Problem> {
    let (namespace, collection) = what?;
    rooms.undrop((&namespace, collection.as_ref())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
