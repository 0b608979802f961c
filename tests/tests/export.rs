//! Exports through the doors: what went out comes in again and is equal; Parquet files can be read by others.

use bytes::Bytes;
use serde_json::{Value, json};
use tidemark_tests::{
    client::{Client, Reply},
    server::{Server, binary},
};

async fn exported(client: &Client, parameters: &str) -> Reply {
    client.get(&format!("/v1/shop/orders/export?{parameters}"), &[]).await
}

/// Documents whose texts are easily spoiled: escapes, digits, order of fields, white space.
fn documents() -> Value {
    json!([
        {"op": "insert", "id": "a", "doc": {"n": 1, "s": "line\n\"quoted\" é \u{1F600}"}, "ts": "2024-01-01T00:00:00Z"},
        {"op": "insert", "id": "7", "doc": {"n": 2, "nested": {"b": [1, null], "a": {}}}},
        {"op": "insert", "id": "with \"quotes\" / ü", "doc": {}},
        {"op": "insert", "id": "gone", "doc": {"n": 4}}
    ])
}

/// Digits and white space that a parser would lose.
const EXACT: &str =
    "{\"op\":\"insert\",\"id\":\"exact\",\"doc\":{\"n\" : 3, \"big\":12345678901234567890.10, \"e\":1E2}}\n";

async fn shop(home: &std::path::Path) -> (Server, Client, [String; 2]) {
    let server = Server::start(home).await;
    let client = server.client();
    let receipt = client.changes("shop/orders", &documents()).await;
    let _done = client.post("/v1/shop/orders/changes", EXACT, &[("content-type", "application/x-ndjson")]).await.ok();
    let early = client.post_json("/v1/shop/orders/snapshots", &json!({"name": "early"})).await.ok();
    client.changes("shop/orders", &json!([{"op": "delete", "id": "gone"}])).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (server, client, [text(&receipt["system_time"]), text(&early["instant"])])
}

#[tokio::test]
async fn what_was_exported_comes_in_again_and_is_equal() {
    let home = tempfile::tempdir().unwrap();
    let (_server, client, [then, early]) = shop(home.path()).await;
    let of =
        |collection: &str, rest: &str| format!("SELECT _id, _ts, _doc FROM shop.\"{collection}\" {rest} ORDER BY _id");
    for (nth, (parameters, rest, rows)) in [
        (String::new(), String::new(), 4),
        (format!("as_of={then}"), format!("FOR SYSTEM_TIME AS OF TIMESTAMP '{then}'"), 4),
        (
            "valid_as_of=2024-06-01T00:00:00Z".to_owned(),
            "FOR VALID_TIME AS OF TIMESTAMP '2024-06-01T00:00:00Z'".to_owned(),
            1,
        ),
        (
            "snapshot=early&where=n%20%3E%202".to_owned(),
            format!("FOR SYSTEM_TIME AS OF TIMESTAMP '{early}' WHERE n > 2"),
            2,
        ),
        ("where=n%20%3C%203".to_owned(), "WHERE n < 3".to_owned(), 2),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = exported(&client, &parameters).await;
        assert_eq!(reply.status, 200, "{parameters}: {}", reply.text());
        assert_eq!(reply.text().lines().count(), rows, "{parameters}");
        let copy = format!("copy{nth}");
        let headers = [("content-type", "application/x-ndjson")];
        let _done = client.post(&format!("/v1/shop/{copy}/changes"), reply.body.clone(), &headers).await.ok();
        let was = client.rows(&of("orders", &rest)).await;
        assert_eq!(client.rows(&of(&copy, "")).await, was, "{parameters}");
    }
    for (parameters, code) in [
        ("format=xml", "invalid_request"),
        ("speed=9", "invalid_request"),
        ("as_of=yesterday", "invalid_request"),
        ("snapshot=nope", "unknown_snapshot"),
        ("snapshot=early&as_of=2024-01-01T00:00:00Z", "invalid_sql"),
        ("where=n%20%3E", "invalid_sql"),
        ("as_of=2999-01-01T00:00:00Z", "instant_in_future"),
    ] {
        assert_eq!(exported(&client, parameters).await.problem(), code, "{parameters}");
    }
}

#[tokio::test]
async fn parquet_is_spoken_by_every_door_of_http() {
    let home = tempfile::tempdir().unwrap();
    let (server, client, _) = shop(home.path()).await;
    let file = home.path().join("orders.parquet");
    let words =
        ["export", "shop.orders", "--format", "parquet", "--url", &format!("http://{}", server.http()), "--output"];
    let ended = tokio::process::Command::new(binary()).args(words).arg(&file).status().await.unwrap();
    assert!(ended.success());
    let by_command = std::fs::read(&file).unwrap();
    let by_query = client.query("SELECT * FROM shop.orders", &[("accept", "application/vnd.apache.parquet")]).await;
    assert_eq!(by_query.header("content-type"), Some("application/vnd.apache.parquet"), "{}", by_query.text());
    let by_export = exported(&client, "format=parquet").await;
    let none =
        client.query("SELECT * FROM shop.orders WHERE false", &[("accept", "application/vnd.apache.parquet")]).await;
    for (body, rows) in [(by_command, 4), (by_query.body, 4), (by_export.body, 4), (none.body, 0)] {
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(Bytes::from(body)).unwrap();
        assert!(reader.schema().field_with_name("_doc").is_ok() && reader.schema().field_with_name("n").is_ok());
        let read: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(read, rows);
    }
}

/// More than one row group, and more than one piece of a body.
#[tokio::test]
async fn large_parquet_answers_stream_whole() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let sql = "SELECT value AS n, repeat('x', 20) AS pad FROM generate_series(1, 300000)";
    let reply = server.client().query(sql, &[("accept", "application/vnd.apache.parquet")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(Bytes::from(reply.body)).unwrap();
    assert!(reader.metadata().num_row_groups() > 1);
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 300_000);
}
