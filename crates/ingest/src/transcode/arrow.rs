//! An Arrow IPC stream becomes an array of JSON records: column names are field names, a row is a record.
//!
//! The stream is walked before anything is decoded ([`frames`]): lengths, row counts and what buffers claim to hold once
//! decompressed are checked against the limits, so that nothing is allocated on a sender's word. Then columns are
//! written value by value, counted while writing, because a dictionary may repeat a long value in every row. Text in
//! columns that hold JSON (`data`, `meta`, `doc`, `prev`) is taken as JSON where it is JSON.

mod frames;
mod values;

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow::{array::RecordBatch, error::ArrowError, ipc::reader::StreamReader};

use self::values::Column;
use crate::{config::Config, error::Error};

/// The most columns of a stream.
const COLUMNS_MAX: usize = 2000;

/// The records of a stream as a JSON array.
pub(super) fn text(stream: &[u8], limits: &Config) -> Result<String, Error> {
    frames::check(stream, limits)?;
    // The decoder is not ours; a defect of it ends this request and nothing else.
    let decoded = catch_unwind(AssertUnwindSafe(|| written(stream, limits)));
    decoded.unwrap_or_else(|_panic| Err(invalid("its buffers contradict its schema")))
}

fn written(stream: &[u8], limits: &Config) -> Result<String, Error> {
    let mut text = Text { text: String::from("["), limit: limits.inflated_bytes_max };
    let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(broken)?;
    let schema = reader.schema();
    if schema.fields().len() > COLUMNS_MAX {
        return Err(invalid(&format!("it has more than {COLUMNS_MAX} columns")));
    }
    for field in schema.fields() {
        Column::check(field)?;
    }
    for batch in reader {
        batch_written(&batch.map_err(broken)?, &mut text)?;
    }
    text.text.push(']');
    Ok(text.text)
}

/// The records of a batch, each a JSON object; NULLs are left out.
fn batch_written(batch: &RecordBatch, text: &mut Text) -> Result<(), Error> {
    let schema = batch.schema();
    let columns: Result<Vec<Column<'_>>, Error> =
        schema.fields().iter().zip(batch.columns()).map(|(field, values)| Column::of(field, values)).collect();
    let columns = columns?;
    for row in 0..batch.num_rows() {
        text.push(if text.text.len() > 1 { ",{" } else { "{" })?;
        let mut is_first = true;
        for column in &columns {
            let Some(value) = column.value(row)? else { continue };
            if !is_first {
                text.push(",")?;
            }
            is_first = false;
            text.push(&column.name)?;
            text.push(&value)?;
        }
        text.push("}")?;
    }
    Ok(())
}

/// Text that does not grow past its limit.
struct Text {
    text: String,
    limit: usize,
}

impl Text {
    fn push(&mut self, more: &str) -> Result<(), Error> {
        if self.text.len() + more.len() > self.limit {
            return Err(Error::BodyTooLarge { limit: self.limit, where_: "written as JSON" });
        }
        self.text.push_str(more);
        Ok(())
    }
}

fn invalid(what: &str) -> Error {
    Error::Body { code: "invalid_arrow", detail: format!("the body is no Arrow IPC stream that can be taken: {what}") }
}

fn broken(error: ArrowError) -> Error {
    invalid(&crate::error::shown(&error.to_string()))
}
