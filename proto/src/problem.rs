//! Problem documents (RFC 9457): the one shape of an error at every HTTP door.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tidemark_model::Kind;

/// An error as a client sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// A URI reference that names the problem type: `/problems/{code}`.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The phrase of the status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable word for programs: `id_conflict`.
    pub code: &'static str,
    /// What happened, where, and what to do.
    pub detail: String,
    /// One entry per bad record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RecordError>,
    /// Seconds after which to try again; becomes `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// What is wrong with one record of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct RecordError {
    /// Its index in the request, from 0.
    pub index: usize,
    /// Its id, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A stable word for programs: `invalid_ts`.
    pub code: String,
    /// JSON pointer to the field.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem of a kind, with a stable code and a sentence for people.
    #[must_use]
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        let title =
            StatusCode::from_u16(kind.http()).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        Self {
            problem_type: format!("/problems/{code}"),
            title: title.to_owned(),
            status: kind.http(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: kind.is_retryable().then_some(1),
        }
    }

    /// The kind its status came from.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::ALL.into_iter().find(|kind| kind.http() == self.status).unwrap_or(Kind::Internal)
    }

    /// The same with an entry per bad record.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<RecordError>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
