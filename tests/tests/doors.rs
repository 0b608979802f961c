//! The doors besides ingest and SQL: health, readiness, metrics, version; who may come in; how a server ends.

use serde_json::json;
use tidemark_tests::server::{Options, Server};

#[tokio::test]
async fn health_ready_metrics_and_version_answer() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    client.events("shop", &json!({"type": "order.placed", "id": "e1"})).await;

    let health = client.get("/health", &[]).await.ok();
    assert_eq!((&health["status"], &health["service"]), (&json!("ok"), &json!("tidemark")), "{health}");
    assert!(health["version"].is_string() && health["ts"].is_string(), "{health}");
    assert_eq!(client.get("/ready", &[]).await.status, 200);
    assert_eq!(client.get("/version", &[]).await.status, 200);
    let metrics = client.get("/metrics", &[]).await;
    assert_eq!(metrics.status, 200);
    for room in ["tidemark_ingest_", "tidemark_query_", "tidemark_log_", "tidemark_store_"] {
        assert!(metrics.text().contains(room), "no measurement of {room}");
    }
    assert_eq!(client.get("/no/such/path", &[]).await.problem(), "unknown_path");
}

/// A page that a browser loads from elsewhere must not reach a server on loopback: DNS rebinding sends a foreign Host,
/// a foreign page sends its Origin.
#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_without_a_token() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let own = format!("http://{}", server.http());
    for (headers, refused) in [
        (&[("host", "evil.example")][..], true),
        (&[("origin", "http://evil.example")], true),
        (&[("origin", "null")], true),
        (&[("host", "localhost:7070")], false),
        (&[("origin", own.as_str())], false),
        (&[], false),
    ] {
        let status = client.query("SELECT 1", headers).await.status;
        assert_eq!(status == 403, refused, "{headers:?}: {status}");
    }
}

#[tokio::test]
async fn a_token_opens_every_door_and_nothing_else_does() {
    let home = tempfile::tempdir().unwrap();
    let options = Options { token: Some("s3cret-of-test".into()), ..Options::default() };
    let server = Server::start_with(home.path(), options.variable("AUTH_TOKEN", "s3cret-of-test")).await;
    let right = server.client();
    let event = json!({"type": "order.placed"});
    assert_eq!(right.post_json("/v1/shop/events", &event).await.status, 200);
    assert_eq!(right.number("SELECT count(*) FROM shop.events").await, 1);
    for token in [None, Some(""), Some("s3cret-of-tesT"), Some("s3cret-of-test2"), Some("s3cret")] {
        let wrong = right.with_token(token);
        assert_eq!(wrong.post_json("/v1/shop/events", &event).await.status, 401, "{token:?}");
        assert_eq!(wrong.query("SELECT 1", &[]).await.status, 401, "{token:?}");
    }
    assert_eq!(right.with_token(None).get("/health", &[]).await.status, 200, "health needs no token");
    assert_eq!(right.number("SELECT count(*) FROM shop.events").await, 1);
    assert!(!server.log().contains("s3cret-of-test"), "the log holds the token");
}

#[tokio::test]
async fn it_serves_strangers_only_when_told() {
    let home = tempfile::tempdir().unwrap();
    let open = Options { http: Some("0.0.0.0:0"), ..Options::default() };
    let said = Server::refusal(home.path(), open.clone()).await;
    assert!(said.contains("--allow-unauthenticated"), "{said}");
    let server = Server::start_with(home.path(), open.flag("--allow-unauthenticated")).await;
    assert_eq!(server.client().get("/health", &[]).await.status, 200);
}

#[tokio::test]
async fn sigterm_flushes_what_is_acknowledged_and_ends_with_0() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let events: Vec<_> = (0..100).map(|n| json!({"type": "order.placed", "id": format!("e{n}")})).collect();
    server.client().events("shop", &json!(events)).await;
    assert_eq!(server.stop().await.code(), Some(0));
    assert!(!parquet(&home.path().join("data")).is_empty(), "nothing was flushed");
    server.restart().await;
    assert_eq!(server.client().number("SELECT count(DISTINCT id) FROM shop.events").await, 100);
}

/// A second process on the same folder must not get in, nor take the lake from the first: that one still commits.
#[tokio::test]
async fn one_folder_has_one_owner() {
    let home = tempfile::tempdir().unwrap();
    let mut first = Server::start(home.path()).await;
    let said = Server::refusal(home.path(), Options::default()).await;
    assert!(!said.contains("panicked"), "{said}");
    assert!(first.is_alive());
    first.client().events("shop", &json!({"type": "order.placed"})).await;
    assert_eq!(first.stop().await.code(), Some(0), "the first was fenced");
    assert!(!parquet(&home.path().join("data")).is_empty(), "nothing was flushed");
}

fn parquet(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let nested = entries.flat_map(|path| if path.is_dir() { parquet(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|it| it == "parquet")).collect()
}
