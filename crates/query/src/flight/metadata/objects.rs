//! Catalogs, schemas, tables and table types.
//!
//! An absent catalog means any, an empty one means objects that have none: there are no such. `TABLE` in a filter
//! means `BASE TABLE`, because clients disagree on the word.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryBuilder, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};

use super::{CATALOG, columns, like};
use crate::{TableInfo, flight::wire};

const BASE_TABLE: &str = "BASE TABLE";
const VIEW: &str = "VIEW";

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Schema of GetCatalogs.
pub(crate) fn catalogs_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("catalog_name", DataType::Utf8, false)]))
}

/// Rows of GetCatalogs.
pub(crate) fn catalogs() -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(catalogs_schema(), vec![texts([CATALOG])])
}

/// Schema of GetDbSchemas.
pub(crate) fn schemas_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, false),
    ]))
}

/// Rows of GetDbSchemas, sorted.
pub(crate) fn schemas(ask: &CommandGetDbSchemas, tables: &[TableInfo]) -> Result<RecordBatch, ArrowError> {
    let names: BTreeSet<&str> = tables
        .iter()
        .map(|table| table.schema_name.as_str())
        .filter(|name| is_ours(ask.catalog.as_deref()) && fits(name, ask.db_schema_filter_pattern.as_deref()))
        .collect();
    RecordBatch::try_new(schemas_schema(), vec![texts(names.iter().map(|_| CATALOG)), texts(names)])
}

/// Schema of GetTables; `with_schema` tells whether each table's own schema is asked for.
pub(crate) fn tables_schema(with_schema: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ];
    if with_schema {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Arc::new(Schema::new(fields))
}

/// Rows of GetTables, sorted; schemas are encoded for what passed the filters only.
pub(crate) fn tables(ask: &CommandGetTables, tables: &[TableInfo]) -> Result<RecordBatch, ArrowError> {
    let mut found: Vec<&TableInfo> = tables
        .iter()
        .filter(|table| {
            is_ours(ask.catalog.as_deref())
                && fits(&table.schema_name, ask.db_schema_filter_pattern.as_deref())
                && fits(&table.name, ask.table_name_filter_pattern.as_deref())
                && is_type(table.table_type, &ask.table_types)
        })
        .collect();
    found.sort_by_key(|table| (&table.schema_name, &table.name, table.table_type));
    let mut arrays = vec![
        texts(found.iter().map(|_| CATALOG)),
        texts(found.iter().map(|table| table.schema_name.as_str())),
        texts(found.iter().map(|table| table.name.as_str())),
        texts(found.iter().map(|table| table.table_type)),
    ];
    if ask.include_schema {
        let mut encoded = BinaryBuilder::new();
        for table in &found {
            let message = wire::schema_message(&columns::described(table))
                .map_err(|e| ArrowError::IpcError(e.message().to_owned()))?;
            encoded.append_value(message);
        }
        arrays.push(Arc::new(encoded.finish()));
    }
    RecordBatch::try_new(tables_schema(ask.include_schema), arrays)
}

/// Schema of GetTableTypes.
pub(crate) fn table_types_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)]))
}

/// Rows of GetTableTypes, sorted.
pub(crate) fn table_types() -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table_types_schema(), vec![texts([BASE_TABLE, VIEW])])
}

fn is_ours(catalog: Option<&str>) -> bool {
    catalog.is_none_or(|name| name == CATALOG)
}

fn fits(name: &str, pattern: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| like::matches(name, pattern))
}

fn is_type(own: &str, asked: &[String]) -> bool {
    let same =
        |asked: &String| asked.eq_ignore_ascii_case(own) || (own == BASE_TABLE && asked.eq_ignore_ascii_case("TABLE"));
    asked.is_empty() || asked.iter().any(same)
}
