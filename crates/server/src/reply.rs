//! How the server's own doors read what is asked and answer it.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tidemark_model::{CollectionName, Kind, Namespace};
use tidemark_proto::Problem;

/// The names in a path.
pub(crate) type Names = Result<Path<(String, String)>, PathRejection>;

/// An answer of JSON.
pub(crate) fn json(body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The answer, or the problem.
pub(crate) fn answer(done: Result<Response, Problem>) -> Response {
    done.unwrap_or_else(IntoResponse::into_response)
}

/// The namespace and the collection of a path.
pub(crate) fn names(path: Names) -> Result<(Namespace, CollectionName), Problem> {
    let Path((namespace, collection)) = path.map_err(|e| invalid_path(e.body_text()))?;
    let namespace = Namespace::parse(&namespace).map_err(|e| invalid_path(e.to_string()))?;
    Ok((namespace, CollectionName::parse(&collection).map_err(|e| invalid_path(e.to_string()))?))
}

/// The namespace of a path.
pub(crate) fn namespace(path: Result<Path<String>, PathRejection>) -> Result<Namespace, Problem> {
    let Path(namespace) = path.map_err(|e| invalid_path(e.body_text()))?;
    Namespace::parse(&namespace).map_err(|e| invalid_path(e.to_string()))
}

/// A body of JSON; an empty one is `{}`.
pub(crate) fn body<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { object(body).map_err(|e| unreadable(&e)) }
}

/// A body that is an object of JSON: what reads it would take an array of its members, too.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(serde::de::Error::custom("it is no object"));
    }
    serde_json::from_slice(body)
}

/// A path that names nothing.
pub(crate) fn invalid_path(detail: String) -> Problem {
    Problem::new(Kind::Invalid, "invalid_path", detail)
}

/// A body that cannot be read.
pub(crate) fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::Invalid, "invalid_body", format!("the body cannot be read: {error}"))
}

/// What the change room could not do; a defect is told in the log too.
pub(crate) fn problem(error: &tidemark_cdc::Error) -> Problem {
    let kind = error.kind();
    if kind == Kind::Internal {
        tracing::error!(error = error as &dyn std::error::Error, "a request to the change room failed");
    }
    Problem::new(kind, error.code(), error.to_string())
}
