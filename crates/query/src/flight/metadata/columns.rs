//! Columns as catalogs describe them: SQL's name of a type, its precision, and where the column stands.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::CATALOG;
use crate::{TableInfo, flight::wire};

/// SQL's name for a type, the same here and in GetXdbcTypeInfo.
pub(crate) fn sql_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "DECIMAL"
        }
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL",
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => "VARBINARY",
        DataType::List(_) | DataType::FixedSizeList(..) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        _ => "VARCHAR",
    }
}

/// Digits and scale of a type that has them.
fn precision(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Float16 | DataType::Float32 => (7, 0),
        DataType::Float64 => (15, 0),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => (*p, *s),
        DataType::Timestamp(..) => (26, 6),
        _ => return None,
    })
}

/// The schema of a table as it travels, its columns described.
pub(crate) fn described(table: &TableInfo) -> Schema {
    let wire = wire::schema(&table.columns);
    Schema::new(wire.fields().iter().map(|field| describe(table, field)).collect::<Vec<_>>())
}

fn describe(table: &TableInfo, field: &FieldRef) -> Arc<Field> {
    let mut notes: HashMap<String, String> = field.metadata().clone();
    let mut note = |key: &str, value: String| notes.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
    note("CATALOG_NAME", CATALOG.to_owned());
    note("SCHEMA_NAME", table.schema_name.clone());
    note("TABLE_NAME", table.name.clone());
    note("TYPE_NAME", sql_name(field.data_type()).to_owned());
    if let Some((digits, scale)) = precision(field.data_type()) {
        note("PRECISION", digits.to_string());
        note("SCALE", scale.to_string());
    }
    note("IS_AUTO_INCREMENT", "0".to_owned());
    note("IS_CASE_SENSITIVE", "1".to_owned());
    note("IS_READ_ONLY", "1".to_owned());
    note("IS_SEARCHABLE", "1".to_owned());
    note("REMARKS", String::new());
    Arc::new(field.as_ref().clone().with_metadata(notes))
}
