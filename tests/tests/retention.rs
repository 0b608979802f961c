//! How long the past is kept, said over the doors, and what becomes of a collection by that.

use serde_json::{Value, json};
use tidemark_tests::{
    client::Client,
    server::{Options, Server},
};

async fn put(client: &Client, of: &str, body: &Value) -> (u16, Value) {
    let reply = client.put_json(&format!("/v1/{of}/retention"), body).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn what_is_said_of_a_collection_wins_over_its_namespace_and_the_server() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let client = server.client();
    let told = client.get("/v1/shop/orders/retention", &[]).await.ok();
    let defaults = json!({"history_window_s": 0, "daily": 30, "monthly": 12});
    assert_eq!(told, json!({"said": {}, "in_force": defaults}));
    assert_eq!(put(&client, "shop", &json!({"history_window_s": 864_000, "daily": 5})).await.0, 200);
    let (status, told) = put(&client, "shop/orders", &json!({"daily": 9})).await;
    assert_eq!(status, 200);
    let in_force = json!({"history_window_s": 864_000, "daily": 9, "monthly": 12});
    assert_eq!(told, json!({"said": {"daily": 9}, "in_force": in_force}));
    server.kill().await;
    server.restart().await;
    let client = server.client();
    assert_eq!(client.get("/v1/shop/orders/retention", &[]).await.ok()["in_force"], in_force, "after a crash");
    assert_eq!(client.delete("/v1/shop/retention").await.ok(), json!({"said": {}, "in_force": defaults}));
    assert_eq!(client.get("/v1/shop/orders/retention", &[]).await.ok()["in_force"]["daily"], 9);
    for (of, body, code) in [
        ("shop/orders", json!({"history_window_s": 3_200_000_000u64}), "invalid_retention"),
        ("shop/orders", json!({"daily": 10_001}), "invalid_retention"),
        ("shop", json!({"monthly": 1201}), "invalid_retention"),
        ("shop", json!({}), "invalid_retention"),
        ("shop", json!({"weekly": 1}), "invalid_body"),
        ("shop", json!({"daily": -1}), "invalid_body"),
        ("Shop", json!({"daily": 1}), "invalid_path"),
        ("shop/..", json!({"daily": 1}), "invalid_path"),
    ] {
        let reply = client.put_json(&format!("/v1/{of}/retention"), &body).await;
        assert!([400, 404].contains(&reply.status), "{of} {body}: {}", reply.text());
        if reply.status == 400 {
            assert_eq!(reply.problem(), code, "{of} {body}");
        }
    }
    let reply = client.post_json("/v1/shop/nothing/clean-up", &json!({})).await;
    assert_eq!((reply.status, reply.problem()), (404, "unknown_collection".to_owned()));
}

/// Changes of which each becomes a state of its own.
async fn states(client: &Client, from: i64, count: i64) {
    for n in from..from + count {
        client.changes("shop/orders", &json!([{"op": "update", "id": "a", "doc": {"n": n}}])).await;
        let name = format!("n{n}");
        let _kept = client.post_json("/v1/shop/orders/snapshots", &json!({"name": name})).await.ok();
    }
}

fn eager() -> Options {
    let folds =
        [("TIDEMARK_CDC__FOLD_ROWS_MIN", "1"), ("TIDEMARK_CDC__FOLD_RATIO", "0"), ("TIDEMARK_CDC__DELTA_ROWS", "1")];
    folds.into_iter().fold(Options::default(), |options, (name, value)| options.variable(name, value))
}

/// What a clean-up tells once it takes so many changes or more: they have to be old enough, and in a state.
async fn cleaned_up(client: &Client, how: &Value, changes: i64) -> Value {
    for _attempt in 0..600 {
        let told = client.post_json("/v1/shop/orders/clean-up", how).await.ok();
        if told["changes"].as_i64() >= Some(changes) {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{how} takes no {changes} changes");
}

/// What a window lets go is told before, refused after, and kept where a snapshot has a name: it is restored from there.
#[tokio::test]
async fn a_named_snapshot_outlives_the_window() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_with(home.path(), eager()).await;
    let client = server.client();
    states(&client, 0, 1).await;
    let first =
        client.rows("SELECT CAST(system_time AS VARCHAR) FROM shop.\"orders$snapshots\" WHERE name = 'n0'").await;
    let first = first[0][0].as_str().unwrap().to_owned();
    states(&client, 1, 5).await;
    // Until states exist before a window of one second, nothing can go.
    let (dry, wanted) = (json!({"history_window_s": 1, "dry_run": true}), json!({"history_window_s": 1}));
    let told = cleaned_up(&client, &dry, 6).await;
    assert_eq!(told["changes"], 6, "{told}");
    let count = "SELECT count(*) FROM changes('shop.orders')";
    assert_eq!(client.number(count).await, 6, "a dry run does nothing");
    let called = client.rows("CALL clean_up('shop.orders', history_window_s => 1, dry_run => true)").await;
    assert_eq!(called[0][0], told["exact_from"], "{called:?} {told}");
    let done = client.post_json("/v1/shop/orders/clean-up", &wanted).await.ok();
    assert!(done["changes"] == told["changes"] && done["waiting"].as_i64() > Some(0), "{done}");
    let after_first = tidemark_model::Instant::parse(&first.replace(' ', "T")).unwrap().plus_micros(1);
    let asked = format!("SELECT n FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '{after_first}'");
    assert_eq!(client.query(&asked, &[]).await.problem(), "outside_window");
    assert_eq!(client.query(count, &[]).await.problem(), "outside_window");
    let nearest = client.query(&asked, &[("x-nearest", "on")]).await.ok();
    assert_eq!(nearest["rows"], json!([[0]]), "{nearest}");
    let report = client.post_json("/v1/shop/orders/restore", &json!({"snapshot": "n0"})).await.ok();
    assert_eq!(report["changed"], 1, "{report}");
    assert_eq!(client.number("SELECT n FROM shop.orders").await, 0);
}

/// Also where all that was let go is the first append there ever was.
#[tokio::test]
async fn what_the_window_lets_go_of_the_first_append_is_missed_and_not_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_with(home.path(), eager()).await;
    let client = server.client();
    states(&client, 0, 1).await;
    let window = std::time::Duration::from_secs(4);
    tokio::time::sleep(window).await;
    states(&client, 1, 1).await;
    let _done = cleaned_up(&client, &json!({"history_window_s": window.as_secs()}), 1).await;
    for asked in [
        "SELECT count(*) FROM changes('shop.orders')",
        "SELECT count(*) FROM history('shop.orders', 'a')",
        "SELECT count(*) FROM shop.orders FOR SYSTEM_TIME ALL",
        "SELECT count(*) FROM shop.\"orders$changes\"",
    ] {
        assert_eq!(client.query(asked, &[]).await.problem(), "outside_window", "{asked}");
    }
    assert_eq!(client.number("SELECT n FROM shop.orders").await, 1);
    let refused = client.query("SELECT count(*) FROM diff('shop.orders', NULL)", &[]).await;
    assert_eq!(refused.problem(), "invalid_sql", "{}", refused.text());
}
