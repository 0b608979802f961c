//! What clients ask about the lake itself: catalogs, schemas, tables, keys, types, and what the server can do.
//!
//! Drivers compare the schemas of these answers exactly, so each stands here once and is pinned by a test. The ticket
//! of such an answer is its command, as every server does it.

mod columns;
mod info;
mod keys;
mod like;
mod objects;
mod xdbc;

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use arrow_flight::sql::{Command, metadata::SqlInfoDataBuilder};
use tonic::Status;

use super::{status::defect, wire};
use crate::TableInfo;

/// The one catalog.
pub(crate) const CATALOG: &str = "tidemark";

/// The schema of a command's answer as it travels; `None` for what is no metadata command.
pub(crate) fn schema(command: &Command) -> Option<SchemaRef> {
    let schema = match command {
        Command::CommandGetCatalogs(_) => objects::catalogs_schema(),
        Command::CommandGetDbSchemas(_) => objects::schemas_schema(),
        Command::CommandGetTables(ask) => objects::tables_schema(ask.include_schema),
        Command::CommandGetTableTypes(_) => objects::table_types_schema(),
        Command::CommandGetPrimaryKeys(_) => keys::primary(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign(),
        Command::CommandGetSqlInfo(_) => SqlInfoDataBuilder::schema().clone().into(),
        Command::CommandGetXdbcTypeInfo(_) => xdbc::schema(),
        _ => return None,
    };
    Some(wire::schema(&schema))
}

/// The rows of a command's answer; `None` for what is no metadata command.
pub(crate) fn rows(command: &Command, tables: impl FnOnce() -> Vec<TableInfo>) -> Option<Result<RecordBatch, Status>> {
    let batch: Result<RecordBatch, ArrowError> = match command {
        Command::CommandGetCatalogs(_) => objects::catalogs(),
        Command::CommandGetDbSchemas(ask) => objects::schemas(ask, &tables()),
        Command::CommandGetTables(ask) => objects::tables(ask, &tables()),
        Command::CommandGetTableTypes(_) => objects::table_types(),
        Command::CommandGetPrimaryKeys(_) => Ok(RecordBatch::new_empty(keys::primary())),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(RecordBatch::new_empty(keys::foreign())),
        Command::CommandGetSqlInfo(ask) => info::rows(&ask.info),
        Command::CommandGetXdbcTypeInfo(ask) => xdbc::rows(ask.data_type),
        _ => return None,
    };
    Some(batch.map_err(|e| defect("metadata could not be built", e)))
}

#[cfg(test)]
mod tests;
