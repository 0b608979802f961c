//! What is accepted, and what the receipt says.

use arrow::array::{Array, AsArray};
use serde_json::{Value, json};
use tidemark_model::{Namespace, Principal, Reach, Scope, Table};

use crate::bed::{Bed, START_US, collection};

#[tokio::test]
async fn a_receipt_is_as_the_interface_says() {
    let bed = Bed::new().await;
    let receipt =
        bed.changes("{\"op\":\"insert\",\"id\":\"1\",\"doc\":{\"n\":1}}\n{\"op\":\"delete\",\"id\":2}\n").await.ok();
    let shard = receipt["positions"][0]["shard"].clone();
    let expected = json!({
        "accepted": 2, "duplicates": 0, "rejected": 0, "durability": "local",
        "system_time": "2026-01-01T00:00:00.000000Z",
        "positions": [{"shard": shard, "first": 0, "last": 1}], "errors": [],
    });
    assert_eq!(receipt, expected);
    let second = bed.changes("{\"op\":\"delete\",\"id\":\"1\"}").await.ok();
    assert_eq!(second["system_time"], "2026-01-01T00:00:00.000001Z", "strictly increasing though the clock stands");
    assert_eq!(second["positions"], json!([{"shard": shard, "first": 2, "last": 2}]));
}

