//! Every kind of bad input: status, code, pointer; nothing of it is stored.

use std::io::Write;

use axum::body::Body;
use tidemark_model::Table;

use crate::bed::Bed;

const EVENTS: &str = "/v1/shop/events";
const CHANGES: &str = "/v1/shop/orders/changes";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// What it is, the body, its headers; status and code.
type Case<'a> = (&'a str, Vec<u8>, &'a [(&'a str, &'a str)], u16, &'a str);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let bed = Bed::new().await;
    let good = br#"{"type":"a"}"#.to_vec();
    let zeros = vec![b' '; (64 << 20) + 1];
    let packed = gzip(&good);
    let brackets = "[".repeat(10_000);
    let many = vec!["{\"type\":\"a\"}"; 10_001].join("\n");
    let array = format!("[{}]", vec!["{\"type\":\"a\"}"; 10_001].join(","));
    let cases: Vec<Case<'_>> = vec![
        ("empty", vec![], &[], 400, "empty_body"),
        ("blank lines", b"\n \n".to_vec(), &[NDJSON], 400, "empty_body"),
        ("no event", b"[]".to_vec(), &[], 400, "empty_body"),
        ("truncated", br#"[{"type":"a"},{"ty"#.to_vec(), &[], 400, "invalid_json"),
        ("truncated object", br#"{"type":"a","data":{"#.to_vec(), &[], 400, "invalid_json"),
        ("something behind it", br#"[{"type":"a"}] x"#.to_vec(), &[], 400, "invalid_json"),
        ("a scalar", b"7".to_vec(), &[], 422, "not_an_object"),
        ("a bad line", b"{\"type\":\"a\"}\n{".to_vec(), &[NDJSON], 400, "invalid_json"),
        ("not UTF-8", b"{\"type\":\"a\xff\"}".to_vec(), &[], 400, "invalid_utf8"),
        ("deep", format!(r#"{{"type":"a","data":{brackets}{}}}"#, "]".repeat(10_000)).into(), &[], 400, "too_deep"),
        ("deep and open", format!(r#"{{"type":"a","data":{brackets}"#).into(), &[], 400, "invalid_json"),
        ("deep records", format!("{brackets}{}", "]".repeat(10_000)).into(), &[], 422, "not_an_object"),
        ("10,001 lines", many.into(), &[NDJSON], 413, "too_many_events"),
        ("10,001 in an array", array.into(), &[], 413, "too_many_events"),
        ("too long", vec![b' '; (16 << 20) + 1], &[], 413, "body_too_large"),
        ("no gzip", good.clone(), &[("content-encoding", "gzip")], 400, "invalid_gzip"),
        ("cut gzip", packed[..packed.len() - 6].to_vec(), &[("content-encoding", "gzip")], 400, "invalid_gzip"),
        ("a gzip bomb", gzip(&zeros), &[("content-encoding", "gzip")], 413, "body_too_large"),
        (
            "a zstd bomb",
            zstd::encode_all(&zeros[..], 1).expect("packs"),
            &[("content-encoding", "zstd")],
            413,
            "body_too_large",
        ),
        ("no zstd", good.clone(), &[("content-encoding", "zstd")], 400, "invalid_zstd"),
        ("brotli", good.clone(), &[("content-encoding", "br")], 415, "unsupported_content_encoding"),
        ("xml", good.clone(), &[("content-type", "text/xml")], 415, "unsupported_content_type"),
        (
            "latin-1",
            good.clone(),
            &[("content-type", "application/json; charset=latin1")],
            415,
            "unsupported_content_type",
        ),
        ("a long key", good.clone(), &[("idempotency-key", KEY_TOO_LONG)], 400, "invalid_parameter"),
        ("an empty key", good.clone(), &[("idempotency-key", "")], 400, "invalid_parameter"),
        ("a batch with more", br#"{"events":[{"type":"a"}],"x":1}"#.to_vec(), &[], 400, "unknown_field"),
    ];
    for (what, body, headers, status, code) in cases {
        let reply = bed.post(EVENTS, body, headers).await;
        assert_eq!(reply.problem(), (status, code), "{what}: {}", reply.json);
        assert!(reply.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}");
    }
    assert_eq!(bed.count(&Table::Events).await, 0);
    assert!(bed.catalog.namespaces().is_empty(), "a refused request makes no namespace");
}

const KEY_TOO_LONG: &str = concat!(
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "012345678901234567890123456789012345678901234567890123456"
);

#[tokio::test]
async fn where_a_body_breaks_is_told() {
    let bed = Bed::new().await;
    for (body, headers, says) in [
        (&b"[{\"type\":\"a\"},\n{\"type\" 1}]"[..], &[][..], "line 2, column 9"),
        (b"{\"type\":\"a\"}\n\n{\"type\":", &[NDJSON], "line 3"),
        (b"{\"type\":\"\xc3\x28\"}", &[], "at byte 9"),
    ] {
        let reply = bed.post(EVENTS, body, headers).await;
        let detail = reply.json["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{detail:?} does not say {says:?}");
    }
}

#[tokio::test]
async fn records_that_are_refused() {
    let bed = Bed::new().await;
    let long = "x".repeat(257);
    let longer = "x".repeat(1025);
    let huge = "x".repeat((1 << 20) + 1);
    let events = [
        (r#"{"data":{}}"#.to_owned(), 422, "missing_field", "/type"),
        (r#"{"type":7}"#.to_owned(), 422, "invalid_type", "/type"),
        (r#"{"type":""}"#.to_owned(), 422, "invalid_type", "/type"),
        (r#"{"type":"a b"}"#.to_owned(), 422, "invalid_type", "/type"),
        (r#"{"type":"\ud800"}"#.to_owned(), 422, "invalid_type", "/type"),
        (r#"{"type":"a","ts":"yesterday"}"#.to_owned(), 422, "invalid_ts", "/ts"),
        (r#"{"type":"a","ts":"2026-01-01T00:00:00"}"#.to_owned(), 422, "invalid_ts", "/ts"),
        (r#"{"type":"a","ts":1.5}"#.to_owned(), 422, "invalid_ts", "/ts"),
        (r#"{"type":"a","ts":99999999999999999}"#.to_owned(), 422, "invalid_ts", "/ts"),
        (r#"{"type":"a","ts":"2026-01-01T01:00:00.000001Z"}"#.to_owned(), 422, "invalid_ts", "/ts"),
        (r#"{"type":"a","id":7}"#.to_owned(), 422, "invalid_id", "/id"),
        (r#"{"type":"a","id":""}"#.to_owned(), 422, "invalid_id", "/id"),
        (format!(r#"{{"type":"a","id":"{long}"}}"#), 422, "invalid_id", "/id"),
        (r#"{"type":"a","source":[]}"#.to_owned(), 422, "invalid_field", "/source"),
        (r#"{"type":"a","actor":7}"#.to_owned(), 422, "invalid_field", "/actor"),
        (r#"{"type":"a","data":{"x":1},"x":2}"#.to_owned(), 422, "field_clash", "/x"),
        (r#"{"type":"a","data":7,"x":2}"#.to_owned(), 422, "field_clash", "/x"),
        (r#"{"type":"a","data":{"a/~":1},"a/~":2}"#.to_owned(), 422, "field_clash", "/a~1~0"),
        (format!(r#"{{"type":"a","data":"{huge}"}}"#), 413, "event_too_large", ""),
        (r#"[{"type":"a"},7]"#.to_owned(), 422, "not_an_object", ""),
        (r#"[{"type":"a"},["x"]]"#.to_owned(), 422, "not_an_object", ""),
        (r#"{"collection":"_x","op":"delete","id":"1"}"#.to_owned(), 422, "invalid_collection", "/collection"),
    ];
    let changes = [
        (r#"{"op":"upsert","id":"1","doc":{}}"#.to_owned(), 422, "invalid_op", "/op"),
        (r#"{"id":"1","doc":{}}"#.to_owned(), 422, "missing_field", "/op"),
        (r#"{"op":"insert","doc":{}}"#.to_owned(), 422, "missing_field", "/id"),
        (r#"{"op":"insert","id":"1"}"#.to_owned(), 422, "missing_field", "/doc"),
        (r#"{"op":"insert","id":"1","doc":null}"#.to_owned(), 422, "missing_field", "/doc"),
        (r#"{"op":"insert","id":"1","doc":[1]}"#.to_owned(), 422, "invalid_doc", "/doc"),
        (r#"{"op":"insert","id":"1","doc":{"\ud800":1}}"#.to_owned(), 422, "invalid_doc", "/doc"),
        (r#"{"op":"insert","id":"1","doc":{"a":"\udfff"}}"#.to_owned(), 422, "invalid_doc", "/doc"),
        (r#"{"op":"insert","id":"1","doc":{"a":[{"b\ud83d":1}]}}"#.to_owned(), 422, "invalid_doc", "/doc"),
        (r#"{"op":"delete","id":"1","prev":{"a":"\ud83d\n"}}"#.to_owned(), 422, "invalid_doc", "/prev"),
        (r#"{"op":"delete","id":""}"#.to_owned(), 422, "invalid_id", "/id"),
        (r#"{"op":"delete","id":1.5}"#.to_owned(), 422, "invalid_id", "/id"),
        (format!(r#"{{"op":"delete","id":"{longer}"}}"#), 422, "invalid_id", "/id"),
        (r#"{"op":"delete","id":"1","prev":7}"#.to_owned(), 422, "invalid_field", "/prev"),
        (r#"{"op":"delete","id":"1","bookmark":7}"#.to_owned(), 422, "invalid_field", "/bookmark"),
        (r#"{"op":"delete","id":"1","event_id":7}"#.to_owned(), 422, "invalid_id", "/event_id"),
        (r#"{"op":"delete","id":"1","lsn":7}"#.to_owned(), 422, "unknown_field", "/lsn"),
        (r#"{"op":"delete","id":"1","collection":"carts"}"#.to_owned(), 422, "invalid_collection", "/collection"),
    ];
    let events = events.iter().map(|case| (EVENTS, case));
    for (path, (body, status, code, pointer)) in events.chain(changes.iter().map(|case| (CHANGES, case))) {
        let reply = bed.post(path, body.clone(), &[]).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(reply.problem(), (*status, *code), "{shown}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], *pointer, "{shown}");
    }
    assert_eq!(bed.count(&Table::Events).await, 0);
}

#[tokio::test]
async fn names_and_parameters() {
    let bed = Bed::new().await;
    let long = format!("/v1/{}/events", "a".repeat(64));
    for (path, status, code) in [
        ("/v1/..%2Fx/events", 400, "invalid_name"),
        ("/v1/_x/events", 400, "invalid_name"),
        ("/v1/na%C3%AFve/events", 400, "invalid_name"),
        ("/v1/Shop/events", 400, "invalid_name"),
        ("/v1/%20/events", 400, "invalid_name"),
        ("/v1/%ff/events", 400, "invalid_parameter"),
        (&long, 400, "invalid_name"),
        ("/v1/shop/events/changes", 400, "invalid_name"),
        ("/v1/shop/_x/changes", 400, "invalid_name"),
        ("/v1/system/orders/changes", 400, "invalid_name"),
        ("/v1/shop/events?on_error=ignore", 400, "invalid_parameter"),
        ("/v1/shop/events?durability=none", 400, "invalid_parameter"),
        ("/v1/shop/events?durability=object", 422, "unsupported_durability"),
    ] {
        let reply = bed.post(path, r#"{"type":"a"}"#, &[]).await;
        assert_eq!(reply.problem(), (status, code), "{path}: {}", reply.json);
    }
    assert!(bed.catalog.namespaces().is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_stores_nothing() {
    let bed = Bed::new().await;
    let parts = [Ok("{\"type\":\"a\"}\n"), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures::stream::iter(parts));
    let reply = bed.post(EVENTS, body, &[NDJSON]).await;
    assert_eq!(reply.problem(), (400, "incomplete_body"));
    assert_eq!(bed.count(&Table::Events).await, 0);
}
