//! The columns an answer will have, exactly: told before it runs, and put on every batch.
//!
//! Views, dictionaries and large lists are the engine's own business; clients see plain types (reference/flightsql.md,
//! traps 1 to 16). The logical plan decides names, types and nullability; batches follow.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use datafusion::{
    common::{DFSchema, Result, internal_err},
    error::DataFusionError,
};

/// The columns of an answer to a plan with these columns.
pub(crate) fn of(plan: &DFSchema) -> SchemaRef {
    let fields: Fields = plan.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new(fields))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let nullable = field.is_nullable() || field.data_type().is_null();
    Arc::new(Field::new(field.name(), plain(field.data_type()), nullable))
}

/// The plain type that holds what this one holds.
pub(crate) fn plain(of: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())));
    match of {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => DataType::List(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

/// Puts the columns of the answer on a batch of the plan.
pub(crate) fn stamp(batch: &RecordBatch, answer: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != answer.fields().len() {
        return internal_err!("the plan answers {} columns, {} were told", batch.num_columns(), answer.fields().len());
    }
    let columns: Result<Vec<ArrayRef>> =
        batch.columns().iter().zip(answer.fields()).map(|(column, field)| column_as(column, field)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(answer), columns?, &options).map_err(DataFusionError::from)
}

fn column_as(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    Ok(cast(column, field.data_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_see_plain_types() {
        let item = |of| Arc::new(Field::new("item", of, true));
        for (of, expected) in [
            (DataType::Utf8View, DataType::Utf8),
            (DataType::LargeUtf8, DataType::Utf8),
            (DataType::Dictionary(DataType::Int32.into(), DataType::Utf8View.into()), DataType::Utf8),
            (DataType::LargeList(item(DataType::Utf8View)), DataType::List(item(DataType::Utf8))),
            (
                DataType::Struct(vec![item(DataType::BinaryView)].into()),
                DataType::Struct(vec![item(DataType::Binary)].into()),
            ),
            (DataType::Int64, DataType::Int64),
        ] {
            assert_eq!(plain(&of), expected);
        }
    }

    #[test]
    fn batches_get_exactly_the_columns_told() {
        let views = Arc::new(arrow::array::StringViewArray::from(vec![Some("a"), None])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("x", views)]).expect("a batch");
        let told = of(&DFSchema::try_from(batch.schema().as_ref().clone()).expect("a schema"));
        assert_eq!(stamp(&batch, &told).expect("is cast").schema(), told);
        assert_eq!(told.field(0).data_type(), &DataType::Utf8);
    }
}
