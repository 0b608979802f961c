//! Types: Arrow's as PostgreSQL's. One table, for columns, parameters and `pg_type`.
//!
//! What PostgreSQL has no type for travels in the next wider one (unsigned 64 bits as numeric), a structure or a map as
//! json. Unsigned 32 bits are PostgreSQL's own `oid`.

use arrow::datatypes::DataType;

use crate::plan::postgres::pgtype::{self, Type};

/// A type on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its OID.
    pub(crate) oid: u32,
    /// Bytes of a value, -1 when it varies.
    pub(crate) length: i16,
    /// Digits and scale of a numeric, else -1.
    pub(crate) modifier: i32,
}

/// The type that a column travels as.
pub(crate) fn of(of: &DataType) -> Kind {
    let found: &Type = pgtype::of(of);
    let modifier = match of {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => (i32::from(*digits) << 16 | (i32::from(*scale) & 0x7ff)) + 4,
        _ => -1,
    };
    Kind { oid: found.oid, length: found.length, modifier }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    #[test]
    fn every_type_has_an_oid() {
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        for (data_type, oid, length) in [
            (DataType::Boolean, 16, 1),
            (DataType::Int8, 21, 2),
            (DataType::Int64, 20, 8),
            (DataType::UInt32, 26, 4),
            (DataType::UInt64, 1700, -1),
            (DataType::Float64, 701, 8),
            (DataType::Utf8, 25, -1),
            (DataType::Null, 25, -1),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), 1184, 8),
            (DataType::Timestamp(TimeUnit::Second, None), 1114, 8),
            (list(DataType::Utf8), 1009, -1),
            (list(list(DataType::Utf8)), 114, -1),
            (DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()), 114, -1),
        ] {
            let kind = of(&data_type);
            assert_eq!((kind.oid, kind.length), (oid, length), "{data_type}");
        }
        assert_eq!(of(&DataType::Decimal128(10, 2)).modifier, 655_366);
    }
}
