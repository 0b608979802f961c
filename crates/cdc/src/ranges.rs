//! What manifests and footers say about the rows of a file.

use arrow::{
    array::{Array, RecordBatch, StringArray},
    datatypes::{ArrowPrimitiveType, Int64Type, TimestampMicrosecondType},
};
use tidemark_catalog::manifest::Range;
use tidemark_fold::{FoldError, columns::doc};
use tidemark_model::{Instant, Seq};

/// Rows of a batch that goes into a file.
pub(crate) const BATCH_ROWS: usize = 16 << 10;

/// Both ends of the key and order columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    pub(crate) seq: Range<Seq>,
    pub(crate) system_time: Range<Instant>,
    pub(crate) ts: Range<Instant>,
    pub(crate) id: Range<String>,
}

impl Ranges {
    /// The ranges of rows that are sorted by id; `None` without rows.
    pub(crate) fn of(sorted: &[RecordBatch]) -> Result<Option<Self>, FoldError> {
        let Some(id) = ids(sorted)? else { return Ok(None) };
        let times = |name| {
            let instants = |range: Range<i64>| Range {
                min: Instant::from_micros(range.min),
                max: Instant::from_micros(range.max),
            };
            ends::<TimestampMicrosecondType>(sorted, name).map(|found| found.map(instants))
        };
        let seq = ends::<Int64Type>(sorted, doc::SEQ)?;
        Ok(match (seq, times(doc::SYSTEM_TIME)?, times(doc::TS)?) {
            (Some(seq), Some(system_time), Some(ts)) => Some(Self { seq, system_time, ts, id }),
            _ => None,
        })
    }

    /// Footer entries, so that a lost manifest could be rebuilt.
    pub(crate) fn metadata(&self, schema_id: u32) -> Vec<(String, String)> {
        let range = |min: String, max: String| format!("{min}..={max}");
        let times = |range: &Range<Instant>| format!("{}..={}", range.min.micros(), range.max.micros());
        [
            ("schema_id", schema_id.to_string()),
            ("seq", range(self.seq.min.to_string(), self.seq.max.to_string())),
            ("system_time", times(&self.system_time)),
            ("ts", times(&self.ts)),
            ("id_min", self.id.min.clone()),
            ("id_max", self.id.max.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// The first and last id of sorted rows.
pub(crate) fn ids(sorted: &[RecordBatch]) -> Result<Option<Range<String>>, FoldError> {
    let id = |batch: &RecordBatch, row: usize| {
        let ids = column::<StringArray>(batch, doc::ID)?;
        Ok::<_, FoldError>(ids.value(row).to_owned())
    };
    let mut filled = sorted.iter().filter(|batch| batch.num_rows() > 0);
    let Some(first) = filled.next() else { return Ok(None) };
    let last = filled.next_back().unwrap_or(first);
    Ok(Some(Range { min: id(first, 0)?, max: id(last, last.num_rows() - 1)? }))
}

/// The least instant of a column; `None` without rows.
pub(crate) fn least_time(batch: &RecordBatch, name: &'static str) -> Result<Option<Instant>, FoldError> {
    let ends = ends::<TimestampMicrosecondType>(std::slice::from_ref(batch), name)?;
    Ok(ends.map(|range| Instant::from_micros(range.min)))
}

fn ends<T: ArrowPrimitiveType<Native = i64>>(
    batches: &[RecordBatch],
    name: &'static str,
) -> Result<Option<Range<i64>>, FoldError> {
    let mut found: Option<Range<i64>> = None;
    for batch in batches {
        for value in column::<arrow::array::PrimitiveArray<T>>(batch, name)?.values() {
            let range = found.get_or_insert(Range { min: *value, max: *value });
            (range.min, range.max) = (range.min.min(*value), range.max.max(*value));
        }
    }
    Ok(found)
}

pub(crate) fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a A, FoldError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or(FoldError::Column(name))
}
