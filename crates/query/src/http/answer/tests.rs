//! What `answer` promises, as tables of input and expectation.

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{error::DataFusionError, physical_plan::stream::RecordBatchStreamAdapter};
use http_body_util::BodyExt;
use tidemark_model::Instant;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)]))
}

fn batch(rows: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("row {n}")))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn answer(batches: Vec<Result<RecordBatch, DataFusionError>>) -> Answer {
    let as_of = AsOf { system_time: Instant::from_micros(1), valid_time: None };
    let stream = Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::iter(batches)));
    Answer { schema: schema(), as_of, settings: Vec::new(), stream }
}

fn broken() -> DataFusionError {
    DataFusionError::External(Box::new(Error::TimedOut(60)))
}

/// Pieces of a body, and whether it ended well.
async fn pieces(response: Response) -> (Vec<Bytes>, bool) {
    let mut body = response.into_body();
    let mut pieces = Vec::new();
    loop {
        match body.frame().await {
            None => return (pieces, true),
            Some(Ok(frame)) => pieces.push(frame.into_data().unwrap()),
            Some(Err(_)) => return (pieces, false),
        }
    }
}

#[tokio::test]
async fn a_large_batch_leaves_in_pieces() {
    let response = respond(answer(vec![Ok(batch(0)), Ok(batch(100_000))]), Format::Json).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-as-of"], "1970-01-01T00:00:00.000001Z");
    let (pieces, whole) = pieces(response).await;
    assert!(whole && pieces.len() > 5 && pieces.iter().all(|piece| piece.len() < 4 * PIECE_BYTES));
    let document: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
    assert_eq!(document["rows"].as_array().unwrap().len(), 100_000);
    assert_eq!(document["rows"][99_999], serde_json::json!([99_999, "row 99999"]));
}

#[tokio::test]
async fn an_error_before_the_first_row_is_no_answer() {
    let error = respond(answer(vec![Ok(batch(0)), Err(broken())]), Format::Csv).await.unwrap_err();
    assert_eq!(error.code(), "timed_out");
}

#[tokio::test]
async fn an_error_in_the_middle_is_told_and_cuts_the_body() {
    for (format, said) in [(Format::Json, true), (Format::Ndjson, true), (Format::Csv, false), (Format::Arrow, false)] {
        let response = respond(answer(vec![Ok(batch(3)), Err(broken()), Ok(batch(3))]), format).await.unwrap();
        let (pieces, whole) = pieces(response).await;
        assert!(!whole, "{format:?}");
        let text = String::from_utf8_lossy(&pieces.concat()).into_owned();
        assert_eq!(text.contains("\"code\":\"timed_out\""), said, "{format:?}: {text}");
    }
}

#[tokio::test]
async fn an_empty_answer_has_its_columns() {
    let (pieces, whole) = pieces(respond(answer(vec![]), Format::Csv).await.unwrap()).await;
    assert!(whole);
    assert_eq!(pieces.concat(), b"n,t\r\n");
}
