//! The HTTP door: `POST /v1/query`.
//!
//! 1. [`ask`]: a request becomes a statement, or a problem document that says what is wrong with it.
//! 2. [`accept`]: the `Accept` header chooses how the answer is spelled.
//! 3. [`answer`]: the answer streams out in pieces; what breaks in the middle is visible.
//! 4. [`etag`]: answers about the past that a client has already.
//! 5. [`export`]: a state of a collection as one file.
//! 6. [`tail`]: events as they come.
//! 7. [`render`], [`bulk`], [`cell`], [`nest`], [`calendar`]: the spellings, down to single values.

mod accept;
pub(crate) mod answer;
mod ask;
mod bulk;
pub(crate) mod calendar;
pub(crate) mod cell;
mod etag;
mod export;
mod nest;
mod render;
mod tail;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tidemark_model::Kind;
use tidemark_proto::{By, Problem};

use self::accept::Format;
use crate::{Error, Query};

/// Most bytes of a request's body: the longest text of a statement, its escapes and its parameters.
const BODY_BYTES_MAX: usize = 256 << 10;

/// The routes of the room.
pub fn router(query: Query) -> Router {
    Router::new()
        .route("/v1/query", post(ask_query).fallback(only_post))
        .route("/v1/{namespace}/{collection}/export", get(export::export))
        .route("/v1/{namespace}/events/tail", get(tail::tail))
        .with_state(query)
}

async fn ask_query(State(query): State<Query>, By(principal): By, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let format = Format::of(&parts.headers).ok_or_else(|| {
        let detail = format!("an answer of that type is not spoken: accept one of {}", Format::spoken());
        Problem::new(Kind::Unsupported, "not_acceptable", detail)
    })?;
    let statement = ask::statement(principal, &parts.headers, &read(body).await?)?;
    let tag = query.fixed(&statement).map(|word| etag::of(&word, format));
    if let Some(tag) = tag.as_ref().filter(|tag| etag::is_known(&parts.headers, tag)) {
        return Ok(etag::unchanged(tag));
    }
    let answer = query.run(&statement).await.map_err(|e| problem(&e))?;
    if !answer.settings.is_empty() {
        let alone =
            "a setting holds for the statement behind it: send SET …; SELECT … as one text, or as_of beside the sql";
        return Err(problem(&Error::Invalid(alone.to_owned())));
    }
    let response = answer::respond(answer, format).await.map_err(|e| problem(&e))?;
    Ok(etag::with(tag, response))
}

/// The whole body, up to the limit.
async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(Problem::new(
            Kind::TooLarge,
            "body_too_large",
            format!("the body of a query has more than {BODY_BYTES_MAX} bytes: shorten the statement"),
        )),
        Err(e) => Err(Problem::new(Kind::Invalid, "invalid_request", format!("the body could not be read: {e}"))),
    }
}

/// An error of the room as HTTP tells it.
fn problem(error: &Error) -> Problem {
    let detail = error.to_string();
    let detail = if detail.trim().is_empty() { "the query failed without a reason".to_owned() } else { detail };
    if error.kind() == Kind::Internal {
        tracing::error!(%error, "a query failed by a defect");
    }
    Problem::new(error.kind(), error.code(), detail)
}

async fn only_post(method: Method) -> Response {
    let detail = format!("{method} is not spoken here: POST the statement as {{\"sql\":\"select 1\"}}");
    let mut problem = Problem::new(Kind::Invalid, "method_not_allowed", detail);
    problem.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    "Method Not Allowed".clone_into(&mut problem.title);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

#[cfg(test)]
mod tests;
