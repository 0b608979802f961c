//! Tables of requests and whether they may go on.

use axum::http::HeaderValue;
use futures::FutureExt as _;

use super::*;
use crate::config::Secret;

fn auth(token: Option<&str>, allow_unauthenticated: bool) -> Auth {
    Auth {
        token: token.map(Secret::from),
        allow_unauthenticated,
        allowed_origins: vec!["https://App.example/".to_owned()],
    }
}

fn authority(auth: &Auth) -> Arc<Authority> {
    let (store, clock) = (tidemark_storage::Store::memory(), Arc::new(crate::clock::SystemClock));
    let ids = Arc::new(tidemark_model::Ids::seeded(1));
    let tokens = tidemark_catalog::Tokens::of(&store, clock.clone(), ids);
    Authority::new(auth, tokens, clock, prometheus::IntCounter::new("refused", "for tests").expect("a counter"))
}

fn port(auth: &Auth, at: &str) -> Result<Guard, Unguarded> {
    Guard::of_port(auth, &authority(auth), at.parse().expect("an address"))
}

#[test]
fn without_a_token_only_loopback_is_served() {
    for (token, allowed, at, mode) in [
        (None, false, "127.0.0.1:7070", Some(Mode::Loopback)),
        (None, false, "[::1]:7070", Some(Mode::Loopback)),
        (None, true, "127.0.0.1:7070", Some(Mode::Loopback)),
        (None, false, "0.0.0.0:7070", None),
        (None, false, "10.1.2.3:7070", None),
        (None, true, "0.0.0.0:7070", Some(Mode::Open)),
        (Some("t"), false, "0.0.0.0:7070", Some(Mode::Token)),
        (Some("t"), true, "127.0.0.1:7070", Some(Mode::Token)),
    ] {
        let guard = port(&auth(token, allowed), at);
        assert_eq!(guard.as_ref().ok().map(Guard::mode), mode, "{token:?} {allowed} {at}");
        if let Err(refused) = guard {
            assert!(refused.to_string().contains("--allow-unauthenticated"), "{refused}");
        }
    }
}

fn ask(guard: &Guard, uri: &str, headers: &[(&str, &str)]) -> Result<String, Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    let uri = uri.parse().expect("a uri");
    let checked = guard.check(&uri, &map, IpAddr::from([127, 0, 0, 1])).now_or_never().expect("nothing to wait for");
    checked.map(|admitted| admitted.principal.id().to_owned())
}

fn root() -> Result<String, Refused> {
    Ok("root".to_owned())
}

fn anonymous() -> Result<String, Refused> {
    Ok("anonymous".to_owned())
}

fn wrong() -> Result<String, Refused> {
    Err(Refused::Login(NoLogin::WrongToken))
}

fn none() -> Result<String, Refused> {
    Err(Refused::Login(NoLogin::NoToken))
}

#[test]
fn a_token_is_asked_for() {
    let guard = port(&auth(Some("sesame"), false), "0.0.0.0:1").expect("guarded");
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for (path, header, expected) in [
        ("/v1/query", Some("Bearer sesame".to_owned()), root()),
        ("/v1/query", Some("bearer  sesame ".to_owned()), root()),
        ("/v1/query", Some("Bearer sesame~21ab".to_owned()), root()),
        ("/v1/query", Some("Bearer sesam~e".to_owned()), wrong()),
        ("/v1/query", Some("Bearer ~sesame".to_owned()), wrong()),
        ("/v1/query", Some(basic("any:sesame")), root()),
        ("/v1/query", Some(basic("any:sesame").trim_end_matches('=').to_owned()), root()),
        ("/v1/query", Some(basic("sesame")), wrong()),
        ("/v1/query", Some("Bearer sesam".to_owned()), wrong()),
        ("/v1/query", Some("Bearer".to_owned()), wrong()),
        ("/v1/query", Some("Basic !!!".to_owned()), wrong()),
        ("/v1/query", Some(format!("Bearer {}", "x".repeat(5000))), wrong()),
        ("/v1/query", None, none()),
        ("/metrics", None, none()),
        ("/health", None, anonymous()),
        ("/ready", None, anonymous()),
        ("/version", None, anonymous()),
        ("/grpc.health.v1.Health/Check", None, anonymous()),
        ("/grpc.health.v1.Health/Watch", None, anonymous()),
        ("/tidemark.v1.Ingest/Append", None, none()),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None, none()),
        ("/health/../v1/query", None, none()),
    ] {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        assert_eq!(ask(&guard, path, &headers), expected, "{path} {header:?}");
    }
}

