//! What the server can do, as SqlInfo codes.
//!
//! Clients cast the union's children without looking, so the child of every code is what the drivers of Java, C++ and
//! Go cast to, also where the specification says something else: bit masks are masks of `1 << enum`, and the codes
//! 503, 505, 507 and 562 are 64 bits wide. Codes newer than a client make some drivers fail, so there are none.

use std::{collections::BTreeMap, sync::LazyLock};

use arrow::{array::RecordBatch, error::ArrowError};
use arrow_flight::{
    error::FlightError,
    sql::metadata::{SqlInfoData, SqlInfoDataBuilder},
};

use crate::flight::transaction::AGE_MAX_MS;

const STRINGS: [(u32, &str); 9] = [
    (0, "Tidemark"),
    (1, env!("CARGO_PKG_VERSION")),
    (2, arrow::ARROW_VERSION),
    (504, "\""), // quotes an identifier
    (513, "\\"), // escapes in patterns
    (514, ""),   // letters beyond the usual in identifiers
    (529, "schema"),
    (530, "procedure"),
    (531, "catalog"),
];

const YES: [u32; 15] = [
    3,   // read only
    4,   // SQL
    9,   // queries can be cancelled
    10,  // rows can be ingested
    506, // every table that is listed can be selected from
    515, // column aliases
    516, // null + null is null
    518, // table aliases
    520, // expressions in ORDER BY
    521, // ORDER BY columns that are not selected
    523, // LIKE … ESCAPE
    524, // columns that are not nullable
    532, // the catalog stands first
    539, // correlated subqueries
    556, // a row's size includes large values
];

/// Substrait, ingest within a transaction, DDL, different correlation names, integrity, FOR UPDATE, procedures, transactions, batches,
/// savepoints, named parameters, locators, functions by CALL.
const NO: [u32; 17] = [5, 11, 500, 501, 502, 519, 527, 536, 537, 563, 565, 566, 572, 573, 574, 575, 576];

/// 64 bits: limits (0 = none or unknown) and the four codes that drivers read so.
const WIDE: [(u32, i64); 4] = [
    (503, 3), // unquoted identifiers become lower case
    (505, 0), // quoted identifiers keep their case, and it counts
    (507, 0), // nulls sort as the largest value
    (562, 0), // no transactions
];

/// Limits that are none or unknown.
const NO_LIMIT: [std::ops::RangeInclusive<u32>; 2] = [541..=555, 557..=561];

const MASKS: [(u32, i32); 18] = [
    (8, 1),            // transactions, without savepoints
    (100, 0),          // time-out of a statement, ms: the server's own
    (101, AGE_MAX_MS), // time-out of a transaction, ms
    (522, 0b11),       // GROUP BY: unrelated columns, beyond the selected
    (525, 0b010),      // grammar: core
    (526, 0b010),      // SQL-92: intermediate; only the highest level's bit
    (528, 0b110),      // outer joins: limited and full
    (533, 0),          // schemas in procedure calls, index and privilege definitions
    (534, 0),          // catalogs in the same
    (535, 0),          // positioned updates
    (538, 0b1111),     // subqueries: in comparisons, EXISTS, IN, quantified
    (540, 0b11),       // UNION and UNION ALL
    (564, 0b1),        // isolation levels: none
    (567, 0b10),       // result sets: forward only
    (568, 0),
    (569, 0b10), // forward-only result sets: read only
    (570, 0),
    (571, 0),
];

const LISTS: [(u32, &[&str]); 5] = [
    (508, &["ILIKE", "QUALIFY", "SYSTEM_TIME", "VALID_TIME"]),
    (509, &[]),
    (
        510,
        &[
            "ASCII", "CHR", "CONCAT", "LEFT", "LENGTH", "LOWER", "LPAD", "LTRIM", "REPEAT", "REPLACE", "REVERSE",
            "RIGHT", "RPAD", "RTRIM", "STRPOS", "SUBSTR", "UPPER",
        ],
    ),
    (511, &[]),
    (512, &["CURRENT_DATE", "CURRENT_TIME", "DATE_BIN", "DATE_PART", "DATE_TRUNC", "NOW", "TO_TIMESTAMP"]),
];

/// Which types can be converted; empty, CAST is to be tried.
const CONVERT: u32 = 517;

static INFO: LazyLock<Result<SqlInfoData, FlightError>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    STRINGS.iter().for_each(|(code, value)| info.append(*code, *value));
    YES.iter().for_each(|code| info.append(*code, true));
    NO.iter().for_each(|code| info.append(*code, false));
    WIDE.iter().for_each(|(code, value)| info.append(*code, *value));
    NO_LIMIT.into_iter().flatten().for_each(|code| info.append(code, 0_i64));
    MASKS.iter().for_each(|(code, value)| info.append(*code, *value));
    LISTS.iter().for_each(|(code, value)| info.append(*code, *value));
    info.append(CONVERT, BTreeMap::<i32, Vec<i32>>::new());
    info.build()
});

/// The codes that are asked for, all when none is named; unknown ones are left out.
pub(crate) fn rows(codes: &[u32]) -> Result<RecordBatch, ArrowError> {
    let info = INFO.as_ref().map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))?;
    info.record_batch(codes.iter().copied()).map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))
}
