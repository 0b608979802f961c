//! Rows ↔ columns: accepted rows become one batch of `fold::columns::log_schema`, column by column.
//!
//! Each text column is sized first and then filled, so it allocates once; a column that no row uses costs only its
//! offsets. [`EventColumns`] looks into such a batch, also into one that came back from the log.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
    },
    datatypes::{DataType, TimestampMicrosecondType},
    error::ArrowError,
};
use tidemark_fold::columns::log_schema;
use tidemark_model::{CollectionName, Op};

use crate::row::{Row, RowKind};

/// Columns of `log_schema` by number.
mod at {
    pub(super) const ID: usize = 0;
    pub(super) const TYPE: usize = 1;
    pub(super) const TS: usize = 2;
    pub(super) const ACTOR: usize = 5;
    pub(super) const DATA: usize = 6;
    pub(super) const META: usize = 7;
    pub(super) const COLLECTION: usize = 8;
    pub(super) const PREV: usize = 11;
}

/// Builds the batch, rows in the order given.
pub(crate) fn build(rows: &[Row<'_>], collections: &[CollectionName]) -> Result<RecordBatch, ArrowError> {
    let name = |row: &Row<'_>| row.collection().map(|at| collections[at].as_str());
    let columns = vec![
        text(rows, |row| Some(row.id.as_str())),
        types(rows),
        times(rows),
        text(rows, |row| row.source.as_deref()),
        text(rows, |row| row.subject.as_deref()),
        text(rows, |row| row.actor.as_deref()),
        text(rows, |row| row.data.as_deref()),
        text(rows, |row| row.meta.as_deref()),
        Arc::new(rows.iter().map(name).collect::<StringArray>()),
        text(rows, |row| match &row.kind {
            RowKind::Change { document_id, .. } => Some(document_id),
            RowKind::Event { .. } | RowKind::Truncate { .. } => None,
        }),
        text(rows, |row| match row.kind {
            RowKind::Change { op, .. } => Some(op.as_str()),
            RowKind::Event { .. } | RowKind::Truncate { .. } => None,
        }),
        text(rows, |row| match &row.kind {
            RowKind::Change { prev, .. } => prev.as_deref(),
            RowKind::Event { .. } | RowKind::Truncate { .. } => None,
        }),
        text(rows, |row| match &row.kind {
            RowKind::Change { bookmark, .. } => bookmark.as_deref(),
            RowKind::Event { .. } | RowKind::Truncate { .. } => None,
        }),
    ];
    RecordBatch::try_new(log_schema(), columns)
}

fn text<'r>(rows: &'r [Row<'_>], of: impl Fn(&'r Row<'_>) -> Option<&'r str>) -> ArrayRef {
    let (count, bytes) = rows.iter().filter_map(&of).fold((0usize, 0), |(n, bytes), text| (n + 1, bytes + text.len()));
    if count == 0 {
        return new_null_array(&DataType::Utf8, rows.len());
    }
    let mut builder = StringBuilder::with_capacity(rows.len(), bytes);
    rows.iter().for_each(|row| builder.append_option(of(row)));
    Arc::new(builder.finish())
}

/// The word `collection` stands for every collection: which one it is stands in a column of its own.
const fn change_type(op: Op) -> &'static str {
    match op {
        Op::Insert => "collection.insert",
        Op::Update => "collection.update",
        Op::Delete => "collection.delete",
    }
}

fn types(rows: &[Row<'_>]) -> ArrayRef {
    text(rows, |row| match &row.kind {
        RowKind::Event { event_type } => Some(event_type),
        RowKind::Change { op, .. } => Some(change_type(*op)),
        RowKind::Truncate { .. } => None,
    })
}

fn times(rows: &[Row<'_>]) -> ArrayRef {
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.ts.map(tidemark_model::Instant::micros)).collect();
    Arc::new(times.with_timezone("UTC"))
}

/// The columns of a batch that begins like `log_schema`.
#[derive(Debug)]
pub(crate) struct EventColumns<'b> {
    texts: Vec<Option<&'b StringArray>>,
    ts: &'b TimestampMicrosecondArray,
}

impl<'b> EventColumns<'b> {
    /// The batch must have the columns of `log_schema` in front, as everything that comes out of the log has.
    pub(crate) fn of(batch: &'b RecordBatch) -> Self {
        let wanted = log_schema().fields().len();
        let texts = batch.columns().iter().take(wanted).map(|column| column.as_string_opt::<i32>()).collect();
        Self { texts, ts: batch.column(at::TS).as_primitive::<TimestampMicrosecondType>() }
    }

    fn text(&self, column: usize, row: usize) -> Option<&'b str> {
        let texts = self.texts.get(column).copied().flatten()?;
        texts.is_valid(row).then(|| texts.value(row))
    }

    pub(crate) fn id(&self, row: usize) -> &'b str {
        self.text(at::ID, row).unwrap_or_default()
    }

    pub(crate) fn event_type(&self, row: usize) -> &'b str {
        self.text(at::TYPE, row).unwrap_or_default()
    }

    pub(crate) fn ts(&self, row: usize) -> Option<i64> {
        self.ts.is_valid(row).then(|| self.ts.value(row))
    }

    pub(crate) fn data(&self, row: usize) -> Option<&'b str> {
        self.text(at::DATA, row)
    }

    pub(crate) fn collection(&self, row: usize) -> Option<&'b str> {
        self.text(at::COLLECTION, row)
    }

    /// Writes what makes two events the same, beside their ids: every other column, unambiguously, insignificant white
    /// space of JSON left out.
    pub(crate) fn write_content(&self, row: usize, content: &mut Vec<u8>) {
        content.clear();
        match self.ts(row) {
            Some(ts) => {
                content.extend_from_slice(&ts.to_le_bytes());
                content.push(1);
            }
            None => content.push(0),
        }
        for column in (at::TYPE..self.texts.len()).filter(|column| *column != at::TS) {
            let Some(text) = self.text(column, row) else {
                content.push(0);
                continue;
            };
            let from = content.len();
            match column {
                at::DATA | at::META | at::PREV => push_compact(content, text),
                at::ACTOR if text.starts_with('{') => push_compact(content, text),
                _ => content.extend_from_slice(text.as_bytes()),
            }
            let written = u32::try_from(content.len() - from).unwrap_or(u32::MAX);
            content.extend_from_slice(&written.to_le_bytes());
            content.push(1);
        }
    }
}

/// Appends JSON text without the white space between its tokens.
fn push_compact(out: &mut Vec<u8>, json: &str) {
    let bytes = json.as_bytes();
    let (mut from, mut in_string, mut at) = (0, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b' ' | b'\n' | b'\t' | b'\r' if !in_string => {
                out.extend_from_slice(&bytes[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_is_no_content() {
        for (json, expected) in [
            (r#"{"a": 1,  "b":[1 , 2]}"#, r#"{"a":1,"b":[1,2]}"#),
            (r#"{"a b": "c \" d\\" }"#, r#"{"a b":"c \" d\\"}"#),
            ("{\n\t\"a\":\r\n1}", r#"{"a":1}"#),
            ("1", "1"),
        ] {
            let mut out = Vec::new();
            push_compact(&mut out, json);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }
}
