//! An answer on its way out: pieces of bounded size, written as batches come, nothing gathered.
//!
//! The first rows are fetched before the status is sent, so that most errors are still a problem document. An error
//! later is told inside the body where the format has room for it, and then the body is cut off, so that no client
//! takes half an answer for a whole one. A client that goes away drops the body, and with it the query.

use std::{io, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, error::ArrowError};
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::{
    accept::Format,
    render::{Render, render},
};
use crate::{Answer, AsOf, Error};

/// How long the last words of a broken answer get to reach the client: the server throws away what it has not sent when
/// a body is cut off.
const FAREWELL: Duration = Duration::from_millis(200);
/// Bytes of Arrow memory that become one piece of a body, about.
const PIECE_BYTES: usize = 128 << 10;

enum Stage {
    Rows,
    /// The query failed; the body has said what it could and is cut off next.
    Broken(Arc<str>),
    Done,
}

struct Flow {
    stream: SendableRecordBatchStream,
    render: Box<dyn Render>,
    /// Rows that were fetched and not yet written.
    pending: Option<RecordBatch>,
    /// Bytes that were written and not yet sent.
    head: Vec<u8>,
    stage: Stage,
}

/// The response of a running answer.
///
/// # Errors
/// What the query fails with before its first row.
pub(crate) async fn respond(answer: Answer, format: Format) -> Result<Response, Error> {
    let Answer { schema, as_of, mut stream, .. } = answer;
    let mut render = render(format, schema, as_of).map_err(unwritable)?;
    let mut head = Vec::new();
    render.open(&mut head).map_err(unwritable)?;
    let pending = first(&mut stream).await?;
    let flow = Flow { stream, render, pending, head, stage: Stage::Rows };
    let body = futures::stream::unfold(flow, |mut flow| async move { flow.next().await.map(|piece| (piece, flow)) });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(instants(as_of));
    Ok(response)
}

/// The instants the answer is about, for formats that have no place for them.
fn instants(as_of: AsOf) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let system = ("x-as-of", Some(as_of.system_time));
    [system, ("x-valid-as-of", as_of.valid_time)]
        .into_iter()
        .filter_map(|(name, at)| Some((HeaderName::from_static(name), HeaderValue::from_str(&at?.to_string()).ok()?)))
}

/// The first batch that has rows.
async fn first(stream: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>, Error> {
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(Error::from)?;
        if batch.num_rows() > 0 {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

fn unwritable(error: ArrowError) -> Error {
    Error::Invalid(format!("the answer cannot be written: {error}"))
}

impl Flow {
    /// The next piece of the body.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        match &self.stage {
            Stage::Done => return None,
            Stage::Broken(why) => {
                let cut = io::Error::other(why.to_string());
                tokio::time::sleep(FAREWELL).await;
                self.stage = Stage::Done;
                return Some(Err(cut));
            }
            Stage::Rows => {}
        }
        let mut out = std::mem::take(&mut self.head);
        if let Err(error) = self.piece(&mut out).await {
            tracing::warn!(code = error.code(), %error, "an answer broke after its first byte");
            self.render.broken(&error, &mut out);
            self.stage = Stage::Broken(error.to_string().into());
        }
        Some(Ok(out.into()))
    }

    /// Writes the next rows, or the end.
    async fn piece(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.pending.is_none() {
            self.pending = first(&mut self.stream).await?;
        }
        let Some(batch) = self.pending.take() else {
            self.stage = Stage::Done;
            return self.render.close(out).map_err(unwritable);
        };
        let rows = rows_of_a_piece(&batch);
        self.render.rows(&batch.slice(0, rows), out).map_err(unwritable)?;
        if rows < batch.num_rows() {
            self.pending = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        Ok(())
    }
}

/// How many rows make a piece, at least one.
pub(crate) fn rows_of_a_piece(batch: &RecordBatch) -> usize {
    let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    (PIECE_BYTES * batch.num_rows()).checked_div(bytes).unwrap_or(usize::MAX).clamp(1, batch.num_rows())
}

#[cfg(test)]
mod tests;
