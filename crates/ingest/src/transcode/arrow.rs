//! An Arrow IPC stream becomes arrays of JSON records: column names are field names, a row is a record.
//!
//! The stream is walked before anything is decoded ([`frames`]): lengths, row counts and what buffers claim to hold once
//! decompressed are checked against the limits, so that nothing is allocated on a sender's word. Then columns are
//! written value by value, counted while writing, because a dictionary may repeat a long value in every row. Text in
//! columns that hold JSON (`data`, `meta`, `doc`, `prev`) is taken as JSON where it is JSON.
//!
//! Rows for a collection that have a column `_id` are documents ([`Layout::Documents`]): each replaces the document of its id.

mod frames;
mod values;

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema},
    error::ArrowError,
    ipc::reader::StreamReader,
};

use self::values::{Column, Texts};
use crate::{config::Config, error::Error, request::Target};

/// The most columns of a stream.
const COLUMNS_MAX: usize = 2000;
/// The column that makes documents of rows: their id.
const ID: &str = "_id";
/// The source time of a document.
const TS: &str = "_ts";
/// Columns of a collection that the lake makes.
const MADE: [&str; 3] = ["_system_time", "_seq", "_doc"];

/// Some records of a stream.
#[derive(Debug)]
pub(crate) struct Part {
    /// A JSON array.
    pub(crate) text: String,
    /// How many there are.
    pub(crate) rows: usize,
}

/// How much of a stream is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    /// Rows in all.
    pub(crate) rows: usize,
    /// Rows of a part.
    pub(crate) part_rows: usize,
    /// Bytes, decompressed.
    pub(crate) bytes: usize,
    /// Bytes of JSON in all.
    pub(crate) text_bytes: usize,
}

impl Allowed {
    /// What one request may bring, in one part.
    const fn of_request(limits: &Config) -> Self {
        let (rows, bytes) = (limits.events_max, limits.inflated_bytes_max);
        Self { rows, part_rows: rows, bytes, text_bytes: bytes }
    }
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A record: an event or the envelope of a change.
    Records,
    /// A document.
    Documents,
}

impl Layout {
    fn of(schema: &Schema, target: &Target) -> Self {
        let is_collection = matches!(target, Target::Changes(_));
        if is_collection && schema.column_with_name(ID).is_some() { Self::Documents } else { Self::Records }
    }

    /// How texts of a column are taken: a document has the text that was sent.
    const fn texts(self) -> Texts {
        match self {
            Self::Records => Texts::JsonByName,
            Self::Documents => Texts::Plain,
        }
    }
}

/// The records of a stream, which is one request, as a JSON array.
pub(super) fn text(stream: &[u8], target: &Target, limits: &Config) -> Result<String, Error> {
    let mut parts = parts(stream, target, Allowed::of_request(limits))?;
    Ok(parts.pop().map_or_else(String::new, |part| part.text))
}

/// The records of a stream, some at a time.
pub(crate) fn parts(stream: &[u8], target: &Target, allowed: Allowed) -> Result<Vec<Part>, Error> {
    frames::check(stream, (allowed.rows, allowed.bytes))?;
    // The decoder is not ours; a defect of it ends this request and nothing else.
    let decoded = catch_unwind(AssertUnwindSafe(|| written(stream, target, allowed)));
    decoded.unwrap_or_else(|_panic| Err(invalid("its buffers contradict its schema")))
}

fn written(stream: &[u8], target: &Target, allowed: Allowed) -> Result<Vec<Part>, Error> {
    let mut texts = PartTexts { parts: Vec::new(), left: allowed.text_bytes, allowed };
    let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(broken)?;
    let schema = reader.schema();
    if schema.fields().len() > COLUMNS_MAX {
        return Err(invalid(&format!("it has more than {COLUMNS_MAX} columns")));
    }
    let layout = Layout::of(&schema, target);
    for field in schema.fields() {
        Column::check(field, layout.texts())?;
        if layout == Layout::Documents && MADE.contains(&field.name().as_str()) {
            return Err(invalid(&format!("column {:?} is made by the lake: leave it out", field.name())));
        }
    }
    for batch in reader {
        batch_written(&batch.map_err(broken)?, layout, &mut texts)?;
    }
    texts.finish()
}

/// The rows of a batch, each a JSON object; NULLs are left out.
fn batch_written(batch: &RecordBatch, layout: Layout, texts: &mut PartTexts) -> Result<(), Error> {
    let schema = batch.schema();
    let column = |(field, values)| Column::of(field, values, layout.texts());
    let columns: Result<Vec<Column<'_>>, Error> =
        schema.fields().iter().map(|field| -> &Field { field }).zip(batch.columns()).map(column).collect();
    let columns = columns?;
    let (beside, inside): (Vec<_>, Vec<_>) =
        columns.iter().partition(|column| layout == Layout::Documents && [ID, TS].contains(&column.field.as_str()));
    for row in 0..batch.num_rows() {
        texts.begin()?;
        match layout {
            Layout::Records => object(&inside, row, texts)?,
            Layout::Documents => document(&beside, &inside, row, texts)?,
        }
    }
    Ok(())
}

fn object(columns: &[&Column<'_>], row: usize, texts: &mut PartTexts) -> Result<(), Error> {
    texts.push("{")?;
    let mut is_first = true;
    for column in columns {
        let Some(value) = column.value(row)? else { continue };
        if !is_first {
            texts.push(",")?;
        }
        is_first = false;
        texts.push(&column.name)?;
        texts.push(&value)?;
    }
    texts.push("}")
}

/// The change that makes the document what the row says.
fn document(beside: &[&Column<'_>], inside: &[&Column<'_>], row: usize, texts: &mut PartTexts) -> Result<(), Error> {
    texts.push("{\"op\":\"update\"")?;
    for column in beside {
        let Some(value) = column.value(row)? else { continue };
        texts.push(if column.field == ID { ",\"id\":" } else { ",\"ts\":" })?;
        texts.push(&value)?;
    }
    texts.push(",\"doc\":")?;
    object(inside, row, texts)?;
    texts.push("}")
}

/// The texts of parts, which together do not grow past their limit.
struct PartTexts {
    parts: Vec<Part>,
    left: usize,
    allowed: Allowed,
}

impl PartTexts {
    /// Begins a record, in a new part where the last one is full.
    fn begin(&mut self) -> Result<(), Error> {
        let is_full = self.parts.last().is_none_or(|part| part.rows >= self.allowed.part_rows);
        if is_full {
            self.close()?;
            self.parts.push(Part { text: String::new(), rows: 0 });
        }
        let begins = if is_full { "[" } else { "," };
        self.parts.iter_mut().next_back().into_iter().for_each(|part| part.rows += 1);
        self.push(begins)
    }

    fn push(&mut self, more: &str) -> Result<(), Error> {
        let limit = self.allowed.text_bytes;
        self.left =
            self.left.checked_sub(more.len()).ok_or(Error::BodyTooLarge { limit, where_: "written as JSON" })?;
        self.parts.iter_mut().next_back().into_iter().for_each(|part| part.text.push_str(more));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.parts.is_empty() { Ok(()) } else { self.push("]") }
    }

    fn finish(mut self) -> Result<Vec<Part>, Error> {
        self.close()?;
        Ok(self.parts)
    }
}

fn invalid(what: &str) -> Error {
    Error::Body { code: "invalid_arrow", detail: format!("the body is no Arrow IPC stream that can be taken: {what}") }
}

fn broken(error: ArrowError) -> Error {
    invalid(&crate::error::shown(&error.to_string()))
}
