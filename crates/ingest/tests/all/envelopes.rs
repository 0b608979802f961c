//! Envelopes: the same change in every dress gives the same row.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use tidemark_ingest::Config;
use tidemark_model::Table;

use crate::bed::{Bed, quiet};

pub(crate) const EVENTS: &str = "/v1/shop/events";
const ORDERS: &str = "/v1/shop/orders/changes";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// Path or body, body or path, columns of the one row that it becomes.
type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)]);

pub(crate) type Row = BTreeMap<&'static str, String>;

const TEXTS: [&str; 12] =
    ["id", "type", "source", "subject", "actor", "data", "meta", "collection", "document_id", "op", "prev", "bookmark"];

/// Every stored row, in order; NULL is absent.
pub(crate) async fn rows(bed: &Bed) -> Vec<Row> {
    let batches: Vec<RecordBatch> = bed.rows(&Table::Events).await;
    let mut rows = Vec::new();
    for batch in &batches {
        for at in 0..batch.num_rows() {
            let mut row = Row::new();
            for name in TEXTS {
                let column = batch.column_by_name(name).expect("a column").as_string::<i32>();
                if column.is_valid(at) {
                    row.insert(name, column.value(at).to_owned());
                }
            }
            let ts = batch.column_by_name("ts").expect("ts").as_primitive::<TimestampMicrosecondType>();
            if ts.is_valid(at) {
                row.insert("ts", ts.value(at).to_string());
            }
            rows.push(row);
        }
    }
    rows
}

/// Checks named columns of a row; the value `-` says that the column is NULL.
pub(crate) fn assert_row(row: &Row, expected: &[(&str, &str)], what: &str) {
    for (name, value) in expected {
        let found = row.get(name).map_or("-", String::as_str);
        assert_eq!(found, *value, "{name} of {what}: {row:?}");
    }
}

