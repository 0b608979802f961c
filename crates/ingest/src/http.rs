//! The HTTP door of the room: four routes, one pipeline, and the schemas that are declared beside it (interfaces.md, HTTP: ingest).
//!
//! Who asks is decided in front of this router: the server's authoriser puts the principal into the request's extensions.
//! It has to have the scope `ingest` in the namespace; `/ingest` and `/e` write to the only namespace of its reach, else to
//! `default`.

use std::time::Instant as Stopwatch;

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request as HttpRequest, State, rejection::PathRejection},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tidemark_model::{CollectionName, Namespace};
use tidemark_proto::{By, Problem};

use crate::{
    door,
    error::{Error, shown},
    front::Ingest,
    receipt::Receipt,
    request::{Durability, OnError, Reading, Request, Target, Tombstones},
    schema_http,
};

/// The name of this door.
const DOOR: &str = "http";
/// Where requests without a namespace of their own go.
const DEFAULT_NAMESPACE: &str = "default";
/// The most fields of one key.
pub(crate) const KEY_FIELDS_MAX: usize = 16;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The routes of the room.
pub fn router(ingest: Ingest) -> Router {
    Router::new()
        .route("/v1/{namespace}/events", post(events))
        .route("/v1/{namespace}/{collection}/changes", post(changes))
        .route("/v1/{namespace}/{collection}/schema", get(schema_http::get).put(schema_http::put))
        .route("/ingest", post(own_namespace))
        .route("/e", post(own_namespace))
        .with_state(ingest)
}

pub(crate) type Parameters = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

async fn events(
    State(ingest): State<Ingest>,
    path: Result<Path<String>, PathRejection>,
    parameters: Parameters,
    request: HttpRequest,
) -> Response {
    let named = named(path).and_then(|namespace| Ok((Namespace::parse(&namespace)?, Target::Events)));
    answer(&ingest, named, parameters, request).await
}

async fn changes(
    State(ingest): State<Ingest>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Parameters,
    request: HttpRequest,
) -> Response {
    let named = named(path).and_then(|(namespace, collection)| {
        Ok((Namespace::parse(&namespace)?, Target::Changes(CollectionName::parse(&collection)?)))
    });
    answer(&ingest, named, parameters, request).await
}

async fn own_namespace(State(ingest): State<Ingest>, parameters: Parameters, request: HttpRequest) -> Response {
    let own = By::of(request.extensions()).ok().and_then(|By(principal)| principal.own_namespace().cloned());
    let named = own.map_or_else(|| Namespace::parse(DEFAULT_NAMESPACE), Ok);
    let named = named.map(|name| (name, Target::Events)).map_err(Error::from);
    answer(&ingest, named, parameters, request).await
}

pub(crate) fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Error> {
    path.map(|Path(names)| names).map_err(|rejection| Error::Parameter {
        what: "path",
        value: shown(&rejection.body_text()),
        allowed: "the names in a path are UTF-8",
    })
}

async fn answer(
    ingest: &Ingest,
    named: Result<(Namespace, Target), Error>,
    parameters: Parameters,
    request: HttpRequest,
) -> Response {
    let started = Stopwatch::now();
    let taken = match named {
        Ok(to) => take(ingest, to, parameters, request).await,
        Err(error) => Err(error),
    };
    let response = match taken {
        Ok(receipt) => acknowledged(&receipt),
        Err(error) => {
            if let Error::Pressure { what, limit } = &error {
                ingest.room.metrics.back_pressure(what, *limit);
            }
            refused(error)
        }
    };
    ingest.room.metrics.request(response.status().as_u16(), started.elapsed());
    response
}

async fn take(
    ingest: &Ingest,
    (namespace, target): (Namespace, Target),
    parameters: Parameters,
    request: HttpRequest,
) -> Result<Receipt, Error> {
    let (parts, body) = request.into_parts();
    let By(principal) = By::of(&parts.extensions).map_err(|_nobody| Error::Nobody)?;
    ingest.admit(&principal, &namespace)?;
    let parameters = parameters.map_err(|rejection| Error::Parameter {
        what: "query string",
        value: shown(&rejection.body_text()),
        allowed: "use on_error=reject|partial, durability=local|object, key=field,… and tombstones=keep|delete",
    })?;
    let room = &ingest.room;
    let key = door::text(&parts.headers, &IDEMPOTENCY_KEY)?.map(str::to_owned);
    let (on_error, durability, reading) = (on_error(&parameters)?, durability(&parameters)?, reading(&parameters)?);
    let batch = door::read(&parts.headers, body, &room.config, &room.bodies).await?;
    ingest
        .append(
            &namespace,
            Request {
                key,
                on_error,
                durability,
                reading,
                ..Request::new(target, batch).through(DOOR).sent_by(&principal)
            },
        )
        .await
}

pub(crate) fn parameter<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn on_error(parameters: &[(String, String)]) -> Result<OnError, Error> {
    match parameter(parameters, "on_error") {
        None | Some("reject") => Ok(OnError::Reject),
        Some("partial") => Ok(OnError::Partial),
        Some(other) => {
            Err(Error::Parameter { what: "on_error", value: shown(other), allowed: "use reject or partial" })
        }
    }
}

fn durability(parameters: &[(String, String)]) -> Result<Durability, Error> {
    match parameter(parameters, "durability") {
        None | Some("local") => Ok(Durability::Local),
        Some("object") => Ok(Durability::Object),
        Some(other) => {
            Err(Error::Parameter { what: "durability", value: shown(other), allowed: "use local or object" })
        }
    }
}

fn reading(parameters: &[(String, String)]) -> Result<Reading, Error> {
    let key: Vec<String> =
        parameter(parameters, "key").map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect());
    if key.len() > KEY_FIELDS_MAX || key.iter().any(String::is_empty) {
        let value = shown(parameter(parameters, "key").unwrap_or_default());
        return Err(Error::Parameter { what: "key", value, allowed: "name 1 to 16 fields, separated by commas" });
    }
    let tombstones = match parameter(parameters, "tombstones") {
        None | Some("keep") => Tombstones::Keep,
        Some("delete") => Tombstones::Delete,
        Some(other) => {
            let allowed = "use keep or delete";
            return Err(Error::Parameter { what: "tombstones", value: shown(other), allowed });
        }
    };
    Ok(Reading { key, tombstones })
}

fn acknowledged(receipt: &Receipt) -> Response {
    let body = serde_json::to_vec(receipt).unwrap_or_default();
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

pub(crate) fn refused(error: Error) -> Response {
    if error.kind() == tidemark_model::Kind::Internal {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
    }
    Problem::from(error).into_response()
}
