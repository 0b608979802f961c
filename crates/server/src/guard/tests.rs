//! Tables of requests and whether they may go on.

use axum::http::HeaderValue;

use super::*;
use crate::config::Secret;

fn auth(token: Option<&str>, allow_unauthenticated: bool) -> Auth {
    Auth {
        token: token.map(Secret::from),
        allow_unauthenticated,
        allowed_origins: vec!["https://App.example/".to_owned()],
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
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
        let guard = Guard::of_port(&auth(token, allowed), address(at));
        assert_eq!(guard.as_ref().ok().map(Guard::mode), mode, "{token:?} {allowed} {at}");
        if let Err(refused) = guard {
            assert!(refused.to_string().contains("--allow-unauthenticated"), "{refused}");
        }
    }
}

fn ask(guard: &Guard, uri: &str, headers: &[(&str, &str)]) -> Result<(), Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    guard.check(&uri.parse().expect("a uri"), &map)
}

#[test]
fn a_token_is_asked_for() {
    let guard = Guard::of_port(&auth(Some("sesame"), false), address("0.0.0.0:1")).expect("guarded");
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for (path, header, expected) in [
        ("/v1/query", Some("Bearer sesame".to_owned()), Ok(())),
        ("/v1/query", Some("bearer  sesame ".to_owned()), Ok(())),
        ("/v1/query", Some("Bearer sesame~21ab".to_owned()), Ok(())),
        ("/v1/query", Some("Bearer sesam~e".to_owned()), Err(Refused::WrongToken)),
        ("/v1/query", Some("Bearer ~sesame".to_owned()), Err(Refused::WrongToken)),
        ("/v1/query", Some(basic("any:sesame")), Ok(())),
        ("/v1/query", Some(basic("any:sesame").trim_end_matches('=').to_owned()), Ok(())),
        ("/v1/query", Some(basic("sesame")), Err(Refused::WrongToken)),
        ("/v1/query", Some("Bearer sesam".to_owned()), Err(Refused::WrongToken)),
        ("/v1/query", Some("Bearer".to_owned()), Err(Refused::WrongToken)),
        ("/v1/query", Some("Basic !!!".to_owned()), Err(Refused::WrongToken)),
        ("/v1/query", Some(format!("Bearer {}", "x".repeat(5000))), Err(Refused::WrongToken)),
        ("/v1/query", None, Err(Refused::NoToken)),
        ("/metrics", None, Err(Refused::NoToken)),
        ("/health", None, Ok(())),
        ("/ready", None, Ok(())),
        ("/version", None, Ok(())),
        ("/grpc.health.v1.Health/Check", None, Ok(())),
        ("/grpc.health.v1.Health/Watch", None, Ok(())),
        ("/tidemark.v1.Ingest/Append", None, Err(Refused::NoToken)),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None, Err(Refused::NoToken)),
        ("/health/../v1/query", None, Err(Refused::NoToken)),
    ] {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        assert_eq!(ask(&guard, path, &headers), expected, "{path} {header:?}");
    }
}

#[test]
fn on_loopback_host_and_origin_are_checked() {
    let guard = Guard::of_port(&auth(None, false), address("127.0.0.1:7070")).expect("guarded");
    let host = |name: &str| Err(Refused::Host(name.to_owned()));
    let origin = |name: &str| Err(Refused::Origin(name.to_owned()));
    for (uri, headers, expected) in [
        ("/v1/query", vec![("host", "127.0.0.1:7070")], Ok(())),
        ("/v1/query", vec![("host", "localhost:7070")], Ok(())),
        ("/v1/query", vec![("host", "LOCALHOST")], Ok(())),
        ("/v1/query", vec![("host", "[::1]:7070")], Ok(())),
        ("http://localhost:7070/v1/query", vec![], Ok(())),
        ("/v1/query", vec![], host("")),
        ("/v1/query", vec![("host", "evil.example")], host("evil.example")),
        ("/v1/query", vec![("host", "127.0.0.1.evil.example:7070")], host("127.0.0.1.evil.example:7070")),
        ("http://evil.example/v1/query", vec![("host", "127.0.0.1")], host("evil.example")),
        ("/v1/query", vec![("host", "localhost:7070"), ("origin", "http://localhost:7070")], Ok(())),
        ("/v1/query", vec![("host", "localhost:7070"), ("origin", "https://app.example")], Ok(())),
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
    let guard = Guard::of_port(&auth(None, true), address("0.0.0.0:1")).expect("guarded");
    assert_eq!(ask(&guard, "/v1/query", &[("host", "lake.internal")]), Ok(()));
    let page = [("host", "lake.internal"), ("origin", "http://evil.example")];
    assert_eq!(ask(&guard, "/v1/query", &page), Err(Refused::Origin("http://evil.example".to_owned())));
}
