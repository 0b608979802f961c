//! CloudEvents in every mode: what they become, and what is wrong with those that are refused.

use crate::{
    bed::Bed,
    envelopes::{EVENTS, assert_row, rows},
};

const ONE: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json; charset=UTF-8");
const ORDERS: &str = "/v1/shop/orders/changes";

/// The example of the specification, with an extension.
const EXAMPLE: &str = r#"{
    "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": "larger-context",
    "id" : "C234-1234-1234", "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value", "comexampleothervalue" : 5,
    "datacontenttype" : "application/json", "data" : {"appinfoA" : "abc"}
}"#;

#[tokio::test]
async fn structured_events() {
    let bed = Bed::new().await;
    bed.post(EVENTS, EXAMPLE, &[ONE]).await.ok();
    let expected = [
        ("id", "/mycontext#C234-1234-1234"),
        ("type", "com.example.someevent"),
        ("source", "/mycontext"),
        ("subject", "larger-context"),
        ("ts", "1522949460000000"),
        ("data", r#"{"appinfoA" : "abc"}"#),
        ("meta", r#"{"comexampleextension1":"value","comexampleothervalue":5,"datacontenttype":"application/json"}"#),
        ("collection", "-"),
    ];
    assert_row(&rows(&bed).await[0], &expected, "the example");
    let again = bed.post(EVENTS, EXAMPLE, &[ONE]).await.ok();
    assert_eq!(again["duplicates"], 1, "source and id are the identity");
    let other = bed.post(EVENTS, EXAMPLE.replace("/mycontext", "/other"), &[ONE]).await.ok();
    assert_eq!(other["accepted"], 1, "the same id of another source");
}

#[tokio::test]
async fn batches_and_data_of_every_kind() {
    let event = |id: &str, data: &str| format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"{id}"{data}}}"#);
    let cases = [
        (event("a", ""), "-", "-"),
        (event("b", r#","data":null"#), "-", "-"),
        (event("c", r#","data":"text""#), r#""text""#, "-"),
        (event("d", r#","data":[1, 2.50]"#), "[1, 2.50]", "-"),
        (
            event("e", r#","datacontenttype":"image/png","data_base64":"AAEC""#),
            r#""AAEC""#,
            r#"{"datacontenttype":"image/png","dataencoding":"base64"}"#,
        ),
    ];
    let bed = Bed::new().await;
    let bodies: Vec<&str> = cases.iter().map(|(body, ..)| body.as_str()).collect();
    for kind in [BATCH, ONE] {
        let sent = bed.post(EVENTS, format!("[{}]", bodies.join(",")), &[kind]).await.ok();
        assert_eq!(sent["accepted"].as_u64().zip(sent["duplicates"].as_u64()).map(|(a, d)| a + d), Some(5));
    }
    let rows = rows(&bed).await;
    for (body, data, meta) in &cases {
        let id = body.split(r#""id":""#).nth(1).map(|rest| &rest[..1]).expect("an id");
        let row = rows.iter().find(|row| row["id"] == format!("s#{id}")).expect("stored");
        assert_row(row, &[("data", data), ("meta", meta)], body);
    }
}

#[tokio::test]
async fn binary_mode() {
    let headers = |content_type: &'static str, id: &'static str| {
        vec![
            ("ce-specversion", "1.0"),
            ("ce-type", "com.example.someevent"),
            ("ce-source", "/m%C3%BC"),
            ("ce-id", id),
            ("ce-time", "2018-04-05T03:56:24Z"),
            ("ce-trace", "\"a \\\"quote\\\"\""),
            ("content-type", content_type),
        ]
    };
    let bed = Bed::new().await;
    let cases: [(&str, &str, &[u8], &str); 5] = [
        ("application/json; charset=utf-8", "a", br#" {"x": 1} "#, r#"{"x": 1}"#),
        ("application/problem+json", "b", b"7", "7"),
        ("text/plain", "c", b"hello \"you\"", r#""hello \"you\"""#),
        ("application/octet-stream", "d", b"\x00\xff", r#""AP8=""#),
        ("application/json", "e", b"", "-"),
    ];
    for (content_type, id, body, _) in cases {
        bed.post(EVENTS, body.to_vec(), &headers(content_type, id)).await.ok();
    }
    let rows = rows(&bed).await;
    for (content_type, id, _, data) in cases {
        let row = rows.iter().find(|row| row["id"] == format!("/mü#{id}")).expect("stored");
        assert_row(row, &[("data", data), ("source", "/mü"), ("type", "com.example.someevent")], content_type);
        let meta: serde_json::Value = serde_json::from_str(&row["meta"]).expect("JSON");
        assert_eq!((&meta["trace"], &meta["datacontenttype"]), (&"a \"quote\"".into(), &content_type.into()));
    }
    let broken = bed.post(EVENTS, r#"{"x":1},"id":"smuggled""#, &headers("application/json", "f")).await;
    assert_eq!(broken.problem(), (400, "invalid_json"), "{}", broken.json);
}

#[tokio::test]
async fn changes_inside_events() {
    let debezium = include_str!("../fixtures/debezium/cloudevent_read.json");
    let bed = Bed::new().await;
    bed.post(&format!("{EVENTS}?key=pk"), debezium, &[ONE]).await.ok();
    let expected = [
        ("collection", "s1.a"),
        ("document_id", "1"),
        ("op", "insert"),
        ("ts", "1578923739738000"),
        ("bookmark", "00000000000029274832"),
        ("source", "test_server"),
    ];
    assert_row(&rows(&bed).await[0], &expected, "Debezium in a CloudEvent");

    let wrapped = r#"{"specversion":"1.0","id":"1","source":"app","type":"collection.update","time":"2026-01-01T00:00:00Z",
                      "data":{"collection":"orders","docId":"o1","doc":{"n":1},"bookmark":"7"}}"#;
    let cdc = r#"{"specversion":"1.0","id":"2","source":"app","type":"cdc","data":{"event":"order.deleted","data":{"id":"o2"}}}"#;
    let bed = Bed::new().await;
    bed.post(ORDERS, format!("[{wrapped},{cdc}]"), &[BATCH]).await.ok();
    let rows = rows(&bed).await;
    assert_row(
        &rows[0],
        &[("id", "app#1"), ("document_id", "o1"), ("bookmark", "7"), ("ts", "1767225600000000")],
        wrapped,
    );
    assert_row(&rows[1], &[("id", "app#2"), ("document_id", "o2"), ("op", "delete"), ("collection", "orders")], cdc);
}

#[tokio::test]
async fn events_that_break_the_specification() {
    let bed = Bed::new().await;
    let event = |more: &str| format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1"{more}}}"#);
    let long = "x".repeat(260);
    let cases = [
        (r#"{"type":"t","source":"s","id":"1"}"#.to_owned(), "missing_field", "/specversion"),
        (event(r#","specversion":"0.3""#), "invalid_field", "/specversion"),
        (event(r#","id":"""#), "invalid_id", "/id"),
        (event(r#","id":7"#), "invalid_id", "/id"),
        (event(&format!(r#","id":"{long}""#)), "invalid_id", "/id"),
        (event(r#","source":null"#), "missing_field", "/source"),
        (event(r#","type":"a b""#), "invalid_type", "/type"),
        (event(r#","time":"yesterday""#), "invalid_ts", "/time"),
        (event(r#","time":"2026-01-01T02:00:00Z""#), "invalid_ts", "/time"),
        (event(r#","subject":"""#), "invalid_field", "/subject"),
        (event(r#","Trace":"x""#), "unknown_field", "/Trace"),
        (event(r#","trace":{}"#), "invalid_field", "/trace"),
        (event(r#","data":1,"data_base64":"AA==""#), "invalid_field", "/data_base64"),
        (event(r#","data_base64":"A""#), "invalid_field", "/data_base64"),
        (event(r#","type":"collection.insert","data":7"#), "invalid_field", "/data"),
        (event(r#","type":"collection.insert","data":{"collection":"a","doc":{}}"#), "missing_field", "/data/docId"),
        (event(r#","type":"io.debezium.connector.mysql.DataChangeEvent","data":"AAAA""#), "invalid_field", "/data"),
    ];
    for (body, code, pointer) in cases {
        let reply = bed.post(EVENTS, body.clone(), &[ONE]).await;
        assert_eq!(reply.problem(), (422, code), "{body}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{body}");
    }
    let plain = bed.post(ORDERS, event(""), &[ONE]).await;
    assert_eq!(plain.problem(), (422, "invalid_type"), "a plain event is no change");
    let single = bed.post(EVENTS, event(""), &[BATCH]).await;
    assert_eq!(single.problem(), (400, "invalid_json"), "a batch is an array");
}
