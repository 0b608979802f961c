//! Who asks, whether they may still do so in this minute, what the route needs of them, and — of an administrative
//! action — that it is recorded.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State},
    http::{HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tidemark_catalog::{
    Allowance as _, Audit, CatalogError,
    allowance::{Counted, Spent},
    audit::Deed,
    lease::Lease,
};
use tidemark_model::{Kind, Namespace, Principal};
use tidemark_proto::Problem;

use super::{Door, Wire, trace::REQUEST_ID, unread::LetOn};
use crate::{
    access::{self, Touched},
    audit::Begun,
    guard::Guard,
    ports::Peer,
};

/// Tells of the process and not of the lake: whoever watches has to see that the lease has run out, however often others ask.
const METRICS: &str = "/metrics";
/// The longest problem document of an administrative action, bytes.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// Lets a request on to its room, if whoever makes it may.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let from = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
    match door.guard.check(request.uri(), request.headers(), from).await {
        Ok(admitted) => {
            let principal = admitted.principal.clone();
            let is_open = Guard::is_open(request.uri().path());
            admitted.into_extensions(request.extensions_mut());
            let mut response = counted(&door, &principal, request, next).await;
            if !is_open {
                response.extensions_mut().insert(LetOn);
            }
            response
        }
        Err(refused) => {
            tracing::info!(code = refused.code(), "request refused");
            let mut response = door.refuse(refused.kind(), refused.code(), refused.to_string());
            if refused.kind() == Kind::Unauthorized {
                let challenge = HeaderValue::from_static("Bearer realm=\"tidemark\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// Lets on who has requests left in this minute, and tells how many. Probes and measurements are not counted.
async fn counted(door: &Door, principal: &Principal, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if Guard::is_open(path) || path == METRICS {
        return go_on(door, principal, request, next).await;
    }
    let mut response = match door.limits.take(principal, Counted::Requests, 1) {
        Ok(()) => held(door, go_on(door, principal, request, next).await),
        Err(spent) => {
            let problem = Problem::new(spent.kind(), Spent::CODE, spent.to_string());
            door.tell(Problem { retry_after: spent.retry_after(), ..problem })
        }
    };
    if door.wire == Wire::Http {
        door.limits.tell(principal, response.headers_mut());
    }
    response
}

/// The answer, unless another process may own the lake by now: it may tell of something that is no more, or not tell of
/// something that is.
fn held(door: &Door, answer: Response) -> Response {
    let is_held = door.lease.as_ref().is_none_or(Lease::is_held);
    if is_held {
        return answer;
    }
    door.refuse(Kind::Unavailable, "lease_lapsed", CatalogError::Lapsed.to_string())
}

async fn go_on(door: &Door, principal: &Principal, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned().filter(|_| door.wire == Wire::Http);
    let Some(matched) = matched else { return next.run(request).await };
    let row = access::of(request.method(), matched.as_str());
    let (mut parts, body) = request.into_parts();
    let path = Named::of(&mut parts).await;
    if let Err(denied) = row.needs.check(principal, path.namespace.as_ref()) {
        tracing::info!(code = denied.code(), token = principal.id(), "request refused");
        return door.refuse(denied.kind(), denied.code(), denied.to_string());
    }
    let begun = row.action.zip(door.audit.clone()).map(|(action, audit)| begin(action, audit, principal, path, &parts));
    let response = next.run(Request::from_parts(parts, body)).await;
    match begun {
        Some(begun) => recorded(begun, response).await,
        None => response,
    }
}

/// What a path names.
struct Named {
    namespace: Option<Namespace>,
    /// What stands behind the namespace: `orders`, `orders/monday`.
    object: Option<String>,
}

impl Named {
    async fn of(parts: &mut Parts) -> Self {
        let Ok(named) = RawPathParams::from_request_parts(parts, &()).await else {
            return Self { namespace: None, object: None };
        };
        let namespace = named.iter().find(|(key, _)| *key == "namespace");
        let namespace = namespace.and_then(|(_, name)| Namespace::parse(name).ok());
        let rest: Vec<&str> = named.iter().filter(|(key, _)| *key != "namespace").map(|(_, name)| name).collect();
        Self { namespace, object: (!rest.is_empty()).then(|| rest.join("/")) }
    }
}

fn begin(action: &'static str, audit: Audit, principal: &Principal, path: Named, parts: &Parts) -> Begun {
    let Named { namespace, object } = path;
    let request = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    Begun::new(audit, Deed { who: principal.id().to_owned(), action, namespace, object, door: "http", request })
}

/// The answer, once how it ended is recorded.
async fn recorded(begun: Begun, response: Response) -> Response {
    let touched = response.extensions().get::<Touched>().map(|Touched(object)| object.clone());
    let streams = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-ndjson");
    let (outcome, response) = match response.status().is_success() {
        // Its end is told to the client alone, line by line.
        true if streams => ("begun".to_owned(), response),
        true => ("ok".to_owned(), response),
        false => code_of(response).await,
    };
    match begun.touching(touched).ended(&outcome).await {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    }
}

/// The code in a problem document, and the answer as it was.
async fn code_of(response: Response) -> (String, Response) {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let problem = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let code = problem["code"].as_str().map_or_else(|| format!("status {}", parts.status.as_u16()), str::to_owned);
    (code, Response::from_parts(parts, Body::from(body)))
}
