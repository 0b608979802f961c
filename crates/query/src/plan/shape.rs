//! The columns an answer will have, exactly: told before it runs, and put on every batch.
//!
//! Views, dictionaries and large lists are the engine's own business; clients see plain types (reference/flightsql.md,
//! traps 1 to 16). The logical plan decides names, types and nullability; batches follow. Inside of a plan the text of
//! tables is views ([`viewed`]): pages of files are read without copying them. Nothing but this module turns one into
//! the other, and every answer leaves through [`stamp`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use datafusion::{
    common::{DFSchema, Result, internal_err},
    error::DataFusionError,
    logical_expr::{DescribeTable, LogicalPlan},
};

use crate::sql::postgres::told;

/// The columns of an answer to a plan with these columns.
pub(crate) fn of(plan: &DFSchema) -> SchemaRef {
    let fields: Fields = plan.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new(fields))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let nullable = field.is_nullable() || field.data_type().is_null();
    Arc::new(Field::new(told(field.name()), plain(field.data_type()), nullable))
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
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// The columns of a table as plans scan it: text as views.
pub(crate) fn viewed(table: &Schema) -> SchemaRef {
    let view = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(table.fields().iter().map(view).collect::<Fields>()))
}

/// A description of columns, of a table or a statement, tells those that an answer has.
pub(crate) fn described(plan: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }) = plan else { return plan };
    let schema = Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Fields>()));
    LogicalPlan::DescribeTable(DescribeTable { schema, output_schema })
}

/// Puts columns on a batch that holds the same in other types: those of the answer on a batch of the plan, those of the
/// plan on rows of a table.
pub(crate) fn stamp(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != columns.fields().len() {
        return internal_err!("a batch has {} columns, {} were told", batch.num_columns(), columns.fields().len());
    }
    let stamped: Result<Vec<ArrayRef>> =
        batch.columns().iter().zip(columns.fields()).map(|(column, field)| column_as(column, field)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(columns), stamped?, &options).map_err(DataFusionError::from)
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
            (DataType::Map(item(DataType::Utf8View), false), DataType::Map(item(DataType::Utf8), false)),
            (DataType::Int64, DataType::Int64),
        ] {
            assert_eq!(plain(&of), expected);
        }
    }

    #[test]
    fn tables_are_scanned_with_views_and_answered_without() {
        let field = |name: &str, of| Field::new(name, of, true);
        let table = Arc::new(Schema::new(vec![field("a", DataType::Int64), field("b", DataType::Utf8)]));
        let views = viewed(&table);
        assert_eq!([views.field(0).data_type(), views.field(1).data_type()], [&DataType::Int64, &DataType::Utf8View]);
        assert_eq!(of(&DFSchema::try_from(Arc::clone(&views)).expect("a schema")), table);
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