#[test]
fn on_loopback_host_and_origin_are_checked() {
    let guard = port(&auth(None, false), "127.0.0.1:7070").expect("guarded");
    let host = |name: &str| -> Result<String, Refused> { Err(Refused::Host(name.to_owned())) };
    let origin = |name: &str| -> Result<String, Refused> { Err(Refused::Origin(name.to_owned())) };
    for (uri, headers, expected) in [
        ("/v1/query", vec![("host", "127.0.0.1:7070")], anonymous()),
        ("/v1/query", vec![("host", "localhost:7070")], anonymous()),
        ("/v1/query", vec![("host", "LOCALHOST")], anonymous()),
        ("/v1/query", vec![("host", "[::1]:7070")], anonymous()),
        ("http://localhost:7070/v1/query", vec![], anonymous()),
        ("/v1/query", vec![], host("")),
        ("/v1/query", vec![("host", "evil.example")], host("evil.example")),
        ("/v1/query", vec![("host", "127.0.0.1.evil.example:7070")], host("127.0.0.1.evil.example:7070")),
        ("http://evil.example/v1/query", vec![("host", "127.0.0.1")], host("evil.example")),
        ("/v1/query", vec![("host", "localhost:7070"), ("origin", "http://localhost:7070")], anonymous()),
        ("/v1/query", vec![("host", "localhost:7070"), ("origin", "https://app.example")], anonymous()),
        (
            "/v1/query",
            vec![("host", "localhost:7070"), ("origin", "http://localhost:3000")],
            origin("http://localhost:3000"),
        ),
        ("/v1/query", vec![("host", "localhost:7070"), ("origin", "null")], origin("null")),
        ("/health", vec![("host", "evil.example")], host("evil.example")),
    ] {
        assert_eq!(ask(&guard, uri, &headers), expected, "{uri} {headers:?}");
    }
}

#[test]
fn in_the_open_only_web_pages_are_checked() {
    let guard = port(&auth(None, true), "0.0.0.0:1").expect("guarded");
    assert_eq!(ask(&guard, "/v1/query", &[("host", "lake.internal")]), anonymous());
    let page = [("host", "lake.internal"), ("origin", "http://evil.example")];
    assert_eq!(ask(&guard, "/v1/query", &page), Err(Refused::Origin("http://evil.example".to_owned())));
}

/// A root token may hold what divides it from a session of Flight SQL.
#[test]
fn a_token_ends_where_its_session_begins() {
    for token in ["a~b", "~", "a~", "~~a", "a"] {
        let guard = port(&auth(Some(token), false), "0.0.0.0:1").expect("guarded");
        for bearer in [token.to_owned(), format!("{token}~21ab")] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {bearer}")).expect("a value");
            headers.insert("authorization", value);
            let from = IpAddr::from([127, 0, 0, 1]);
            let checked = guard.check(&Uri::from_static("/v1/query"), &headers, from).now_or_never();
            assert_eq!(checked.expect("nothing to wait for").expect("known").token.as_deref(), Some(token), "{bearer}");
        }
    }
}

/// Who is let on without a token where tokens are asked for may nothing.
#[test]
fn open_paths_open_nothing_else() {
    let guard = port(&auth(Some("t"), false), "0.0.0.0:1").expect("guarded");
    let (uri, headers) = (Uri::from_static("/health"), HeaderMap::new());
    let checked = guard.check(&uri, &headers, IpAddr::from([127, 0, 0, 1]));
    let admitted = checked.now_or_never().expect("nothing to wait for").expect("is open");
    assert!(tidemark_model::Scope::ALL.into_iter().all(|scope| admitted.principal.check_scope(scope).is_err()));
}
