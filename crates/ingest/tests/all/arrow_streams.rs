//! Arrow IPC streams: rows become events and changes; streams that lie about themselves end in an answer, not a panic.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    },
    datatypes::Int32Type,
    ipc::{
        CompressionType,
        writer::{IpcWriteOptions, StreamWriter},
    },
};
use tidemark_catalog::appends::Appends as _;
use tidemark_ingest::Config;
use tidemark_model::{Principal, Table};

use crate::{
    bed::{Bed, ns, quiet},
    envelopes::{EVENTS, assert_row, rows},
};

const ARROW: (&str, &str) = ("content-type", "application/vnd.apache.arrow.stream");
const ORDERS: &str = "/v1/shop/orders/changes";

fn stream(columns: Vec<(&str, ArrayRef)>, compression: Option<CompressionType>) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.expect("a batch");
    let options = IpcWriteOptions::default().try_with_compression(compression).expect("spoken");
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.into_inner().expect("ends")
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<StringArray>())
}

fn events(compression: Option<CompressionType>) -> Vec<u8> {
    let times = TimestampMicrosecondArray::from(vec![Some(1_000_001), None]).with_timezone("UTC");
    let kinds: DictionaryArray<Int32Type> = ["order.placed", "order.paid"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("type", Arc::new(kinds)),
        ("id", text(&[Some("e1"), Some("e2")])),
        ("ts", Arc::new(times)),
        ("data", text(&[Some(r#"{"n": 1}"#), None])),
        ("amount", Arc::new(Float64Array::from(vec![None, Some(2.5)]))),
        ("count", Arc::new(Int64Array::from(vec![None, Some(9_007_199_254_740_993)]))),
        ("open", Arc::new(BooleanArray::from(vec![None, Some(true)]))),
    ];
    stream(columns, compression)
}

#[tokio::test]
async fn rows_become_events() {
    for compression in [None, Some(CompressionType::ZSTD)] {
        let bed = Bed::new().await;
        bed.post(EVENTS, events(compression), &[ARROW]).await.ok();
        let rows = rows(&bed).await;
        let row = |id: &str| rows.iter().find(|row| row["id"] == id).expect("stored");
        assert_row(row("e1"), &[("type", "order.placed"), ("ts", "1000001"), ("data", r#"{"n": 1}"#)], "the first");
        let data = r#"{"amount":2.5,"count":9007199254740993,"open":true}"#;
        assert_row(row("e2"), &[("type", "order.paid"), ("ts", "1767225600000000"), ("data", data)], "the second");
    }
}

/// Rows that have a column `_id` replace documents; on the other side of the seam more of them than one request brings.
#[tokio::test]
async fn rows_become_documents() {
    let numbers = |from: i64, to: i64| Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
    let documents = |from: i64, to: i64| {
        let texts: StringArray = (from..to).map(|n| Some(format!("{{\"n\":{n}}}"))).collect();
        let times = TimestampMicrosecondArray::from_iter_values((from..to).map(|n| 1_000_000 + n)).with_timezone("UTC");
        stream(vec![("_id", numbers(from, to)), ("data", Arc::new(texts)), ("_ts", Arc::new(times))], None)
    };
    let bed = Bed::with(Config { events_max: 4, ..quiet() }).await;
    bed.post(ORDERS, documents(0, 2), &[ARROW]).await.ok();
    let row = rows(&bed).await.into_iter().find(|row| row["document_id"] == "1").expect("stored");
    let expected = [("op", "update"), ("ts", "1000001"), ("data", r#"{"data":"{\"n\":1}"}"#), ("collection", "orders")];
    assert_row(&row, &expected, "a document");
    assert_eq!(bed.post(ORDERS, documents(0, 5), &[ARROW]).await.problem(), (413, "too_many_events"));

    let append = |stream: Vec<u8>| {
        let (ingest, table) = (bed.ingest.clone(), crate::bed::collection("orders"));
        async move { ingest.append_arrow(&Principal::lake(), (&ns("shop"), &table), stream.into()).await }
    };
    let appended = append(documents(0, 11)).await.expect("stored");
    assert_eq!((appended.accepted, bed.count(&Table::Events).await), (11, 13));
    for (columns, code) in [
        (vec![("_id", text(&[Some("a"), None]))], "missing_field"),
        (vec![("_id", text(&[Some("a")])), ("_seq", numbers(0, 1))], "invalid_arrow"),
        (
            vec![("_id", text(&[Some("a")])), ("x", Arc::new(BinaryArray::from(vec![&b"x"[..]])) as ArrayRef)],
            "invalid_arrow",
        ),
        (vec![("other", text(&[Some("a")]))], "unknown_field"),
    ] {
        let problem = append(stream(columns, None)).await.expect_err("refused");
        assert_eq!(problem.code, code, "{}", problem.detail);
    }
    // A bad row in the last part refuses all parts, and is told by its place among all rows.
    let ids: Vec<Option<&str>> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(Some).chain([None]).collect();
    let problem = append(stream(vec![("_id", text(&ids))], None)).await.expect_err("refused");
    assert_eq!(problem.errors[0].index, 7);
    assert_eq!(bed.count(&Table::Events).await, 13);
}

#[tokio::test]
async fn rows_become_changes() {
    let bed = Bed::new().await;
    let columns = vec![
        ("op", text(&[Some("insert"), Some("delete")])),
        ("id", text(&[Some("o1"), Some("o2")])),
        ("doc", text(&[Some(r#"{"total":10}"#), None])),
        ("bookmark", text(&[Some("0001"), Some("0002")])),
    ];
    bed.post(ORDERS, stream(columns, None), &[ARROW]).await.ok();
    let stored = rows(&bed).await;
    assert_row(&stored[0], &[("document_id", "o1"), ("op", "insert"), ("data", r#"{"total":10}"#)], "an insert");
    assert_row(&stored[1], &[("document_id", "o2"), ("op", "delete"), ("bookmark", "0002")], "a delete");

    let bed = Bed::new().await;
    let columns: Vec<(&str, ArrayRef)> = vec![("sku", text(&[Some("s1")])), ("n", Arc::new(Int32Array::from(vec![7])))];
    bed.post(&format!("{ORDERS}?key=sku"), stream(columns, None), &[ARROW]).await.ok();
    assert_row(&rows(&bed).await[0], &[("document_id", "s1"), ("data", r#"{"sku":"s1","n":7}"#)], "a plain row");
}

#[tokio::test]
async fn streams_that_are_refused() {
    let bed = Bed::with(Config { events_max: 3, inflated_bytes_max: 100_000, ..quiet() }).await;
    let good = events(None);
    let long = "x".repeat(40_000);
    let repeated: DictionaryArray<Int32Type> = [long.as_str(); 3].into_iter().collect();
    let binary: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..]]));
    let zeros: ArrayRef = text(&[Some(&"0".repeat(200_000))]);
    let cases = [
        ("nothing", vec![], 400, "invalid_arrow"),
        ("no rows", stream(vec![("type", text(&[]))], None), 400, "empty_body"),
        ("text", b"{\"type\":\"a\"}".to_vec(), 400, "invalid_arrow"),
        ("cut", good[..good.len() / 2].to_vec(), 400, "invalid_arrow"),
        ("LZ4", events(Some(CompressionType::LZ4_FRAME)), 400, "invalid_arrow"),
        ("binary", stream(vec![("type", binary)], None), 400, "invalid_arrow"),
        ("too many rows", stream(vec![("type", text(&[Some("a"); 4]))], None), 413, "too_many_events"),
        ("a bomb", stream(vec![("type", zeros)], Some(CompressionType::ZSTD)), 413, "body_too_large"),
        ("a dictionary that repeats", stream(vec![("x", Arc::new(repeated) as ArrayRef)], None), 413, "body_too_large"),
        ("no type", stream(vec![("x", text(&[Some("a")]))], None), 422, "missing_field"),
    ];
    for (what, body, status, code) in cases {
        let reply = bed.post(EVENTS, body, &[ARROW]).await;
        assert_eq!(reply.problem(), (status, code), "{what}: {}", reply.json);
    }
}

/// Bytes of good streams, some of them changed.
#[tokio::test]
async fn broken_streams_get_an_answer() {
    let bed = Bed::with(Config { inflated_bytes_max: 1 << 20, ..quiet() }).await;
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).expect("31 bits")
    };
    let streams = [events(None), events(Some(CompressionType::ZSTD))];
    let mut refused = 0;
    for round in 0..3000 {
        let mut bytes = streams[round % 2].clone();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = [0x00, 0xFF, 0x7F, 0x80, bytes[at] ^ (1 << (next() % 8))][next() % 5];
        }
        if next() % 8 == 0 {
            bytes.truncate(next() % bytes.len());
        }
        let reply = bed.post(EVENTS, bytes, &[ARROW]).await;
        assert!(reply.status.as_u16() < 500, "round {round}: {}", reply.json);
        refused += u32::from(!reply.status.is_success());
    }
    assert!(refused > 1000, "only {refused} of 3000 broken streams were noticed");
}
