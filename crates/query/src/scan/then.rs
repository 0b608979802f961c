//! A table with the columns it had at an instant (`SET tidemark.schema = 'as_of'`).
//!
//! Columns only appear and widen, so what a table had is found among what it has: a column that came later is left out, one
//! that was wider than it became is cast back. No value is lost by that: whatever counts at the instant was
//! taken in while its column was as narrow, and a cast of ours (`fold::conform`) keeps every digit. One that does not
//! fit is an error of the cast, never NULL.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::TableProvider,
    common::{Column, Result, TableReference},
    datasource::{ViewTable, provider_as_source},
    logical_expr::{Expr, LogicalPlanBuilder, cast},
};

/// The name that the table of the present has below.
const NOW: &str = "now";

/// The table with these columns of its own.
///
/// # Errors
/// What the engine says of a column that is none.
pub(crate) fn with_columns(table: Arc<dyn TableProvider>, then: &SchemaRef) -> Result<Arc<dyn TableProvider>> {
    let now = table.schema();
    if now == *then {
        return Ok(table);
    }
    let columns = then.fields().iter().map(|field| {
        let column = Expr::Column(Column::new(Some(TableReference::bare(NOW)), field.name().as_str()));
        match now.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => column.alias(field.name()),
            _ => cast(column, field.data_type().clone()).alias(field.name()),
        }
    });
    let plan = LogicalPlanBuilder::scan(NOW, provider_as_source(table), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
