//! Tables of `pg_catalog` in memory: columns told in a line, rows of cells.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, StringArray, UInt32Array,
        new_null_array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::common::Result;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// NULL, of any column.
    Null,
    /// An OID.
    Oid(u32),
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl From<u32> for Cell {
    fn from(oid: u32) -> Self {
        Self::Oid(oid)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Columns told as `oid/o relname relhasindex/b`: a name and the letter of its type, text where there is none.
/// o oid, b boolean, 2 4 8 integers, f real, z timestamp with time zone, T text[], O oid[], V smallint[].
pub(crate) fn schema(columns: &str) -> SchemaRef {
    let field = |word: &str| {
        let (name, letter) = word.split_once('/').unwrap_or((word, ""));
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        let of = match letter {
            "o" => DataType::UInt32,
            "b" => DataType::Boolean,
            "2" => DataType::Int16,
            "4" => DataType::Int32,
            "8" => DataType::Int64,
            "f" => DataType::Float32,
            "z" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "T" => list(DataType::Utf8),
            "O" => list(DataType::UInt32),
            "V" => list(DataType::Int16),
            _ => DataType::Utf8,
        };
        Field::new(name, of, true)
    };
    Arc::new(Schema::new(columns.split_whitespace().map(field).collect::<Vec<_>>()))
}

/// A batch of rows; cells that a row lacks at its end are NULL.
///
/// # Errors
/// Never in practice.
pub(crate) fn batch(schema: &SchemaRef, rows: &[Vec<Cell>]) -> Result<RecordBatch> {
    let column = |nth: usize| {
        let cell = move |row: &'_ Vec<Cell>| row.get(nth).cloned().unwrap_or(Cell::Null);
        array(schema.field(nth).data_type(), rows.iter().map(cell).collect())
    };
    let arrays: Vec<ArrayRef> = (0..schema.fields().len()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

fn array(of: &DataType, cells: Vec<Cell>) -> ArrayRef {
    let numbers = || {
        cells.iter().map(|cell| match cell {
            Cell::Number(number) => Some(*number),
            Cell::Oid(oid) => Some(i64::from(*oid)),
            _ => None,
        })
    };
    match of {
        DataType::UInt32 => Arc::new(numbers().map(|n| n.and_then(|n| u32::try_from(n).ok())).collect::<UInt32Array>()),
        DataType::Int16 => Arc::new(numbers().map(|n| n.and_then(|n| i16::try_from(n).ok())).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(numbers().map(|n| n.and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(numbers().collect::<Int64Array>()),
        DataType::Float32 => Arc::new(numbers().map(|n| n.map(|n| n as f32)).collect::<Float32Array>()),
        DataType::Boolean => {
            let flags = cells.iter().map(|cell| if let Cell::Flag(flag) = cell { Some(*flag) } else { None });
            Arc::new(flags.collect::<BooleanArray>())
        }
        DataType::Utf8 => {
            let texts = cells.iter().map(|cell| if let Cell::Text(text) = cell { Some(text) } else { None });
            Arc::new(texts.collect::<StringArray>())
        }
        other => new_null_array(other, cells.len()),
    }
}

/// A row of cells.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Cell::from($value)),*] };
}
pub(crate) use row;

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
