//! Change events → changes: the document becomes typed columns.
//!
//! The lake's own columns pass through as they are. Each document is read once, top-level fields only; since documents
//! repeat their shape, the column of a field is guessed from the document before and looked up only when the guess
//! fails. A column's value is a function of the document and the column's type, told here once (storage.md, Schema of
//! documents).

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use tidemark_model::{
    DocSchema, FieldType, Instant,
    json::{Value, for_each_field},
};

use crate::{
    FoldError,
    columns::{changes_schema, event, timestamp},
    order::{column, int64, utf8},
};

/// The columns of the events table that [`changes`] reads. They pass through as the lake's own columns of a change, in
/// the order of `columns::changes_schema`.
pub const INPUT: [&str; 10] = [
    event::DOCUMENT_ID,
    event::OP,
    event::TS,
    event::SYSTEM_TIME,
    event::SEQ,
    event::BOOKMARK,
    event::ID,
    event::ACTOR,
    event::DATA,
    event::PREV,
];

/// Turns rows of the events table that are changes of one collection into changes of that collection, in the same
/// order, with typed columns derived from the document under `schema`. Input: `columns::events_schema()`, every row
/// with `collection` set; output: `columns::changes_schema(schema)`.
///
/// # Errors
/// When a column is not as [`crate::columns`] says, or a document is no JSON object.
pub fn changes(events: &RecordBatch, schema: &DocSchema) -> Result<RecordBatch, FoldError> {
    let mut columns = Vec::with_capacity(INPUT.len() + schema.fields.len());
    for name in INPUT {
        columns.push(Arc::clone(column(events, name)?));
    }
    columns.extend(typed(utf8(events, event::DATA)?, int64(events, event::SEQ)?, schema)?);
    Ok(RecordBatch::try_new(changes_schema(schema), columns)?)
}

fn typed(documents: &StringArray, seqs: &[i64], schema: &DocSchema) -> Result<Vec<ArrayRef>, FoldError> {
    let mut columns: Vec<Column> =
        schema.fields.iter().map(|field| Column::new(field.column_type(), documents.len())).collect();
    let mut shape = Shape::of(schema);
    let mut values: Vec<Option<&str>> = vec![None; columns.len()];
    for (document, seq) in documents.iter().zip(seqs) {
        if let Some(document) = document {
            let mut nth = 0;
            for_each_field(document, |name, raw| {
                if let Some(at) = shape.column(nth, &name) {
                    values[at] = Some(raw);
                }
                nth += 1;
            })
            .map_err(|source| FoldError::Document { seq: *seq, source })?;
        }
        columns.iter_mut().zip(&mut values).for_each(|(column, value)| column.push(value.take()));
    }
    Ok(columns.into_iter().map(Column::finish).collect())
}

/// Which column a field belongs to.
struct Shape<'s> {
    index: HashMap<&'s str, usize>,
    /// Names of the document before and their columns, by place.
    before: Vec<(String, Option<usize>)>,
}

impl<'s> Shape<'s> {
    fn of(schema: &'s DocSchema) -> Self {
        let index = schema.fields.iter().enumerate().map(|(at, field)| (field.name.as_str(), at)).collect();
        Self { index, before: Vec::new() }
    }

    /// The column of the nth field of a document.
    fn column(&mut self, nth: usize, name: &str) -> Option<usize> {
        if let Some((_, at)) = self.before.get(nth).filter(|(before, _)| before == name) {
            return *at;
        }
        let at = self.index.get(name).copied();
        match self.before.get_mut(nth) {
            Some(before) => *before = (name.to_owned(), at),
            // Documents beyond the most columns there can be are looked up; the guesses stay bounded.
            None if nth < tidemark_model::schema::COLUMNS_MAX => self.before.push((name.to_owned(), at)),
            None => {}
        }
        at
    }
}

/// One typed column while it grows.
enum Column {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Utf8(StringBuilder),
    Json(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    InstantText(StringBuilder),
}

impl Column {
    fn new(of: FieldType, rows: usize) -> Self {
        match of {
            FieldType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            FieldType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            FieldType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            FieldType::Utf8 => Self::Utf8(StringBuilder::with_capacity(rows, rows * 8)),
            FieldType::Json => Self::Json(StringBuilder::with_capacity(rows, rows * 16)),
            FieldType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(timestamp()))
            }
            FieldType::InstantText => Self::InstantText(StringBuilder::with_capacity(rows, rows * 27)),
        }
    }

    /// Takes in the value of the next document; absent and `null` are NULL.
    fn push(&mut self, raw: Option<&str>) {
        let value = raw.map_or(Value::Null, Value::of);
        match self {
            Self::Boolean(column) => column.append_option(boolean(&value)),
            Self::Int64(column) => column.append_option(integer(&value)),
            Self::Float64(column) => column.append_option(float(&value)),
            Self::Utf8(column) => column.append_option(value.text()),
            Self::Json(column) => column.append_option(nested(&value)),
            Self::Timestamp(column) => column.append_option(instant(&value)),
            Self::InstantText(column) => column.append_option(instant_text(&value)),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut column) => Arc::new(column.finish()),
            Self::Int64(mut column) => Arc::new(column.finish()),
            Self::Float64(mut column) => Arc::new(column.finish()),
            Self::Timestamp(mut column) => Arc::new(column.finish()),
            Self::Utf8(mut column) | Self::Json(mut column) | Self::InstantText(mut column) => {
                Arc::new(column.finish())
            }
        }
    }
}

fn boolean(value: &Value<'_>) -> Option<bool> {
    if let Value::Bool(value) = value { Some(*value) } else { misfit(value) }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    if let Value::Int(value) = value { Some(*value) } else { misfit(value) }
}

fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        // The type is Float64 only while every integer seen is exact as one (`schema::Kinds`).
        Value::Int(value) => Some(*value as f64),
        other => misfit(other),
    }
}

fn nested<'v>(value: &Value<'v>) -> Option<Cow<'v, str>> {
    if let Value::Nested(raw) = value { Some(Cow::Borrowed(raw)) } else { misfit(value) }
}

fn instant(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::String(text) => Instant::parse(text).map_or_else(|_no_instant| misfit(value), |at| Some(at.micros())),
        other => misfit(other),
    }
}

/// An instant as a timestamp column that was widened shows it (`conform`), any other value as text.
fn instant_text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Instant::parse(text).map_or(text.as_ref().into(), |at| at.to_string().into())),
        other => other.text(),
    }
}

/// A value of another kind than the column: cannot be, since the schema is at least as new as the document.
fn misfit<T>(value: &Value<'_>) -> Option<T> {
    debug_assert!(*value == Value::Null, "the schema is older than a document that holds {value:?}");
    None
}

#[cfg(test)]
pub(crate) mod tests;
