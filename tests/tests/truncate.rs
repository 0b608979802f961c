//! A source truncates a table: every document of the collection that lives at that moment goes, in order with the rest.

use serde_json::{Value, json};
use tidemark_tests::{client::Client, server::Server};

const CREATE: &str = include_str!("../../crates/ingest/tests/fixtures/debezium/postgresql_create.json");
const TRUNCATE: &str = include_str!("../../crates/ingest/tests/fixtures/debezium/postgresql_truncate.json");
/// The source time of the truncate of the fixture, and its position.
const TRUNCATED: (i64, i64) = (1_559_033_904_863_112, 46_523_128);

/// The fixture's insert of another customer, so many microseconds and positions from the truncate.
fn create(id: &str, from: i64) -> Value {
    let mut message: Value = serde_json::from_str(CREATE).unwrap();
    let payload = &mut message["payload"];
    payload["after"]["id"] = json!(id);
    let source = &mut payload["source"];
    (source["ts_us"], source["ts_ns"]) = (json!(TRUNCATED.0 + from), json!((TRUNCATED.0 + from) * 1000));
    source["lsn"] = json!(TRUNCATED.1 + from);
    message["schema"] = json!({});
    message
}

fn truncate() -> Value {
    serde_json::from_str(TRUNCATE).unwrap()
}

async fn post(client: &Client, messages: &[Value], headers: &[(&str, &str)]) -> Value {
    let headers = [&[("content-type", "application/json")][..], headers].concat();
    client.post("/v1/shop/events?key=id", json!(messages).to_string(), &headers).await.ok()
}

async fn ids(client: &Client) -> Vec<String> {
    let rows = client.rows("SELECT _id FROM shop.customers ORDER BY _id").await;
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_lives_at_a_truncate_goes_and_what_comes_after_stays() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let client = server.client();
    // A truncate of what nobody knows deletes nothing and creates nothing.
    assert_eq!(post(&client, &[truncate()], &[]).await["accepted"], 0);
    post(&client, &[create("a", -9), create("b", -8)], &[]).await;
    // In a file, in the tail, in the same request; and behind it, one of them with an id from before.
    let _done = client.post_json("/v1/shop/customers/snapshots", &json!({"name": "before"})).await.ok();
    post(&client, &[create("c", -7)], &[]).await;
    let request = [create("d", -6), truncate(), create("e", 1), create("a", 2)];
    let receipt = post(&client, &request, &[]).await;
    assert_eq!((&receipt["accepted"], &receipt["duplicates"]), (&json!(7), &json!(0)), "{receipt}");
    assert_eq!(ids(&client).await, ["a", "e"]);
    // Delivered again, also behind a crash: nothing is stored twice, and what came after stays.
    server.kill().await;
    server.restart().await;
    let client = server.client();
    let again = post(&client, &request, &[]).await;
    assert_eq!(again["accepted"].as_i64().unwrap() + again["duplicates"].as_i64().unwrap(), 3, "{again}");
    assert_eq!(ids(&client).await, ["a", "e"]);
    let deletes = "SELECT count(*) FROM shop.events WHERE op = 'delete' AND meta->>'table' = 'customers'";
    assert_eq!(client.number(deletes).await, 4);
    // The past is the past, and both halves of the request are in it.
    let was = client
        .rows("SELECT count(*) FROM shop.customers FOR VALID_TIME AS OF TIMESTAMP '2019-05-28T08:58:24.863111Z'")
        .await;
    assert_eq!(json!(was), json!([[4]]));
    let gone = client
        .rows("SELECT count(*) FROM shop.customers FOR VALID_TIME AS OF TIMESTAMP '2019-05-28T08:58:24.863112Z'")
        .await;
    assert_eq!(json!(gone), json!([[0]]));
}

/// One that was written again before the truncate arrived lived at it too, as an older image.
#[tokio::test]
async fn an_image_of_before_ends_at_a_truncate_that_comes_late() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    post(&client, &[create("a", -9), create("b", -8), create("a", 3)], &[]).await;
    let receipt = post(&client, &[truncate()], &[]).await;
    assert_eq!(receipt["accepted"], 2, "{receipt}");
    assert_eq!(ids(&client).await, ["a"]);
    for (micros, expected) in [("111", json!([["a"], ["b"]])), ("113", json!([])), ("115", json!([["a"]]))] {
        let then = format!("TIMESTAMP '2019-05-28T08:58:24.863{micros}Z'");
        let was =
            client.rows(&format!("SELECT _id FROM shop.customers FOR VALID_TIME AS OF {then} ORDER BY _id")).await;
        assert_eq!(json!(was), expected, "{then}");
    }
}

