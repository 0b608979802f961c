//! Requests through all layers, without a socket.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue},
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    authority::Authority,
    clock::SystemClock,
    config::{self, Auth, Secret},
};

fn routes(wire: Wire, token: Option<&str>) -> (Router, Metrics) {
    let auth = Auth { token: token.map(Secret::from), ..Auth::default() };
    let metrics = Metrics::register(&prometheus::Registry::new()).expect("registered");
    let door = Door {
        wire,
        guard: Guard::of_port(&auth, &authority(&auth), ([127, 0, 0, 1], 1).into()).expect("guarded"),
        limits: Limits::new(&config::Limits::default(), metrics.rate_limited()),
        audit: None,
        metrics: metrics.clone(),
        ids: Arc::new(Ids::seeded(1)),
        clock: Arc::new(SystemClock),
        lease: None,
        body_pause_max: Duration::from_millis(20),
        unfinished: Unfinished::new(1 << 20, metrics.unfinished_refused()),
    };
    let echo =
        |body: Result<String, axum::extract::rejection::StringRejection>| async { body.map_err(|e| e.body_text()) };
    let routes = Router::new()
        .route("/{name}/hello", get(|| async { "hello" }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/echo", post(echo));
    (door.around(routes), metrics)
}

fn authority(auth: &Auth) -> Arc<Authority> {
    let (store, clock) = (tidemark_storage::Store::memory(), Arc::new(SystemClock));
    let tokens = tidemark_catalog::Tokens::of(&store, clock.clone(), Arc::new(Ids::seeded(1)));
    Authority::new(auth, tokens, clock, prometheus::IntCounter::new("refused", "for tests").expect("a counter"))
}

fn request(method: &str, path: &str, body: Body) -> Request {
    Request::builder().method(method).uri(path).header("host", "localhost").body(body).expect("a request")
}

async fn ask(routes: &Router, request: Request) -> (u16, HeaderMap, String) {
    let response = routes.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let (open, _) = routes(Wire::Http, None);
    let (closed, _) = routes(Wire::Http, Some("t"));
    for (routes, method, path, status, code) in [
        (&open, "GET", "/nothing", 404, "unknown_path"),
        (&open, "DELETE", "/a/hello", 405, "method_not_allowed"),
        (&open, "GET", "/panic", 500, "internal"),
        (&closed, "GET", "/a/hello", 401, "unauthorized"),
        (&closed, "GET", "/nothing", 401, "unauthorized"),
    ] {
        let (got, headers, body) = ask(routes, request(method, path, Body::empty())).await;
        assert_eq!(got, status, "{path} {body}");
        assert_eq!(headers["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).expect("json");
        assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(u64::from(status))));
        assert!(headers.contains_key("x-request-id"));
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(headers.contains_key("allow"), status == 405);
    }
}

#[tokio::test]
async fn errors_of_grpc_are_statuses() {
    let (routes, _) = routes(Wire::Grpc, Some("t"));
    let (status, headers, _) = ask(&routes, request("POST", "/echo", Body::empty())).await;
    assert_eq!((status, headers["grpc-status"].to_str().ok()), (200, Some("16")));
}

#[tokio::test]
async fn request_ids_come_back() {
    let (routes, _) = routes(Wire::Http, None);
    let long = "x".repeat(200);
    for (given, kept) in [(Some("abc-1"), true), (Some("a b"), false), (Some(long.as_str()), false), (None, false)] {
        let mut request = request("GET", "/a/hello", Body::empty());
        if let Some(given) = given {
            request.headers_mut().insert("x-request-id", HeaderValue::from_str(given).expect("a value"));
        }
        let (_, headers, _) = ask(&routes, request).await;
        let id = headers["x-request-id"].to_str().expect("text");
        assert_eq!(Some(id) == given, kept, "{given:?} {id}");
        assert!(kept || id.len() == 26, "{id}");
    }
}

#[tokio::test]
async fn routes_are_counted_by_pattern() {
    let (routes, metrics) = routes(Wire::Http, None);
    for path in ["/a/hello", "/b/hello", "/c", "/d"] {
        ask(&routes, request("GET", path, Body::empty())).await;
    }
    let text = String::from_utf8(metrics.text()).expect("text");
    for line in [
        "tidemark_http_requests_total{route=\"/{name}/hello\",status=\"200\"} 2",
        "tidemark_http_requests_total{route=\"unmatched\",status=\"404\"} 2",
        "tidemark_http_requests_under_way 0",
        "tidemark_build_info{version=",
        "process_resident_memory_bytes",
        "tidemark_allocator_bytes{kind=\"allocated\"} ",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn a_body_that_pauses_is_given_up() {
    for wire in [Wire::Http, Wire::Grpc] {
        let (routes, _) = routes(wire, None);
        let (status, _, body) = ask(&routes, request("POST", "/echo", Body::from("all at once"))).await;
        assert_eq!((status, body.as_str()), (200, "all at once"), "{wire:?}");
        let still = futures::stream::once(async { Ok::<_, std::io::Error>("half") });
        let still = Body::from_stream(futures::StreamExt::chain(still, futures::stream::pending()));
        let (_, _, body) = ask(&routes, request("POST", "/echo", still)).await;
        assert!(!body.contains("half"), "{wire:?} {body}");
    }
}
