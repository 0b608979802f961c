//! The rows of a running question, in pieces of bounded size, as messages.

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use bytes::{BufMut, BytesMut};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::{
    message::Format,
    reply,
    value::{self, Column},
};
use crate::{Answer, Error, http::answer::rows_of_a_piece};

/// A running question. Dropping it cancels it.
pub(crate) struct Rows {
    /// Its columns.
    pub(crate) columns: SchemaRef,
    stream: SendableRecordBatchStream,
    pending: Option<RecordBatch>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Rows {
    /// The rows of an answer.
    pub(crate) fn of(answer: Answer) -> Self {
        Self { columns: answer.schema, stream: answer.stream, pending: None }
    }

    /// Bytes of rows that were taken from the engine and not by the client.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }

    /// The next rows, at least one and at most so many; none at the end.
    ///
    /// # Errors
    /// What the question fails with.
    pub(crate) async fn next(&mut self, most: usize) -> Result<Option<RecordBatch>, Error> {
        while self.pending.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            match self.stream.next().await {
                Some(batch) => self.pending = Some(batch.map_err(Error::from)?),
                None => return Ok(None),
            }
        }
        let Some(batch) = self.pending.take() else { return Ok(None) };
        let count = rows_of_a_piece(&batch).min(most);
        if count < batch.num_rows() {
            self.pending = Some(batch.slice(count, batch.num_rows() - count));
        }
        Ok(Some(batch.slice(0, count)))
    }
}

/// Writes every row of a batch as a message.
///
/// # Errors
/// For a column that has no form.
pub(crate) fn write(batch: &RecordBatch, formats: &[Format], out: &mut BytesMut) -> Result<(), ArrowError> {
    let arrays = batch.columns().iter().map(value::usual).collect::<Result<Vec<_>, _>>()?;
    let columns = arrays.iter().enumerate().map(|(nth, array)| Column::of(array, Format::of(formats, nth)));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
    let mut cells = Vec::new();
    for row in 0..batch.num_rows() {
        cells.clear();
        columns.iter().for_each(|column| value::field(column, row, &mut cells));
        reply::message(out, b'D', |out| {
            out.put_u16(count);
            out.put_slice(&cells);
        });
    }
    Ok(())
}
