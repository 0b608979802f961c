//! One span per request, its id in and out, its count, and the net under panics.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use futures::FutureExt as _;
use tidemark_model::Kind;
use tracing::Instrument as _;

use super::Door;
use crate::telemetry::traces;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest id that is taken from a request, bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Follows a request from its head to the head of its answer.
pub(super) async fn follow(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&door, request.headers());
    let route = route(&request);
    let span = tracing::info_span!(
        "request",
        id = %id.to_str().unwrap_or_default(),
        method = %request.method(),
        route,
        traceparent = tracing::field::Empty,
        otel.kind = tracing::field::Empty,
        otel.name = tracing::field::Empty,
    );
    traces::begins(&span, request.method(), &route, request.headers());
    if let Some(parent) = request.headers().get(TRACEPARENT).and_then(|parent| parent.to_str().ok()) {
        span.record("traceparent", parent);
    }
    let _under_way = door.metrics.request_begins();
    // Whoever records what was done names the request as the log does.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = run(&door, request, next).instrument(span.clone()).await;
    let elapsed = begun.elapsed();
    door.metrics.request_answered(&route, response.status().as_u16(), elapsed.as_secs_f64());
    traces::answered(&span, response.status().as_u16());
    span.in_scope(|| log(&response, elapsed));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Runs the rest; a panic becomes an error of the kind `Internal`, and the process lives on.
async fn run(door: &Door, request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_panic) => {
            let detail = "the server met a defect of its own while answering; the request id names it in the log";
            door.refuse(Kind::Internal, "internal", detail.to_owned())
        }
    }
}

fn log(response: &Response, elapsed: Duration) {
    let (status, ms) = (response.status().as_u16(), elapsed.as_millis());
    match status {
        500.. => tracing::warn!(status, ms, "answered"),
        _ => tracing::debug!(status, ms, "answered"),
    }
}

/// The pattern that matched, so that names in paths do not multiply the series.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

/// The caller's id if it is short and visible, else a new one.
fn request_id(door: &Door, headers: &HeaderMap) -> HeaderValue {
    let visible = |value: &&HeaderValue| {
        !value.is_empty() && value.len() <= REQUEST_ID_BYTES_MAX && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let fresh = || HeaderValue::from_str(&door.ids.ulid(door.clock.now()).to_string());
    let given = headers.get(REQUEST_ID).filter(visible).cloned();
    given.map_or_else(fresh, Ok).unwrap_or_else(|_never| HeaderValue::from_static("unknown"))
}
