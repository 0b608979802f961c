//! Bad input: each kind with its status, its code and a problem document; nothing is stored partly, nothing panics.

use std::io::Write as _;

use serde_json::{Value, json};
use tidemark_tests::{client::Client, server::Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const ZSTD: (&str, &str) = ("content-encoding", "zstd");
const EVENTS: &str = "/v1/shop/events";
const CHANGES: &str = "/v1/shop/orders/changes";

/// One bad request and how it is refused.
struct Case {
    what: &'static str,
    path: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, &'static str)>,
    status: u16,
    code: &'static str,
}

fn case(what: &'static str, path: &str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    Case { what, path: path.to_owned(), body: body.into(), headers: vec![JSON], status, code }
}

impl Case {
    fn with(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers = headers.to_vec();
        self
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bodies() -> Vec<Case> {
    let good = r#"{"type":"order.placed"}"#;
    let zipped = gzip(good.as_bytes());
    let mut broken = zipped.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    let zeros = vec![b' '; 80 << 20];
    let deep = format!(r#"{{"type":"a","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let many = format!("[{}]", vec![good; 10_001].join(","));
    let large = json!({"type": "a", "data": {"x": "y".repeat(2 << 20)}}).to_string();
    vec![
        case("no body", EVENTS, "", 400, "empty_body"),
        case("an empty array", EVENTS, "[]", 400, "empty_body"),
        case("half a document", EVENTS, r#"{"type":"a","data":{"#, 400, "invalid_json"),
        case("two documents", EVENTS, r#"{"type":"a"} {"type":"b"}"#, 400, "invalid_json"),
        case("no JSON", EVENTS, "order placed", 400, "invalid_json"),
        case("invalid UTF-8", EVENTS, b"{\"type\":\"a\",\"data\":{\"x\":\"\xff\xfe\"}}".to_vec(), 400, "invalid_utf8"),
        case("a number, no event", EVENTS, "7", 422, "not_an_object"),
        case("depth 10,000", EVENTS, deep, 400, "too_deep"),
        case("10,001 events", EVENTS, many, 413, "too_many_events"),
        case("an event of 2 MiB", EVENTS, large, 413, "event_too_large"),
        case("a body of 17 MiB", EVENTS, vec![b' '; 17 << 20], 413, "body_too_large"),
        case("broken gzip", EVENTS, broken, 400, "").with(&[JSON, GZIP]),
        case("truncated gzip", EVENTS, &zipped[..zipped.len() - 5], 400, "").with(&[JSON, GZIP]),
        case("gzip that is none", EVENTS, good, 400, "").with(&[JSON, GZIP]),
        case("a gzip bomb", EVENTS, gzip(&zeros), 413, "body_too_large").with(&[JSON, GZIP]),
        case("a zstd bomb", EVENTS, zstd::encode_all(&zeros[..], 3).unwrap(), 413, "body_too_large")
            .with(&[JSON, ZSTD]),
        case("zstd that is none", EVENTS, good, 400, "").with(&[JSON, ZSTD]),
        case("an unknown encoding", EVENTS, good, 415, "").with(&[JSON, ("content-encoding", "br")]),
        case("an unknown type", EVENTS, good, 415, "").with(&[("content-type", "text/xml")]),
        case("a bad line of NDJSON", EVENTS, format!("{good}\n{{\"type\":\n{good}"), 400, "invalid_json")
            .with(&[NDJSON]),
    ]
}

fn records() -> Vec<Case> {
    let change = |text: &str| format!(r#"[{{"op":"insert","id":"1","doc":{{"n":1}}}},{text}]"#);
    vec![
        case("no type", EVENTS, r#"{"data":{}}"#, 422, "missing_field"),
        case("a type that is no text", EVENTS, r#"{"type":7}"#, 422, "invalid_type"),
        case("an empty type", EVENTS, r#"{"type":""}"#, 422, "invalid_type"),
        case("a time that is none", EVENTS, r#"{"type":"a","ts":"yesterday"}"#, 422, "invalid_ts"),
        case("a time without a zone", EVENTS, r#"{"type":"a","ts":"2026-01-01T00:00:00"}"#, 422, "invalid_ts"),
        case("a time far ahead", EVENTS, r#"{"type":"a","ts":"2999-01-01T00:00:00Z"}"#, 422, "invalid_ts"),
        case("an id that is no text", EVENTS, r#"{"type":"a","id":{"x":1}}"#, 422, "invalid_id"),
        case("one bad of two", EVENTS, r#"[{"type":"a"},{"type":"a b"}]"#, 422, "invalid_type"),
        case("a clash with data", EVENTS, r#"{"type":"a","data":{"x":1},"x":2}"#, 422, "field_clash"),
        case("an unknown operation", CHANGES, change(r#"{"op":"upsert","id":"2","doc":{}}"#), 422, "invalid_op"),
        case("no key", CHANGES, change(r#"{"op":"insert","doc":{}}"#), 422, "missing_field"),
        case("an insert without a document", CHANGES, change(r#"{"op":"insert","id":"2"}"#), 422, "missing_field"),
        case("a document that is none", CHANGES, change(r#"{"op":"update","id":"2","doc":[1]}"#), 422, "invalid_doc"),
        case("a bookmark that is no text", CHANGES, change(r#"{"op":"delete","id":"2","bookmark":[]}"#), 422, ""),
    ]
}

fn names() -> Vec<Case> {
    let event = r#"{"type":"a"}"#;
    let change = r#"{"op":"delete","id":"1"}"#;
    let long = "a".repeat(64);
    let mut cases = Vec::new();
    for name in [
        "_x",
        "..%2Fx",
        "%2E%2E%2Fx",
        &long,
        "na%C3%AFve",
        "Shop",
        "pg_x",
        "system",
        "information_schema",
        "a%00b",
        "%20",
    ] {
        cases.push(case("a bad namespace", &format!("/v1/{name}/events"), event, 400, "invalid_name"));
        cases.push(case("a bad collection", &format!("/v1/shop/{name}/changes"), change, 400, "invalid_name"));
    }
    cases.push(case("a reserved collection", "/v1/shop/events/changes", change, 400, "invalid_name"));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_request_is_refused_and_stores_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let (client, pid) = (server.client(), server.pid());
    client.events("shop", &json!({"type": "order.placed", "id": "known", "data": {"n": 1}})).await;

    let mut wrong = Vec::new();
    for case in bodies().into_iter().chain(records()).chain(names()) {
        let reply = client.post(&case.path, case.body, &case.headers).await;
        let said: String = reply.text().chars().take(300).collect();
        if reply.status != case.status || (!case.code.is_empty() && reply.problem() != case.code) {
            wrong.push(format!(
                "{} ({}): {} {said}, expected {} {}",
                case.what, case.path, reply.status, case.status, case.code
            ));
        } else {
            reply.problem();
        }
        assert!(server.is_alive(), "the server ended at {}", case.what);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(client.number("SELECT count(*) FROM shop.events").await, 1, "something was stored");
    let tables = client.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'").await;
    assert_eq!(tables, [[json!("events")]], "a collection appeared");
    assert_eq!(server.pid(), pid);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// The problem says which record is bad, and where in it.
#[tokio::test]
async fn a_problem_names_record_and_field() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let events = json!([{"type": "a"}, {"type": "a", "id": "e2", "ts": "noon"}]);
    let reply = server.client().post_json(EVENTS, &events).await;
    assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid_ts"));
    let error = &reply.json()["errors"][0];
    assert_eq!((&error["index"], &error["id"], &error["pointer"]), (&json!(1), &json!("e2"), &json!("/ts")), "{error}");
    // The table of a namespace that never got an event is not there.
    assert_eq!(server.client().query("SELECT * FROM shop.events", &[]).await.status, 404);
}

#[tokio::test]
async fn a_key_and_an_id_mean_one_content() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let first = keyed(&server.client(), "k1", &json!({"type": "a", "id": "e1", "data": {"n": 1}})).await;
    for after_restart in [false, true] {
        if after_restart {
            server.kill().await;
            server.restart().await;
        }
        let client = server.client();
        let again = keyed(&client, "k1", &json!({"type": "a", "id": "e1", "data": {"n": 1}})).await;
        assert_eq!(again.ok()["duplicate"], json!(true));
        for field in ["positions", "system_time", "accepted"] {
            assert_eq!(again.json()[field], first.json()[field], "{field}");
        }
        let other = keyed(&client, "k1", &json!({"type": "a", "id": "e1", "data": {"n": 2}})).await;
        assert_eq!((other.status, other.problem().as_str()), (422, "idempotency_mismatch"));
        let conflict =
            client.post_json(EVENTS, &json!([{"type": "b"}, {"type": "a", "id": "e1", "data": {"n": 2}}])).await;
        assert_eq!((conflict.status, conflict.problem().as_str()), (409, "id_conflict"));
        let copy = client.post_json(EVENTS, &json!({"type": "a", "id": "e1", "data": {"n": 1}})).await.ok();
        assert_eq!((&copy["accepted"], &copy["duplicates"]), (&json!(0), &json!(1)));
        // A refused batch burns no key.
        let bad = keyed(&client, "k2", &json!({"type": "no good"})).await;
        assert_eq!(bad.status, 422);
        assert_eq!(client.number("SELECT count(*) FROM shop.events").await, 1);
    }
    let settled = keyed(&server.client(), "k2", &json!({"type": "good"})).await;
    assert_eq!(settled.ok()["accepted"], json!(1));
}

async fn keyed(client: &Client, key: &str, event: &Value) -> tidemark_tests::client::Reply {
    client.post(EVENTS, event.to_string(), &[JSON, ("idempotency-key", key)]).await
}

/// `on_error=partial` takes the good ones and lists the bad ones.
#[tokio::test]
async fn partial_takes_the_good_ones() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path()).await;
    let events = json!([{"type": "a"}, {"type": "no good"}, {"type": "a"}]);
    let receipt = server.client().post_json("/v1/shop/events?on_error=partial", &events).await.ok();
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&json!(2), &json!(1)), "{receipt}");
    assert_eq!(receipt["errors"][0]["index"], json!(1));
    assert_eq!(server.client().number("SELECT count(*) FROM shop.events").await, 2);
}

/// A body that ends before its length, over a raw connection: nothing of it is stored.
#[tokio::test]
async fn a_truncated_body_stores_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    server.client().events("shop", &json!({"type": "a"})).await;
    let line = "{\"type\":\"a\"}\n";
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        server.http(),
        line.len() * 10
    );
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(line.repeat(5).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(server.client().number("SELECT count(*) FROM shop.events").await, 1);
    assert!(server.is_alive());
}

/// SQL that is refused with a reason, whatever it tries; the process lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_sql_is_refused_with_a_reason() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path()).await;
    let (client, pid) = (server.client(), server.pid());
    client.changes("shop/orders", &json!({"op": "insert", "id": "1", "doc": {"n": 1}})).await;
    let scratch = home.path().join("copied.csv");
    let long = [
        format!("SELECT {}", vec!["1"; 20_000].join("+")),
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT 1 WHERE {}", vec!["1=1"; 5_000].join(" OR ")),
        vec!["SELECT 1"; 3_000].join(" UNION ALL "),
        format!("SELECT '{}'", "x".repeat(100_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(500), ") x".repeat(500)),
        format!("COPY shop.orders TO '{}'", scratch.display()),
    ];
    let short = [
        "",
        "   ",
        ";",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE shop.orders",
        "DROP TABLE shop.orders",
        "CREATE TABLE shop.x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "INSERT INTO shop.orders VALUES (1)",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "EXPLAIN ANALYZE DROP TABLE shop.orders",
        "PREPARE p AS DROP TABLE shop.orders",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'http://127.0.0.1/'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM shop.nothing",
        "SELECT * FROM nowhere.nothing",
        "SELECT nothing FROM shop.orders",
        "SELECT nothing(1)",
        "SELECT * FROM shop.orders TABLESAMPLE SYSTEM (1)",
        "SELECT * FROM shop.orders FOR SYSTEM_TIME AS OF n",
        "SELECT * FROM shop.orders AT (STATEMENT => 'x')",
        "SELECT * FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '2999-01-01T00:00:00Z'",
        "SELECT * FROM shop.orders FOR SYSTEM_TIME AS OF TIMESTAMP '1999-01-01T00:00:00Z'",
        "SELECT * FROM (VALUES (1)) v FOR SYSTEM_TIME AS OF now()",
        "WITH orders AS (SELECT 1) SELECT * FROM orders FOR SYSTEM_TIME AS OF now()",
    ];
    for sql in long.iter().map(String::as_str).chain(short) {
        let shown: String = sql.chars().take(80).collect();
        let reply = client.query(sql, &[]).await;
        assert!((400..500).contains(&reply.status), "{shown}: {} {}", reply.status, reply.text());
        reply.problem();
        assert!(server.is_alive(), "the server ended at {shown}");
    }
    for (body, status) in [("", 400), ("{", 400), ("{\"sql\":7}", 400), ("{\"query\":\"SELECT 1\"}", 400), ("[]", 400)]
    {
        let reply = client.post("/v1/query", body, &[JSON]).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        reply.problem();
    }
    assert!(!scratch.exists(), "SQL wrote a file");
    assert_eq!(client.number("SELECT count(*) FROM shop.orders").await, 1);
    assert_eq!(server.pid(), pid);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