#[tokio::test]
async fn the_receipt_of_all_parts_is_the_same_behind_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    post(&server.client(), &[create("a", -9), create("b", -8)], &[]).await;
    let (request, key) = ([create("d", -6), truncate(), create("e", 1)], [("idempotency-key", "once")]);
    let first = post(&server.client(), &request, &key).await;
    assert!(first["positions"].as_array().unwrap().len() > 1, "{first}");
    server.kill().await;
    server.restart().await;
    let mut again = post(&server.client(), &request, &key).await;
    assert_eq!(again["duplicate"].take(), json!(true));
    again.as_object_mut().unwrap().remove("duplicate");
    assert_eq!(again, first);
}

fn flattened(lsn: i64, op: &str, row: &str) -> String {
    let metadata = format!(r#""__op":"{op}","__table":"customers","__lsn":"{lsn}","__source_ts_ms":"155903390{lsn}""#);
    format!("{{{row}{metadata}}}")
}

fn cloud_event(lsn: i64, op: &str, data: &str) -> Value {
    let mut event = json!({
        "id": format!("lsn:{lsn}"), "source": "/debezium/postgresql/shop", "specversion": "1.0",
        "type": "io.debezium.connector.postgresql.DataChangeEvent", "time": "2020-01-13T13:55:39.738Z",
        "iodebeziumop": op, "iodebeziumtable": "customers", "iodebeziumschema": "public",
        "iodebeziumlsn": lsn.to_string(), "iodebeziumtsms": format!("155903390{lsn}")
    });
    event["data"] = serde_json::from_str(data).unwrap();
    event
}

/// The same rows and truncates in other dresses: positions and times ascend with the number.
#[tokio::test]
async fn a_truncate_is_one_in_every_dress() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    let headers = [("content-type", "application/x-ndjson")];
    let first = [flattened(1001, "c", r#""id":1,"#), flattened(1002, "c", r#""id":2,"#)].join("\n");
    let _first = client.post("/v1/shop/events", first, &headers).await.ok();
    let lines = [flattened(1003, "t", ""), flattened(1004, "c", r#""id":3,"#)].join("\n");
    for accepted in [3, 0] {
        let receipt = client.post("/v1/shop/events", lines.clone(), &headers).await.ok();
        assert_eq!(receipt["accepted"], accepted, "{receipt}");
        assert_eq!(ids(&client).await, ["3"]);
    }
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let events = json!([
        cloud_event(1005, "t", r#"{"before":null,"after":null}"#),
        cloud_event(1006, "c", r#"{"before":null,"after":{"id":4}}"#),
        cloud_event(1007, "t", r#"{"schema":{},"payload":{"before":null,"after":null}}"#),
        cloud_event(1008, "c", r#"{"before":null,"after":{"id":5}}"#)
    ]);
    let receipt = client.post("/v1/shop/events", events.to_string(), &headers).await.ok();
    assert_eq!(receipt["accepted"], 4, "{receipt}");
    assert_eq!(ids(&client).await, ["5"]);
    let metas = client
        .rows("SELECT DISTINCT meta->>'__op', meta->>'iodebeziumop' FROM shop.events WHERE op = 'delete' ORDER BY 1")
        .await;
    assert_eq!(json!(metas), json!([["t", null], [null, "t"]]));
    let row = flattened(1009, "t", r#""id":9,"#);
    let refused = client.post("/v1/shop/events", row, &[("content-type", "application/json")]).await;
    assert_eq!((refused.status, refused.problem()), (422, "invalid_op".to_owned()));
}

/// The key of such a request remembers what all of its parts came to.
#[tokio::test]
async fn a_truncate_takes_a_key_and_many_documents() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let client = server.client();
    for part in 0..3 {
        let messages: Vec<Value> = (0..4000).map(|n| create(&format!("k{}", part * 4000 + n), n - 20_000)).collect();
        post(&client, &messages, &[]).await;
    }
    let key = [("idempotency-key", "once")];
    let request = [truncate(), create("last", 1), truncate()];
    let receipt = post(&client, &request, &key).await;
    assert_eq!(receipt["accepted"], 12_001, "{receipt}");
    assert_eq!(ids(&client).await, ["last"], "the second truncate is the first, which the source had sent before");
    let again = post(&client, &request, &key).await;
    assert_eq!((&again["duplicate"], &again["accepted"]), (&json!(true), &json!(12_001)));
    let too_many: Vec<Value> = std::iter::repeat_with(truncate).take(65).collect();
    let headers = [("content-type", "application/json")];
    let refused = client.post("/v1/shop/events", json!(too_many).to_string(), &headers).await;
    assert_eq!((refused.status, refused.problem()), (422, "unsupported_op".to_owned()));
    assert_eq!(ids(&client).await, ["last"]);
}
