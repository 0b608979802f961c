//! The door with a real room behind it.

use axum::http::HeaderName;
use tidemark_model::{Instant, Principal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::{
    Config,
    door::fixture::{NOW, room},
};

async fn post(query: &Query, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, String, String) {
    let mut request = Request::new(body.into());
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let response = ask_query(State(query.clone()), By(Principal::lake()), request)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

const JSON: &str = "application/json";

#[tokio::test]
async fn answers_come_as_they_are_accepted() {
    let query = room(Config::default()).await;
    let body = r#"{"sql":"SELECT column1 AS n, column2 AS t FROM (VALUES (1, 'a'), (2, NULL)) ORDER BY n"}"#;
    for (accept, kind, expected) in [
        (
            JSON,
            JSON,
            "{\"columns\":[{\"name\":\"n\",\"type\":\"Int64\"},{\"name\":\"t\",\"type\":\"Utf8\"}],\"rows\":[\n[1,\"a\"],\n[2,null]],\
             \"as_of\":{\"system_time\":\"2013-01-01T06:00:00.000000Z\"}}\n",
        ),
        ("application/x-ndjson", "application/x-ndjson", "{\"n\":1,\"t\":\"a\"}\n{\"n\":2,\"t\":null}\n"),
        ("text/csv", "text/csv; charset=utf-8", "n,t\r\n1,a\r\n2,\r\n"),
    ] {
        let (status, found, text) = post(&query, &[("accept", accept), ("content-type", JSON)], body).await;
        assert_eq!((status, found.as_str(), text.as_str()), (200, kind, expected));
    }
    let (status, kind, _) = post(&query, &[("accept", "application/vnd.apache.arrow.stream")], body).await;
    assert_eq!((status, kind.as_str()), (200, "application/vnd.apache.arrow.stream"));
}

#[tokio::test]
async fn parameters_take_their_places() {
    let query = room(Config::default()).await;
    let headers = [("accept", "text/csv")];
    for (body, rows) in [
        (
            r#"{"sql":"SELECT column1 FROM (VALUES (1), (2), (3)) WHERE column1 > ? ORDER BY 1","params":[1]}"#,
            "2\r\n3\r\n",
        ),
        (r#"{"sql":"SELECT column1 FROM (VALUES ('a'), ('b')) WHERE column1 = $1","params":["b"]}"#, "b\r\n"),
        (r#"{"sql":"SELECT CAST(? AS BIGINT), CAST(? AS VARCHAR)","params":[null,"x,\"y\""]}"#, ",\"x,\"\"y\"\"\"\r\n"),
    ] {
        let (status, _, text) = post(&query, &headers, body).await;
        assert_eq!((status, text.split_once("\r\n").unwrap().1), (200, rows), "{body}");
    }
}

/// What is nearer to the statement wins: settings in its text, then the body, then headers.
#[tokio::test]
async fn instants_without_a_clause_come_from_text_body_and_headers() {
    let query = room(Config::default()).await;
    let header = ("x-as-of", "2013-01-01T01:00:00Z");
    for (headers, body, expected) in [
        (&[header][..], r#"{"sql":"SHOW tidemark.as_of"}"#, "2013-01-01T01:00:00.000000Z"),
        (&[header], r#"{"sql":"SHOW tidemark.as_of","as_of":"2013-01-01T02:00:00Z"}"#, "2013-01-01T02:00:00.000000Z"),
        (
            &[header],
            r#"{"sql":"SET tidemark.as_of = ?; SHOW tidemark.as_of","as_of":"2013-01-01T02:00:00Z","params":["2013-01-01T03:00:00Z"]}"#,
            "2013-01-01T03:00:00.000000Z",
        ),
        (&[header], r#"{"sql":"RESET tidemark.as_of; SHOW tidemark.as_of"}"#, ""),
        (&[("x-valid-as-of", "0")], r#"{"sql":"SHOW tidemark.valid_as_of;"}"#, "1970-01-01T00:00:00.000000Z"),
        (&[("x-nearest", "on")], r#"{"sql":"SHOW tidemark.nearest"}"#, "on"),
        (&[("x-nearest", "on")], r#"{"sql":"SHOW tidemark.nearest","nearest":false}"#, "off"),
        (&[("x-schema", "as_of")], r#"{"sql":"SHOW tidemark.schema"}"#, "as_of"),
        (&[("x-schema", "as_of")], r#"{"sql":"SHOW tidemark.schema","schema":"present"}"#, "present"),
    ] {
        let headers: Vec<_> = headers.iter().copied().chain([("accept", "text/csv")]).collect();
        let (status, _, text) = post(&query, &headers, body).await;
        assert_eq!((status, text.trim_end().split_once("\r\n").map_or("", |(_, row)| row)), (200, expected), "{body}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_a_problem_document() {
    let query = room(Config::default()).await;
    let future = NOW.plus_micros(1_000_000);
    let later = format!("SELECT count(*) FROM nyc.events FOR SYSTEM_TIME AS OF TIMESTAMP '{future}'");
    for (headers, body, status, code) in [
        (&[][..], r#"{"sql":"SELECT 1 +"}"#.to_owned(), 400, "invalid_sql"),
        (&[], r#"{"sql":""}"#.to_owned(), 400, "invalid_sql"),
        (&[], r#"{"sql":"SELECT 1","params":[1]}"#.to_owned(), 400, "invalid_sql"),
        (&[], r#"{"sql":"SELECT * FROM nyc.nothing"}"#.to_owned(), 404, "unknown_table"),
        (&[], r#"{"sql":"DROP TABLE nyc.events"}"#.to_owned(), 400, "read_only"),
        (&[], r#"{"sql":"SELECT 1","x":1}"#.to_owned(), 400, "invalid_request"),
        (&[], format!("{{\"sql\":\"{later}\"}}"), 400, "instant_in_future"),
        (&[("content-type", "text/plain")], later.clone(), 400, "instant_in_future"),
        (&[("accept", "text/html")], r#"{"sql":"SELECT 1"}"#.to_owned(), 415, "not_acceptable"),
        (&[("content-type", "image/png")], String::new(), 415, "unsupported_media_type"),
        (&[("content-type", "text/plain")], " ".repeat(BODY_BYTES_MAX + 1), 413, "body_too_large"),
        (&[("content-type", "text/plain")], format!("SELECT '{}'", "x".repeat(100 << 10)), 413, "sql_too_large"),
        (&[("x-as-of", "noon")], r#"{"sql":"SELECT 1"}"#.to_owned(), 400, "invalid_request"),
        (&[], r#"{"sql":"SET tidemark.as_of = now()"}"#.to_owned(), 400, "invalid_sql"),
        (
            &[],
            r#"{"sql":"SET tidemark.as_of = now() + INTERVAL '1 s'; SELECT 1"}"#.to_owned(),
            400,
            "instant_in_future",
        ),
        (&[], r#"{"sql":"SELECT 1; SET tidemark.as_of = now()"}"#.to_owned(), 400, "read_only"),
    ] {
        let (found, kind, text) = post(&query, headers, body).await;
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{text}");
        assert_eq!((kind.as_str(), problem["status"].as_u64()), ("application/problem+json", Some(u64::from(status))));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_reaches_the_client_and_cuts_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(room(Config::default()).await).layer(axum::Extension(Principal::lake()));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    for accept in [JSON, "application/x-ndjson"] {
        let body = r#"{"sql":"SELECT 1 / (value - 90000) AS v FROM generate_series(1, 100000)"}"#;
        let head = format!(
            "POST /v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\naccept: {accept}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"error\":{\"code\":\"engine\",\"detail\":\""), "{accept}");
        assert!(!answer.ends_with("\r\n0\r\n\r\n"), "{accept}");
    }
}

#[tokio::test]
async fn another_method_is_told_which_to_use() {
    let response = only_post(Method::GET).await;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].as_bytes()), (405, &b"POST"[..]));
    assert!(Instant::parse("2013-01-01T06:00:00Z").is_ok_and(|at| at == NOW));
}
