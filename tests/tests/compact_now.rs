//! Compaction when a person asks for it: over HTTP, in SQL and from the command line; answers stay the same.

use serde_json::{Value, json};
use tidemark_tests::{
    client::Client,
    server::{Server, binary},
};

const ALL: &str = "SELECT _id, n, _ts, _system_time FROM shop.orders";

async fn counts(client: &Client, body: Value) -> Vec<(String, i64, i64, i64)> {
    let done = client.post_json("/v1/compact", &body).await.ok();
    let tables = done["tables"].as_array().unwrap();
    let number = |table: &Value, name: &str| table[name].as_i64().unwrap();
    let row = |table: &Value| {
        let name = table["table"].as_str().unwrap().to_owned();
        (name, number(table, "commits"), number(table, "files_before"), number(table, "files_after"))
    };
    tables.iter().map(row).collect()
}

#[tokio::test]
async fn many_files_become_few_at_once_and_no_answer_changes() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let client = server.client();
    let mut instants = Vec::new();
    for n in 0..5 {
        let changes = json!([{"op": "update", "id": "a", "doc": {"n": n}}, {"op": "insert", "id": format!("k{n}"), "doc": {"n": n}}]);
        let receipt = client.changes("shop/orders", &changes).await;
        instants.push(receipt["system_time"].as_str().unwrap().to_owned());
        client.events("shop", &json!([{"type": "seen", "data": {"n": n}}])).await;
        // Whoever publishes has everything in files.
        let _done = client.post_json("/v1/publish", &json!({"namespace": "shop"})).await.ok();
    }
    client.changes("other/things", &json!([{"op": "insert", "id": "1", "doc": {}}])).await;
    let mut answers = Vec::new();
    for at in &instants {
        answers.push(client.rows(&format!("{ALL} FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' ORDER BY _id")).await);
    }
    let events = client.rows("SELECT id, type, data, _seq FROM shop.events ORDER BY _shard, _seq").await;

    let done = counts(&client, json!({"namespace": "shop"})).await;
    assert_eq!(done.len(), 2, "{done:?}");
    let (orders, all) = (&done[0], &done[1]);
    assert!(orders.0 == "shop.orders" && orders.1 >= 1, "{done:?}");
    assert!(all.0 == "shop.events" && all.1 >= 1 && all.2 == 5 && all.3 == 1, "{done:?}");
    for (at, expected) in instants.iter().zip(&answers) {
        let asked = format!("{ALL} FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' ORDER BY _id");
        assert_eq!(&client.rows(&asked).await, expected, "{at}");
    }
    assert_eq!(client.rows("SELECT id, type, data, _seq FROM shop.events ORDER BY _shard, _seq").await, events);
    assert_eq!(
        client.number("SELECT count(*) FROM system.files WHERE namespace = 'shop' AND kind = 'events'").await,
        1
    );

    // Again there is nothing to do; without a name everything is meant.
    let again = counts(&client, json!({})).await;
    let names: Vec<&str> = again.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["other.things", "other.events", "shop.orders", "shop.events"]);
    assert!(again[2].1 == 0 && again[3].1 == 0, "{again:?}");
    let called = client.rows("CALL compact('shop.orders')").await;
    assert_eq!(called.len(), 2, "{called:?}");
    assert_eq!(json!(called[0][..2]), json!(["shop.orders", 0]));

    let run = std::process::Command::new(binary())
        .args(["compact", "shop/orders", "--url", &format!("http://{}", server.http())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && said.contains("shop.orders") && said.contains("files_after"), "{run:?}");

    for (body, status, code) in [
        (json!({"namespace": "nowhere"}), 404, "unknown_namespace"),
        (json!({"namespace": "shop", "collection": "nothing"}), 404, "unknown_collection"),
        (json!({"collection": "orders"}), 400, "invalid_body"),
        (json!({"namespace": "../x"}), 400, "invalid_body"),
        (json!({"speed": 9}), 400, "invalid_body"),
    ] {
        let refused = client.post_json("/v1/compact", &body).await;
        assert_eq!((refused.status, refused.problem()), (status, code.to_owned()), "{body}");
    }
    assert!(server.is_alive());
}