#[tokio::test]
async fn bodies_in_every_form() {
    let bed = Bed::new().await;
    let event = r#"{"type":"a"}"#;
    let zipped = zstd::encode_all(event.as_bytes(), 1).expect("packs");
    let ndjson = [("content-type", "application/x-ndjson; charset=UTF-8")];
    for (path, body, headers, accepted) in [
        ("/v1/shop/events", event.into(), &[][..], 1),
        ("/v1/shop/events", format!(" [{event} , {event}] ").into(), &[], 2),
        ("/v1/shop/events", format!(r#"{{"batchId":"b1","events":[{event}]}}"#).into_bytes(), &[], 1),
        ("/v1/shop/events", format!("{event}\r\n\n{event}\n").into(), &ndjson, 2),
        ("/v1/shop/events", zipped, &[("content-encoding", "zstd"), ("content-type", "application/json")], 1),
        ("/ingest", format!(r#"{{"events":[{event}]}}"#).into(), &[], 1),
        ("/e", event.into(), &[], 1),
    ] {
        let receipt = bed.post(path, body, headers).await.ok();
        assert_eq!(receipt["accepted"], accepted, "{path} {headers:?}");
    }
    assert_eq!(bed.count(&Table::Events).await, 7);
    assert_eq!(bed.catalog.namespaces(), ["default", "shop"].map(|name| Namespace::parse(name).expect("a name")));
}

/// Who sends × where to: what is answered, and that nothing appears for whoever may not let it.
#[tokio::test]
async fn whoever_may_write_writes_and_nobody_else() {
    let name = |text: &str| Namespace::parse(text).expect("a name");
    let reach = |names: &[&str]| Reach::Only(names.iter().map(|text| name(text)).collect());
    let bed = Bed::new().await;
    bed.events(r#"{"type":"a"}"#).await.ok();
    for (scope, reach, path, status, code) in [
        (Scope::Ingest, reach(&["shop"]), "/v1/shop/events", 200, Value::Null),
        (Scope::Ingest, reach(&["shop"]), "/e", 200, Value::Null),
        (Scope::Ingest, reach(&["shop", "bank"]), "/e", 404, json!("unknown_namespace")),
        (Scope::Ingest, reach(&["shop"]), "/v1/bank/events", 404, json!("unknown_namespace")),
        (Scope::Ingest, reach(&["bank"]), "/v1/bank/events", 404, json!("unknown_namespace")),
        (Scope::Ingest, reach(&["bank"]), "/v1/shop/events", 404, json!("unknown_namespace")),
        (Scope::Query, reach(&["shop"]), "/v1/shop/events", 403, json!("scope_missing")),
        (Scope::Admin, Reach::All, "/v1/bank/events", 403, json!("scope_missing")),
    ] {
        let mut request = axum::http::Request::post(path).body(r#"{"type":"a"}"#.into()).expect("a request");
        request.extensions_mut().insert(Principal::new("a1", [scope], reach.clone()));
        let reply = bed.send(request).await;
        assert_eq!((reply.status.as_u16(), &reply.json["code"]), (status, &code), "{scope} {reach:?} {path}");
    }
    assert_eq!(bed.count(&Table::Events).await, 3);
    assert_eq!(bed.catalog.namespaces(), [name("shop")]);
}

#[tokio::test]
async fn a_request_that_passed_no_authoriser_is_refused() {
    let bed = Bed::new().await;
    let router = tidemark_ingest::http::router(bed.ingest.clone());
    for (method, path) in
        [("POST", "/v1/shop/events"), ("POST", "/e"), ("PUT", "/v1/shop/c/schema"), ("GET", "/v1/shop/c/schema")]
    {
        let request = axum::http::Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::from(r#"{"type":"a"}"#)).expect("a request");
        let response = tower::ServiceExt::oneshot(router.clone(), request).await.expect("answers");
        assert_eq!(response.status(), 401, "{method} {path}");
    }
    assert!(bed.catalog.namespaces().is_empty());
}

#[tokio::test]
async fn rows_hold_what_was_sent() {
    let bed = Bed::new().await;
    let sent = concat!(
        r#"{"type":"order.placed","id":"e1","ts":1500,"source":"web","subject":"o/1","actor":{"id": 7},"#,
        r#""data":{"n": 1.50 },"meta":{"k":[1, 2]},"extra":"x\n","op":"y"}"#
    );
    bed.events(sent).await.ok();
    bed.changes(r#"{"id":12,"op":"update","doc":{"b":1e400, "a":"\u00e9"},"prev":{"a":0},"bookmark":"","actor":"me","event_id":"c1"}"#)
        .await
        .ok();
    let rows = bed.rows(&Table::Events).await;
    let text = |batch: usize, column: &str| {
        let column = rows[batch].column_by_name(column).expect("a column").as_string::<i32>();
        column.is_valid(0).then(|| column.value(0).to_owned())
    };
    for (batch, column, expected) in [
        (0, "id", Some("e1")),
        (0, "type", Some("order.placed")),
        (0, "source", Some("web")),
        (0, "subject", Some("o/1")),
        (0, "actor", Some(r#"{"id": 7}"#)),
        (0, "data", Some(r#"{"n": 1.50,"op":"y","extra":"x\n"}"#)),
        (0, "meta", Some(r#"{"k":[1, 2]}"#)),
        (0, "collection", None),
        (1, "id", Some("c1")),
        (1, "type", Some("collection.update")),
        (1, "document_id", Some("12")),
        (1, "op", Some("update")),
        (1, "data", Some(r#"{"b":1e400, "a":"\u00e9"}"#)),
        (1, "prev", Some(r#"{"a":0}"#)),
        (1, "bookmark", Some("")),
        (1, "actor", Some("me")),
        (1, "collection", Some("orders")),
    ] {
        assert_eq!(text(batch, column).as_deref(), expected, "{column} of row {batch}");
    }
    let times = |batch: usize, column: &str| {
        let column = rows[batch].column_by_name(column).expect("a column");
        column.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0)
    };
    assert_eq!((times(0, "ts"), times(0, "_system_time")), (1_500_000, START_US));
    assert_eq!(times(1, "ts"), times(1, "_system_time"), "without one of its own, the system time");
}

#[tokio::test]
async fn changes_may_name_their_collection() {
    let bed = Bed::new().await;
    let body = r#"[{"collection":"orders","op":"insert","id":"1","doc":{"a":1}},{"type":"seen"},
                   {"collection":"carts","op":"insert","id":"1","doc":{"b":1}},{"collection":"orders","op":"delete","id":"1"}]"#;
    let receipt = bed.events(body).await.ok();
    assert_eq!(receipt["accepted"], 4);
    assert_eq!(bed.texts(&collection("orders"), "op").await, ["delete", "insert"]);
    assert_eq!(bed.texts(&collection("carts"), "type").await, ["collection.insert"]);
    assert_eq!(bed.count(&Table::Events).await, 4);
}

#[tokio::test]
async fn refused_records_are_all_counted_and_a_hundred_are_listed() {
    let bed = Bed::new().await;
    let bad = "{\"type\":\"b c\"}\n".repeat(2000);
    let body = format!("{bad}{{\"type\":\"a\"}}\n");
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "k")];
    let refused = bed.post("/v1/shop/events", body.clone(), &headers).await;
    assert_eq!(refused.problem(), (422, "invalid_type"));
    assert!(refused.json["detail"].as_str().is_some_and(|detail| detail.starts_with("2000 of 2001 records")));
    let partial = bed.post("/v1/shop/events?on_error=partial", body, &headers).await.ok();
    assert_eq!((&partial["accepted"], &partial["rejected"]), (&json!(1), &json!(2000)));
    for list in [&refused.json["errors"], &partial["errors"]] {
        let indexes: Vec<_> = list.as_array().expect("a list").iter().map(|error| error["index"].as_u64()).collect();
        assert_eq!(indexes, (0..100).map(Some).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn partial_takes_the_good_ones() {
    let bed = Bed::new().await;
    bed.events(r#"{"type":"a","id":"known","data":1}"#).await.ok();
    let body = "{\"type\":\"a\",\"id\":\"e0\"}\n{\"type\":\"b c\",\"id\":\"ev_9\"}\n{oops\n\
                {\"type\":\"a\",\"id\":\"known\",\"data\":2}\n{\"type\":\"a\",\"id\":\"known\",\"data\":1}\n{\"type\":\"a\"}";
    let path = "/v1/shop/events?on_error=partial";
    let receipt = bed.post(path, body, &[("content-type", "application/x-ndjson")]).await.ok();
    assert_eq!((&receipt["accepted"], &receipt["duplicates"], &receipt["rejected"]), (&json!(2), &json!(1), &json!(3)));
    let errors: Vec<_> =
        receipt["errors"].as_array().expect("a list").iter().map(|e| (e["index"].clone(), e["code"].clone())).collect();
    assert_eq!(
        errors,
        [(json!(1), json!("invalid_type")), (json!(2), json!("invalid_json")), (json!(3), json!("id_conflict"))]
    );
    assert_eq!(receipt["errors"][0]["id"], "ev_9");
    assert_eq!(bed.count(&Table::Events).await, 3);
}