#[tokio::test]
async fn changes_that_come_as_events() {
    let cases: &[Case<'_>] = &[
        (
            EVENTS,
            r#"{"type":"collection.insert","collection":"orders","docId":"o1","doc":{"n": 1},"ts":1000,"id":"e1"}"#,
            &[
                ("id", "e1"),
                ("type", "collection.insert"),
                ("collection", "orders"),
                ("document_id", "o1"),
                ("op", "insert"),
                ("data", r#"{"n": 1}"#),
                ("prev", "-"),
                ("bookmark", "-"),
                ("ts", "1000000"),
            ],
        ),
        (
            EVENTS,
            r#"{"type":"collection.update","collection":"orders","docId":7,"doc":{},"prev":{"n":1},"bookmark":"0001"}"#,
            &[("document_id", "7"), ("op", "update"), ("data", "{}"), ("prev", r#"{"n":1}"#), ("bookmark", "0001")],
        ),
        (
            ORDERS,
            r#"{"type":"collection.delete","docId":"o1","source":"app","actor":"ann","meta":{"x":1}}"#,
            &[
                ("collection", "orders"),
                ("op", "delete"),
                ("data", "-"),
                ("source", "app"),
                ("actor", "ann"),
                ("meta", r#"{"x":1}"#),
            ],
        ),
        (
            EVENTS,
            r#"{"type":"cdc","event":"contact.created","data":{"type":"contact","id":"c1","name":"A"},"id":"e7"}"#,
            &[
                ("id", "e7"),
                ("type", "collection.insert"),
                ("collection", "contact"),
                ("document_id", "c1"),
                ("op", "insert"),
                ("data", r#"{"type":"contact","id":"c1","name":"A"}"#),
            ],
        ),
        (
            EVENTS,
            r#"{"type":"cdc","event":"contact.updated","data":{"id":"c1"},"meta":{"prev":{"id":"c1"},"bookmark":"0002"}}"#,
            &[("op", "update"), ("prev", r#"{"id":"c1"}"#), ("bookmark", "0002")],
        ),
        (
            ORDERS,
            r#"{"type":"cdc","event":"order.deleted","data":{"id":"c1"}}"#,
            &[("collection", "orders"), ("op", "delete"), ("document_id", "c1")],
        ),
    ];
    for (path, body, expected) in cases {
        let bed = Bed::new().await;
        bed.post(path, (*body).to_owned(), &[]).await.ok();
        let rows = rows(&bed).await;
        assert_eq!(rows.len(), 1, "{body}");
        assert_row(&rows[0], expected, body);
    }
}

#[tokio::test]
async fn events_that_are_no_change_are_told_why() {
    let bed = Bed::new().await;
    for (path, body, code, pointer) in [
        (EVENTS, r#"{"type":"collection.insert","docId":"1","doc":{}}"#, "missing_field", "/collection"),
        (EVENTS, r#"{"type":"collection.insert","collection":"a","doc":{}}"#, "missing_field", "/docId"),
        (EVENTS, r#"{"type":"collection.insert","collection":"a","docId":"1"}"#, "missing_field", "/doc"),
        (EVENTS, r#"{"type":"collection.insert","collection":"a","docId":{},"doc":{}}"#, "invalid_id", "/docId"),
        (EVENTS, r#"{"type":"collection.insert","collection":"a","docId":"1","doc":{},"x":1}"#, "unknown_field", "/x"),
        (
            ORDERS,
            r#"{"type":"collection.insert","collection":"a","docId":"1","doc":{}}"#,
            "invalid_collection",
            "/collection",
        ),
        (EVENTS, r#"{"type":"cdc","data":{"id":"1"}}"#, "missing_field", "/event"),
        (EVENTS, r#"{"type":"cdc","event":"contact.moved","data":{"id":"1"}}"#, "invalid_field", "/event"),
        (EVENTS, r#"{"type":"cdc","event":"contact.created","data":{}}"#, "missing_field", "/data/id"),
        (EVENTS, r#"{"type":"cdc","event":"contact.created","data":[]}"#, "invalid_field", "/data"),
        (
            EVENTS,
            r#"{"type":"cdc","event":"contact.created","data":{"id":1},"meta":{"prev":1}}"#,
            "invalid_field",
            "/meta/prev",
        ),
    ] {
        let reply = bed.post(path, body, &[]).await;
        assert_eq!(reply.problem(), (422, code), "{body}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{body}");
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/debezium/", $name))
    };
}

const CUSTOMERS: &str = "/v1/shop/customers/changes";

const MESSAGES: &[Case<'_>] = &[
    (
        fixture!("postgresql_create.json"),
        EVENTS,
        &[
            ("collection", "customers"),
            ("document_id", "1"),
            ("op", "insert"),
            ("ts", "1559033904863123"),
            ("bookmark", "00000000000024023128"),
            ("source", "PostgreSQL_server"),
            ("subject", "postgres.public.customers"),
            ("prev", "-"),
        ],
    ),
    // The image before holds the key alone: it is none.
    (
        fixture!("postgresql_update.json"),
        EVENTS,
        &[("document_id", "1"), ("op", "update"), ("prev", "-"), ("ts", "1559033904863769")],
    ),
    (
        fixture!("postgresql_delete.json"),
        EVENTS,
        &[("document_id", "1"), ("op", "delete"), ("data", "-"), ("bookmark", "00000000000046523128")],
    ),
    (
        fixture!("postgresql_message.json"),
        EVENTS,
        &[("type", "debezium.message"), ("collection", "-"), ("ts", "1559033904863879")],
    ),
    (
        fixture!("mysql_create.json"),
        EVENTS,
        &[
            ("collection", "inventory.customers"),
            ("document_id", "1004"),
            ("op", "insert"),
            ("ts", "0"),
            ("bookmark", "00000000000000000003:00000000000000000154:0000000000"),
        ],
    ),
    (
        fixture!("mysql_update.json"),
        CUSTOMERS,
        &[
            ("collection", "customers"),
            ("op", "update"),
            ("ts", "1465581029100000"),
            ("bookmark", "00000000000000000003:00000000000000000484:0000000000"),
        ],
    ),
    (fixture!("mysql_delete.json"), EVENTS, &[("op", "delete"), ("document_id", "1004"), ("data", "-")]),
    (fixture!("mysql_schema_change.json"), EVENTS, &[("type", "debezium.schema_change"), ("collection", "-")]),
    (
        fixture!("mongodb_create.json"),
        EVENTS,
        &[
            ("collection", "inventory.customers"),
            ("document_id", "1004"),
            ("op", "insert"),
            ("ts", "1558965508000000"),
            ("bookmark", "00000000000000000031"),
        ],
    ),
    (
        fixture!("mongodb_update.json"),
        CUSTOMERS,
        &[
            ("collection", "customers"),
            ("document_id", "1004"),
            ("op", "update"),
            ("bookmark", "00000000000000000001"),
            (
                "data",
                r#"{"_id": {"$numberLong": "1004"},"first_name": "Anne Marie","last_name": "Kretchmar","email": "annek@noanswer.org"}"#,
            ),
            (
                "prev",
                r#"{"_id": {"$numberLong": "1004"},"first_name": "unknown","last_name": "Kretchmar","email": "annek@noanswer.org"}"#,
            ),
        ],
    ),
    (fixture!("mongodb_delete.json"), EVENTS, &[("op", "delete"), ("document_id", "1004"), ("data", "-")]),
];

#[tokio::test]
async fn messages_of_debezium() {
    for (body, path, expected) in MESSAGES {
        let bed = Bed::new().await;
        bed.post(path, (*body).to_owned(), &[]).await.ok();
        let rows = rows(&bed).await;
        let what: String = body.chars().take(3000).collect();
        assert_eq!(rows.len(), 1, "{what}");
        assert_row(&rows[0], expected, &what);
    }
}

fn compact(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json).expect("JSON").to_string()
}

#[tokio::test]
async fn the_image_before_is_kept_where_it_is_one() {
    let bed = Bed::new().await;
    for body in [fixture!("mysql_update.json"), fixture!("mysql_delete.json")] {
        bed.post(EVENTS, body, &[]).await.ok();
    }
    let rows = rows(&bed).await;
    let prev: Vec<String> = rows.iter().map(|row| compact(&row["prev"])).collect();
    assert_eq!(prev[0], r#"{"id":1004,"first_name":"Anne","last_name":"Kretchmar","email":"annek@noanswer.org"}"#);
    assert_eq!(
        prev[1],
        r#"{"id":1004,"first_name":"Anne Marie","last_name":"Kretchmar","email":"annek@noanswer.org"}"#
    );
    assert!(rows[0]["meta"].contains("mysql-bin.000003"), "the source block is kept: {:?}", rows[0]["meta"]);
}

/// Debezium Server's HTTP sink in batch mode; it sends a batch again when it saw no answer.
#[tokio::test]
async fn a_batch_and_the_same_batch_again() {
    let bed = Bed::new().await;
    let messages = ["postgresql_create", "postgresql_update", "postgresql_delete"];
    let fixtures =
        [fixture!("postgresql_create.json"), fixture!("postgresql_update.json"), fixture!("postgresql_delete.json")];
    let batch = format!("[{}]", fixtures.join(","));
    let first = bed.post(EVENTS, batch.clone(), &[]).await.ok();
    assert_eq!((&first["accepted"], &first["duplicates"]), (&3.into(), &0.into()), "{messages:?}");
    let again = bed.post(EVENTS, batch, &[]).await.ok();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &3.into()));
    let later = fixtures[1].replace("Anne Marie", "Anna Maria");
    let other = bed.post(EVENTS, later, &[]).await.ok();
    assert_eq!(other["accepted"], 1, "what says something else of the same position is no duplicate");
}

#[tokio::test]
async fn flattened_rows() {
    let bed = Bed::new().await;
    bed.post(EVENTS, fixture!("postgresql_flattened.ndjson"), &[NDJSON]).await.ok();
    let rows = rows(&bed).await;
    assert_row(
        &rows[0],
        &[
            ("collection", "customers"),
            ("document_id", "1"),
            ("op", "insert"),
            ("data", r#"{"id":1,"first_name":"Anne","last_name":"Kretchmar"}"#),
            ("bookmark", "00000000000024023128"),
            ("ts", "1559033904863000"),
            ("meta", r#"{"__op":"c","__table":"customers","__lsn":"24023128","__source_ts_ms":"1559033904863"}"#),
        ],
        "a created row",
    );
    assert_row(&rows[1], &[("op", "update"), ("document_id", "1")], "an updated row");
    assert_row(&rows[2], &[("op", "delete"), ("document_id", "2"), ("data", "-"), ("prev", "-")], "a deleted row");
}

#[tokio::test]
async fn keys_come_from_the_event_key_the_request_or_the_settings() {
    let wrapped = |key: &str, value: &str| format!(r#"{{"key":{key},"value":{value}}}"#);
    let order = r#"{"op":"c","before":null,"after":{"region":"eu","no":7,"id":1},"source":{"db":"d","table":"orders","lsn":5}}"#;
    let by_oid =
        r#"{"op":"c","after":"{\"_id\":{\"$oid\":\"596e\"},\"n\":1}","source":{"db":"d","collection":"c","ord":1}}"#;
    let cases = [
        (ORDERS, order.to_owned(), "1"),
        ("/v1/shop/orders/changes?key=no", order.to_owned(), "7"),
        ("/v1/shop/orders/changes?key=region,no", order.to_owned(), r#"["eu",7]"#),
        ("/v1/shop/parts/changes", order.to_owned(), "eu"),
        (ORDERS, wrapped(r#"{"no":7}"#, order), "7"),
        (ORDERS, wrapped(fixture!("postgresql_key.json"), fixture!("postgresql_create.json")), "1"),
        (ORDERS, wrapped(fixture!("mysql_key.json"), fixture!("mysql_create.json")), "1001"),
        (ORDERS, wrapped(fixture!("mongodb_key.json"), fixture!("mongodb_create.json")), "1004"),
        (ORDERS, wrapped(r#"{"id":"{\"$oid\" : \"596e275826f08b2730779e1f\"}"}"#, by_oid), "596e275826f08b2730779e1f"),
        (ORDERS, wrapped(r#"{"id":"\"1234\""}"#, by_oid), "1234"),
        (ORDERS, by_oid.to_owned(), "596e"),
        (ORDERS, wrapped(r#""plain""#, order), "plain"),
        ("/v1/shop/orders/changes?key=sku", r#"{"sku":"s-1","name":"x"}"#.to_owned(), "s-1"),
    ];
    for (path, body, document_id) in cases {
        let keys =
            BTreeMap::from([("shop".to_owned(), BTreeMap::from([("parts".to_owned(), vec!["region".to_owned()])]))]);
        let bed = Bed::with(Config { document_keys: keys, ..quiet() }).await;
        bed.post(path, body.clone(), &[]).await.ok();
        assert_row(&rows(&bed).await[0], &[("document_id", document_id)], &format!("{path} {body}"));
    }
}

#[tokio::test]
async fn what_is_no_change_is_kept_as_an_event() {
    let bed = Bed::new().await;
    bed.post(EVENTS, fixture!("mysql_transaction.ndjson"), &[NDJSON]).await.ok();
    bed.post(EVENTS, r#"[{"ts_ms":1700000000000},{"key":{"id":1},"value":null}]"#, &[]).await.ok();
    let mut types: Vec<String> = rows(&bed).await.into_iter().map(|row| row["type"].clone()).collect();
    types.sort();
    assert_eq!(types, ["debezium.heartbeat", "debezium.tombstone", "debezium.transaction", "debezium.transaction"]);

    let bed = Bed::new().await;
    bed.post("/v1/shop/orders/changes?tombstones=delete", r#"{"key":{"id":1},"value":null}"#, &[]).await.ok();
    assert_row(
        &rows(&bed).await[0],
        &[("op", "delete"), ("document_id", "1"), ("collection", "orders")],
        "a tombstone",
    );
}

#[tokio::test]
async fn messages_that_cannot_be_taken_truly_are_refused() {
    let bed = Bed::new().await;
    let with = |after: &str, source: &str| format!(r#"{{"op":"u","after":{after},"source":{source}}}"#);
    let cases = [
        (fixture!("postgresql_truncate.json").to_owned(), "unsupported_op", "/payload/op", "skipped.operations"),
        (fixture!("mysql_truncate.json").to_owned(), "unsupported_op", "/payload/op", "skipped.operations"),
        (
            with(r#"{"id":1,"t":"__debezium_unavailable_value"}"#, r#"{"table":"t"}"#),
            "invalid_doc",
            "/after",
            "REPLICA IDENTITY FULL",
        ),
        (with("null", r#"{"table":"t"}"#), "missing_field", "", "?key="),
        (with(r#"{"a":1}"#, r#"{"table":"t"}"#), "missing_field", "", "?key="),
        (with(r#""{""#, r#"{"table":"t"}"#), "invalid_doc", "/after", "no JSON object"),
        (with("7", r#"{"table":"t"}"#), "invalid_doc", "/after", "JSON object"),
        (with(r#"{"id":1}"#, r#"{"db":"d"}"#), "missing_field", "/source/table", "changes"),
        (with(r#"{"id":1}"#, r#"{"table":"a b"}"#), "invalid_collection", "/collection", "a b"),
        (with(r#"{"id":1}"#, r#"{"table":"t","ts_ms":"x"}"#), "invalid_ts", "/source/ts_ms", "not an instant"),
        (
            with(r#"{"id":1}"#, r#"{"table":"t","ts_ms":99999999999999}"#),
            "invalid_ts",
            "/source/ts_ms",
            "too far ahead",
        ),
        (r#"{"payload":{"x":1}}"#.to_owned(), "missing_field", "/payload/op", "?key="),
        (r#"{"key":1,"value":7}"#.to_owned(), "missing_field", "/type", "type"),
        (r#"{"op":"x","after":{"id":1},"source":{"table":"t"}}"#.to_owned(), "missing_field", "/type", "type"),
    ];
    for (body, code, pointer, says) in cases {
        let reply = bed.post(EVENTS, body.clone(), &[]).await;
        assert_eq!(reply.problem(), (422, code), "{body}: {}", reply.json);
        let error = &reply.json["errors"][0];
        assert_eq!(error["pointer"], pointer, "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(says)), "{body}: {error}");
    }
}

/// Bytes of real messages, some of them changed: whatever they say then, they get an answer.
#[tokio::test]
async fn broken_messages_get_an_answer() {
    let bed = Bed::new().await;
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).expect("31 bits")
    };
    let wrapped = format!(r#"{{"key":{},"value":{}}}"#, fixture!("mongodb_key.json"), fixture!("mongodb_update.json"));
    let cloud_event = include_str!("../fixtures/debezium/cloudevent_read.json").to_owned();
    let cdc =
        r#"{"type":"cdc","event":"a.updated","data":{"id":"1"},"meta":{"prev":{},"bookmark":"1"},"ts":1}"#.to_owned();
    let mut messages: Vec<String> = MESSAGES.iter().map(|(body, ..)| compact(body)).collect();
    messages.extend([wrapped, cloud_event, cdc, fixture!("postgresql_flattened.ndjson").to_owned()]);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..4000 {
        let mut bytes = messages[round % messages.len()].clone().into_bytes();
        for _ in 0..=next() % 3 {
            let at = next() % bytes.len();
            match next() % 4 {
                0 => bytes[at] = b"{}[]\",:0-n\\"[next() % 11],
                1 => bytes[at] ^= 1 << (next() % 7),
                2 => drop(bytes.drain(at..(at + next() % 20).min(bytes.len()))),
                _ => {
                    let again: Vec<u8> = bytes[at..(at + next() % 40).min(bytes.len())].to_vec();
                    bytes.splice(at..at, again);
                }
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        let path = ["/v1/shop/events", "/v1/shop/orders/changes?key=id"][next() % 2];
        let kind = ["application/json", "application/x-ndjson", "application/cloudevents+json"][next() % 3];
        let reply = bed.post(path, bytes, &[("content-type", kind)]).await;
        assert!(reply.status.as_u16() < 500, "round {round}: {}", reply.json);
        *if reply.status.is_success() { &mut taken } else { &mut refused } += 1;
    }
    assert!(taken > 100 && refused > 1000, "{taken} taken, {refused} refused");
}
