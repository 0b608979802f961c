//! The types of SQL as ODBC wants them described.

use std::sync::LazyLock;

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use arrow_flight::{
    error::FlightError,
    sql::{
        Nullable, Searchable,
        XdbcDataType::{
            self, XdbcBigint, XdbcBit, XdbcDate, XdbcDatetime, XdbcDecimal, XdbcDouble, XdbcInteger, XdbcReal,
            XdbcSmallint, XdbcTime, XdbcTimestamp, XdbcTinyint, XdbcVarbinary, XdbcVarchar,
        },
        XdbcDatetimeSubcode,
        metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
    },
};

/// Schema of GetXdbcTypeInfo.
pub(crate) fn schema() -> SchemaRef {
    XdbcTypeInfoDataBuilder::new().schema()
}

/// The rows of one type code, of all without one.
pub(crate) fn rows(data_type: Option<i32>) -> Result<RecordBatch, ArrowError> {
    let types = TYPES.as_ref().map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))?;
    types.record_batch(data_type).map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))
}

static TYPES: LazyLock<Result<XdbcTypeInfoData, FlightError>> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    types.append(plain("BOOLEAN", XdbcBit, 1));
    for (name, code, digits) in [
        ("TINYINT", XdbcTinyint, 3),
        ("SMALLINT", XdbcSmallint, 5),
        ("INTEGER", XdbcInteger, 10),
        ("BIGINT", XdbcBigint, 19),
    ] {
        types.append(number(name, code, digits));
        let unsigned = format!("{name} UNSIGNED");
        types.append(XdbcTypeInfo { unsigned_attribute: Some(true), ..number(&unsigned, code, digits) });
    }
    types.append(number("REAL", XdbcReal, 7));
    types.append(number("DOUBLE", XdbcDouble, 15));
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        ..number("DECIMAL", XdbcDecimal, 38)
    });
    types.append(XdbcTypeInfo { case_sensitive: true, ..quoted("VARCHAR", XdbcVarchar, "'") });
    types.append(quoted("VARBINARY", XdbcVarbinary, "X'"));
    // The code for dates is an alias of the one for years: both are 1.
    types.append(moment("DATE", XdbcDate, XdbcDatetimeSubcode::XdbcSubcodeYear, 10));
    types.append(moment("TIME", XdbcTime, XdbcDatetimeSubcode::XdbcSubcodeTime, 15));
    types.append(moment("TIMESTAMP", XdbcTimestamp, XdbcDatetimeSubcode::XdbcSubcodeTimestamp, 26));
    types.append(moment("TIMESTAMP WITH TIME ZONE", XdbcTimestamp, XdbcDatetimeSubcode::XdbcSubcodeTimestamp, 27));
    types.build()
});

fn plain(name: &str, code: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        local_type_name: Some(name.to_owned()),
        data_type: code,
        sql_data_type: code,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, code: XdbcDataType, digits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(10),
        ..plain(name, code, digits)
    }
}

fn quoted(name: &str, code: XdbcDataType, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain(name, code, i32::MAX)
    }
}

fn moment(name: &str, code: XdbcDataType, subcode: XdbcDatetimeSubcode, size: i32) -> XdbcTypeInfo {
    let word = name.split(' ').next().unwrap_or(name);
    XdbcTypeInfo {
        sql_data_type: XdbcDatetime,
        datetime_subcode: Some(subcode),
        column_size: Some(size),
        ..quoted(name, code, &format!("{word} '"))
    }
}
