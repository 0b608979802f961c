//! What every request passes, on both ports, before a room sees it.
//!
//! From the outside in: a request id, a span, the counters and the net under panics ([`trace`]); what refused requests still
//! send ([`unread`]); then the guard; then the time-out of pausing bodies, and the bound of messages that are not whole
//! ([`arriving`]). Paths that nobody answers get a problem document.

mod admit;
mod arriving;
mod body;
mod cors;
mod trace;
mod unread;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
};
use tidemark_catalog::{Audit, lease::Lease};
use tidemark_model::{Clock, Ids, Kind};
use tidemark_proto::Problem;
use tower::util::option_layer;

pub use self::arriving::Unfinished;
use crate::{guard::Guard, limits::Limits, metrics::Metrics};

/// What a port speaks; decides how an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Errors are problem documents.
    Http,
    /// Errors are `grpc-status` headers.
    Grpc,
}

/// What the layers of a port need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    /// What it speaks.
    pub wire: Wire,
    /// Who may ask.
    pub guard: Guard,
    /// How much they may do.
    pub limits: Arc<Limits>,
    /// Where administrative actions are recorded.
    pub audit: Option<Audit>,
    /// How the lake is held, if it can be lost.
    pub lease: Option<Lease>,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Makes request ids.
    pub ids: Arc<Ids>,
    /// Dates request ids.
    pub clock: Arc<dyn Clock>,
    /// How long a body may pause.
    pub body_pause_max: Duration,
    /// Room for messages of gRPC that are not whole yet.
    pub unfinished: Unfinished,
}

impl Door {
    /// Puts the layers around the routes of rooms.
    pub fn around(self, routes: Router) -> Router {
        let routes = match self.wire {
            Wire::Http => routes.fallback(unknown_path).method_not_allowed_fallback(wrong_method),
            Wire::Grpc => routes,
        };
        let cors = cors::layer(self.guard.origins()).filter(|_| self.wire == Wire::Http);
        routes
            .layer(middleware::from_fn_with_state(self.clone(), body::limit_pauses))
            .layer(middleware::from_fn_with_state(self.clone(), admit::admit))
            .layer(middleware::from_fn(unread::discard))
            .layer(option_layer(cors))
            .layer(middleware::from_fn_with_state(self, trace::follow))
    }

    /// An error of the server itself, as this wire writes it.
    fn refuse(&self, kind: Kind, code: &'static str, detail: String) -> Response {
        self.tell(Problem::new(kind, code, detail))
    }

    /// A problem, as this wire writes it.
    fn tell(&self, problem: Problem) -> Response {
        match self.wire {
            Wire::Http => problem.into_response(),
            Wire::Grpc => {
                let code = tonic::Code::from_i32(problem.kind().grpc());
                tidemark_proto::status::of(&problem, code).into_http()
            }
        }
    }
}

async fn unknown_path(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!(
        "nothing answers at {path}: SQL is asked at POST /v1/query, events are sent to \
                          POST /v1/{{namespace}}/events, changes to POST /v1/{{namespace}}/{{collection}}/changes"
    );
    Problem::new(Kind::NotFound, "unknown_path", detail).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("{} is not spoken at {}: see the allow header", request.method(), request.uri().path());
    let problem = Problem::new(Kind::Invalid, "method_not_allowed", detail);
    let title = "Method Not Allowed".to_owned();
    Problem { status: StatusCode::METHOD_NOT_ALLOWED.as_u16(), title, ..problem }.into_response()
}

#[cfg(test)]
mod tests;
