//! Answers over HTTP, read as they come.

use arrow::{buffer::Buffer, ipc::reader::StreamDecoder};

use super::{Error, Read, flight::sum_of_n};
use crate::lake::Lake;

const NDJSON: &str = "application/x-ndjson";

/// What is asked for, by the name of its line.
pub(super) const FORMATS: [(&str, &str); 2] =
    [("HTTP, an Arrow stream", "application/vnd.apache.arrow.stream"), ("HTTP, NDJSON, lines counted", NDJSON)];

/// Reads an answer: batches are decoded, lines are counted.
pub(super) async fn read(lake: &Lake, sql: &str, accept: &str) -> Result<Read, Error> {
    let (client, url) = lake.handle();
    let request =
        client.post(format!("{url}/v1/query")).header("accept", accept).header("content-type", "application/json");
    let body = serde_json::json!({ "sql": sql }).to_string();
    let mut response = request.body(body).send().await?.error_for_status()?;
    let (mut read, mut decoder) = (Read::default(), StreamDecoder::new());
    while let Some(chunk) = response.chunk().await? {
        read.bytes += chunk.len() as u64;
        if accept == NDJSON {
            read.rows += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            continue;
        }
        let mut rest = Buffer::from(chunk);
        while let Some(batch) = decoder.decode(&mut rest)? {
            read.rows += batch.num_rows() as u64;
            read.sum = Some(read.sum.unwrap_or(0) + sum_of_n(&batch)?);
        }
    }
    Ok(read)
}
