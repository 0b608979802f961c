//! What `render` promises, as tables of input and expectation.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    datatypes::{DataType, Field, Schema},
};
use arrow_ipc::reader::StreamReader;
use tidemark_model::Instant;

use super::*;

fn as_of(valid_time: Option<i64>) -> AsOf {
    AsOf { system_time: Instant::from_micros(1), valid_time: valid_time.map(Instant::from_micros) }
}

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("a,b", DataType::Utf8, false)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])),
        Arc::new(StringArray::from(vec!["x", "", "say \"hi\"\r\n", " y"])),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn written(format: Format, batches: &[RecordBatch], valid: Option<i64>) -> Vec<u8> {
    let mut render = render(format, batch().schema(), as_of(valid)).unwrap();
    let mut out = Vec::new();
    render.open(&mut out).unwrap();
    for batch in batches {
        render.rows(batch, &mut out).unwrap();
    }
    render.close(&mut out).unwrap();
    out
}

#[test]
fn json_is_columns_rows_and_instants() {
    let document: serde_json::Value =
        serde_json::from_slice(&written(Format::Json, &[batch(), batch().slice(0, 1)], Some(2))).unwrap();
    assert_eq!(
        document,
        serde_json::json!({
            "columns": [{"name": "n", "type": "Int64"}, {"name": "a,b", "type": "Utf8"}],
            "rows": [[1, "x"], [null, ""], [3, "say \"hi\"\r\n"], [4, " y"], [1, "x"]],
            "as_of": {"system_time": "1970-01-01T00:00:00.000001Z", "valid_time": "1970-01-01T00:00:00.000002Z"},
        })
    );
    let empty: serde_json::Value = serde_json::from_slice(&written(Format::Json, &[], None)).unwrap();
    assert_eq!(empty["rows"], serde_json::json!([]));
    assert_eq!(empty["as_of"], serde_json::json!({"system_time": "1970-01-01T00:00:00.000001Z"}));
}

#[test]
fn ndjson_is_an_object_per_line() {
    let text = String::from_utf8(written(Format::Ndjson, &[batch().slice(0, 2)], None)).unwrap();
    assert_eq!(text, "{\"n\":1,\"a,b\":\"x\"}\n{\"n\":null,\"a,b\":\"\"}\n");
    assert!(written(Format::Ndjson, &[], None).is_empty());
}

#[test]
fn csv_is_rfc_4180() {
    let text = String::from_utf8(written(Format::Csv, &[batch()], None)).unwrap();
    assert_eq!(text, "n,\"a,b\"\r\n1,x\r\n,\"\"\r\n3,\"say \"\"hi\"\"\r\n\"\r\n4,\" y\"\r\n");
    assert_eq!(written(Format::Csv, &[], None), b"n,\"a,b\"\r\n");
}

#[test]
fn arrow_is_an_ipc_stream() {
    for batches in [vec![], vec![batch()], vec![batch(), batch().slice(1, 2)]] {
        let bytes = written(Format::Arrow, &batches, None);
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(reader.schema(), batch().schema());
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), batches);
    }
}

#[test]
fn a_broken_answer_says_why() {
    let error = Error::TimedOut(60);
    for (format, end) in [
        (Format::Json, "],\"error\":{\"code\":\"timed_out\",\"detail\":\"the query was cancelled after 60 s"),
        (Format::Ndjson, "{\"error\":{\"code\":\"timed_out\",\"detail\":\"the query was cancelled after 60 s"),
    ] {
        let mut render = render(format, batch().schema(), as_of(None)).unwrap();
        let mut out = Vec::new();
        render.open(&mut out).unwrap();
        out.clear();
        render.broken(&error, &mut out);
        assert!(String::from_utf8(out).unwrap().starts_with(end));
    }
}
