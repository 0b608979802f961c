//! The types of PostgreSQL that values of the lake travel as: the rows of `pg_type`.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// A type of PostgreSQL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Type {
    /// Its OID, the same in every PostgreSQL.
    pub(crate) oid: u32,
    /// Its name in `pg_type`.
    pub(crate) name: &'static str,
    /// Its name in SQL, as `format_type` tells it.
    pub(crate) sql: &'static str,
    /// Bytes of a value, -1 when it varies.
    pub(crate) length: i16,
    /// The OID of arrays of it; 0 for an array.
    pub(crate) array: u32,
    /// The OID of an array's elements; 0 for what is none.
    pub(crate) element: u32,
    /// Its category: B, N, S, D, T, U, A, P.
    pub(crate) category: char,
}

/// A type and the type of its arrays.
macro_rules! pair {
    ($oid:literal $name:literal $sql:literal $length:literal $category:literal $array:literal) => {
        [
            Type { oid: $oid, name: $name, sql: $sql, length: $length, array: $array, element: 0, category: $category },
            Type {
                oid: $array,
                name: concat!("_", $name),
                sql: concat!($sql, "[]"),
                length: -1,
                array: 0,
                element: $oid,
                category: 'A',
            },
        ]
    };
}

static PAIRS: [[Type; 2]; 24] = [
    pair!(16 "bool" "boolean" 1 'B' 1000),
    pair!(17 "bytea" "bytea" -1 'U' 1001),
    pair!(18 "char" "\"char\"" 1 'Z' 1002),
    pair!(19 "name" "name" 64 'S' 1003),
    pair!(20 "int8" "bigint" 8 'N' 1016),
    pair!(21 "int2" "smallint" 2 'N' 1005),
    pair!(23 "int4" "integer" 4 'N' 1007),
    pair!(25 "text" "text" -1 'S' 1009),
    pair!(26 "oid" "oid" 4 'N' 1028),
    pair!(114 "json" "json" -1 'U' 199),
    pair!(700 "float4" "real" 4 'N' 1021),
    pair!(701 "float8" "double precision" 8 'N' 1022),
    pair!(1042 "bpchar" "character" -1 'S' 1014),
    pair!(1043 "varchar" "character varying" -1 'S' 1015),
    pair!(1082 "date" "date" 4 'D' 1182),
    pair!(1083 "time" "time without time zone" 8 'D' 1183),
    pair!(1114 "timestamp" "timestamp without time zone" 8 'D' 1115),
    pair!(1184 "timestamptz" "timestamp with time zone" 8 'D' 1185),
    pair!(1186 "interval" "interval" 16 'T' 1187),
    pair!(1700 "numeric" "numeric" -1 'N' 1231),
    pair!(2205 "regclass" "regclass" 4 'N' 2210),
    pair!(2206 "regtype" "regtype" 4 'N' 2211),
    pair!(2950 "uuid" "uuid" 16 'U' 2951),
    pair!(3802 "jsonb" "jsonb" -1 'U' 3807),
];

/// OIDs that the code names.
pub(crate) mod oid {
    /// json.
    pub(crate) const JSON: u32 = 114;
}

/// Every type, ordered by pairs.
pub(crate) fn all() -> impl Iterator<Item = &'static Type> {
    PAIRS.iter().flatten()
}

/// A type by its OID.
pub(crate) fn by_oid(oid: u32) -> Option<&'static Type> {
    all().find(|known| known.oid == oid)
}

/// A type by its name in `pg_type` or in SQL.
pub(crate) fn by_name(name: &str) -> Option<&'static Type> {
    let other = match name {
        "int" => "int4",
        "float" | "double" => "float8",
        "decimal" => "numeric",
        "string" => "text",
        name => name,
    };
    all().find(|known| known.name == other || known.sql == other)
}

/// A type that there is; text is the eighth.
fn known(oid: u32) -> &'static Type {
    by_oid(oid).unwrap_or(&PAIRS[7][0])
}

/// The type that a column travels as.
pub(crate) fn of(of: &DataType) -> &'static Type {
    match of {
        DataType::List(field) | DataType::FixedSizeList(field, _) | DataType::LargeList(field) => {
            match scalar(field.data_type()).map(known) {
                Some(element) if element.array != 0 => known(element.array),
                _ => known(oid::JSON),
            }
        }
        other => known(scalar(other).unwrap_or(oid::JSON)),
    }
}

/// The OID of a type that holds one value.
const fn scalar(of: &DataType) -> Option<u32> {
    Some(match of {
        DataType::Boolean => 16,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => 21,
        DataType::Int32 | DataType::UInt16 => 23,
        DataType::Int64 => 20,
        DataType::UInt32 => 26,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => 1700,
        DataType::Float16 | DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => 25,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => 17,
        DataType::Date32 | DataType::Date64 => 1082,
        DataType::Time32(_) | DataType::Time64(_) => 1083,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(_, Some(_)) => 1184,
        DataType::Duration(_) | DataType::Interval(_) => 1186,
        _ => return None,
    })
}

/// The Arrow type that values of a type are read into; none for what is not read.
pub(crate) fn arrow(oid: u32) -> Option<DataType> {
    Some(match oid {
        16 => DataType::Boolean,
        17 => DataType::Binary,
        20 => DataType::Int64,
        21 => DataType::Int16,
        23 => DataType::Int32,
        26 | 2205 | 2206 => DataType::UInt32,
        700 => DataType::Float32,
        701 => DataType::Float64,
        18 | 19 | 25 | 114 | 1042 | 1043 | 2950 | 3802 => DataType::Utf8,
        1082 => DataType::Date32,
        1083 => DataType::Time64(TimeUnit::Microsecond),
        1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
        1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        1186 => DataType::Interval(IntervalUnit::MonthDayNano),
        1700 => DataType::Decimal128(38, 10),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn oids_and_names_are_unique_and_arrays_point_back() {
        let oids: BTreeSet<u32> = all().map(|it| it.oid).collect();
        let names: BTreeSet<&str> = all().map(|it| it.name).collect();
        assert_eq!((oids.len(), names.len()), (48, 48));
        for it in all().filter(|it| it.element == 0) {
            assert_eq!(by_oid(it.array).map(|array| array.element), Some(it.oid));
        }
        assert_eq!(by_name("bigint"), by_name("int8"));
    }
}
