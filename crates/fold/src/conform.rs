//! A batch written under an older schema → the same rows under a newer one: absent columns read NULL, widened ones are
//! cast by the rule of `model::json`, so that casting equals deriving anew.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array},
    datatypes::{DataType, Field, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType},
};
use tidemark_model::{Instant, json::float_text};

use crate::FoldError;

/// Brings a batch to the wanted schema: columns by name, absent ones NULL, widened ones cast
/// (Int64 → Float64; Boolean, Int64, Float64, Timestamp → Utf8 by the canonical text of numbers and instants). Columns that are not wanted go.
///
/// # Errors
/// When a column would have to become narrower.
pub fn to_schema(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, FoldError> {
    if batch.schema_ref() == wanted {
        return Ok(batch.clone());
    }
    let columns = wanted.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => widened(column, field),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(wanted), columns.collect::<Result<_, _>>()?, &options)?)
}

fn widened(column: &ArrayRef, wanted: &Field) -> Result<ArrayRef, FoldError> {
    Ok(match (column.data_type(), wanted.data_type()) {
        (from, to) if from == to => Arc::clone(column),
        // Integers of a column that becomes Float64 lie within ±2^53 (`schema::Kinds`).
        (DataType::Int64, DataType::Float64) => {
            let floats: Float64Array = column.as_primitive::<Int64Type>().unary(|int| int as f64);
            Arc::new(floats)
        }
        (DataType::Boolean, DataType::Utf8) => {
            let text = |value| if value { "true" } else { "false" };
            Arc::new(column.as_boolean().iter().map(|value| value.map(text)).collect::<StringArray>())
        }
        (DataType::Int64, DataType::Utf8) => {
            let ints = column.as_primitive::<Int64Type>();
            Arc::new(ints.iter().map(|value| value.map(|int| int.to_string())).collect::<StringArray>())
        }
        (DataType::Float64, DataType::Utf8) => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(floats.iter().map(|value| value.map(float_text)).collect::<StringArray>())
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Utf8) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let text = |micros| Instant::from_micros(micros).to_string();
            Arc::new(times.iter().map(|value| value.map(text)).collect::<StringArray>())
        }
        (from, to) => {
            return Err(FoldError::Narrower { column: wanted.name().clone(), from: from.clone(), to: to.clone() });
        }
    })
}

#[cfg(test)]
mod tests;
