//! How a kind of file is laid out: sorting, encodings, statistics, blooms, row groups.
//!
//! All kinds: zstd(1), row groups of at most 128 k rows. Every change is written twice, as an event and in its delta, and
//! half of what a change costs is writing: so no time is spent on a dictionary that is thrown away, nor on statistics
//! that no reader can skip pages by.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    errors::Result,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};
use tidemark_fold::columns::{doc, event};

use super::{FORMAT, FileKind};

/// The most rows of a row group.
const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
/// The most encoded bytes of a row group, so that reading one fits into memory.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;
/// Rows of a page of a state file: small, because look-ups of one document read one page.
const STATE_PAGE_ROWS: usize = 8192;
/// Rows of a page of a delta: smaller still, because a fold in spans of ids decompresses every page that a span ends in
/// once for each of the two, in every delta.
const DELTA_PAGE_ROWS: usize = 4096;
/// How often a bloom filter may say "perhaps" wrongly.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
const ZSTD_LEVEL: i32 = 1;

impl FileKind {
    /// The word in the footer (`tidemark.kind`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Delta => "delta",
            Self::State => "state",
            Self::Tombstones => "tombstones",
            Self::Idempotency => "idempotency",
        }
    }

    /// The columns the rows are sorted by.
    fn order(self, schema: &Schema) -> Vec<Order<'_>> {
        match self {
            Self::Events => [event::COLLECTION, event::TYPE, event::TS].map(Order::Ascending).into(),
            Self::Delta => {
                let newest_first = [doc::TS, doc::BOOKMARK, doc::SYSTEM_TIME, doc::SEQ].map(Order::Descending);
                std::iter::once(Order::Ascending(doc::ID)).chain(newest_first).collect()
            }
            Self::State | Self::Tombstones => vec![Order::Ascending(doc::ID)],
            Self::Idempotency => {
                schema.fields().first().map(|hash| Order::Ascending(hash.name())).into_iter().collect()
            }
        }
    }

    /// Rows of a data page at most, where that is less than the writer's default.
    const fn page_rows(self) -> Option<usize> {
        match self {
            Self::State => Some(STATE_PAGE_ROWS),
            Self::Delta => Some(DELTA_PAGE_ROWS),
            Self::Events | Self::Tombstones | Self::Idempotency => None,
        }
    }

    /// The column that single rows are looked up by.
    const fn bloom(self) -> Option<&'static str> {
        match self {
            Self::Events => Some(event::ID),
            Self::Delta | Self::State => Some(doc::ID),
            Self::Tombstones | Self::Idempotency => None,
        }
    }
}

/// One column of an order; nulls count as the least.
enum Order<'a> {
    Ascending(&'a str),
    Descending(&'a str),
}

impl Order<'_> {
    /// Leaves are numbered as fields are: no column is nested.
    fn declared(&self, schema: &Schema) -> Option<SortingColumn> {
        let (name, descending) = match self {
            Self::Ascending(name) => (name, false),
            Self::Descending(name) => (name, true),
        };
        let column_idx = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn { column_idx, descending, nulls_first: !descending })
    }
}

/// The settings of the writer for a file of about so many rows, with these footer entries.
pub(super) fn properties(
    kind: FileKind,
    schema: &Schema,
    rows: u64,
    metadata: &[(String, String)],
) -> Result<WriterProperties> {
    let sorting = kind.order(schema).iter().filter_map(|order| order.declared(schema)).collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_sorting_columns(Some(sorting))
        .set_key_value_metadata(Some(footer(kind, metadata)))
        .set_created_by(concat!("tidemark ", env!("CARGO_PKG_VERSION")).to_owned());
    if let Some(rows) = kind.page_rows() {
        builder = builder.set_data_page_row_count_limit(rows);
    }
    for field in schema.fields() {
        builder = column(kind, builder, field);
    }
    if let Some(name) = kind.bloom() {
        let distinct = rows.clamp(1, ROW_GROUP_ROWS_MAX as u64);
        builder = builder
            .set_column_bloom_filter_fpp(ColumnPath::from(name), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(name), distinct);
    }
    Ok(builder.build())
}

fn column(kind: FileKind, builder: WriterPropertiesBuilder, field: &Field) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(field.name().as_str());
    let has_dictionary = has_dictionary(kind, field);
    let mut builder = builder
        .set_column_dictionary_enabled(path.clone(), has_dictionary)
        .set_column_statistics_enabled(path.clone(), statistics(kind, field.name()));
    if is_integer(field.data_type()) && !has_dictionary {
        builder = builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder
}

/// A dictionary is worth its time where values repeat. Documents and keys do not; times and sequences are ascending or
/// close together, so that their differences are small; the numbers of a delta are read once, as a whole.
fn has_dictionary(kind: FileKind, field: &Field) -> bool {
    match field.name().as_str() {
        event::DATA | event::PREV | doc::DOC | doc::PREV => false,
        event::ID | event::DOCUMENT_ID | event::BOOKMARK | doc::ID | doc::BOOKMARK | doc::EVENT_ID => false,
        event::TS | event::SYSTEM_TIME | event::SHARD | doc::TS | doc::SEQ => !is_integer(field.data_type()),
        _ => kind != FileKind::Delta || *field.data_type() == DataType::Utf8,
    }
}

/// The least and greatest of a page are worth their time where they let a reader skip pages: in the columns a file is
/// sorted or cut by, and in everything a question may ask of a state.
fn statistics(kind: FileKind, name: &str) -> EnabledStatistics {
    match (kind, name) {
        (_, event::DATA | event::PREV | doc::DOC | doc::PREV) => EnabledStatistics::None,
        (FileKind::Events, event::SUBJECT | event::META | event::ACTOR | event::BOOKMARK) => EnabledStatistics::None,
        (FileKind::Delta, doc::ID | doc::TS | doc::SYSTEM_TIME | doc::SEQ) => EnabledStatistics::Page,
        (FileKind::Delta, _) => EnabledStatistics::None,
        _ => EnabledStatistics::Page,
    }
}

const fn is_integer(kind: &DataType) -> bool {
    matches!(kind, DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _))
}

fn footer(kind: FileKind, metadata: &[(String, String)]) -> Vec<KeyValue> {
    let entry = |key: &str, value: &str| KeyValue::new(format!("tidemark.{key}"), value.to_owned());
    let own = [entry("format", FORMAT), entry("kind", kind.as_str())];
    own.into_iter().chain(metadata.iter().map(|(key, value)| entry(key, value))).collect()
}
