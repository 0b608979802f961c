//! Change events → changes: the document becomes typed columns.

use arrow::array::RecordBatch;
use tidemark_model::DocSchema;

use crate::FoldError;

/// Turns rows of the events table that are changes of one collection into changes of that collection, in the same
/// order, with typed columns derived from the document under `schema`. Input: `columns::events_schema()`, every row
/// with `collection` set; output: `columns::changes_schema(schema)`.
///
/// # Errors
/// When a column is not as [`crate::columns`] says, or a document is no JSON object.
pub fn changes(events: &RecordBatch, schema: &DocSchema) -> Result<RecordBatch, FoldError> {
    let _ = (events, schema);
    todo!()
}
