//! Which row groups can hold wanted rows: by least and greatest value, then by bloom filter. When in doubt, all.

use std::ops::Range;

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
};
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, statistics::StatisticsConverter},
    bloom_filter::Sbbf,
    errors::Result,
};

use super::Wanted;

/// The row groups that may hold wanted rows, ascending. `fetch` reads one range of the file.
pub(super) fn row_groups(
    metadata: &ArrowReaderMetadata,
    wanted: &Wanted,
    fetch: impl Fn(Range<u64>) -> Result<Vec<Bytes>>,
) -> Result<Vec<usize>> {
    let mut groups: Vec<usize> = (0..metadata.metadata().num_row_groups()).collect();
    if let Some((column, above)) = &wanted.above {
        let may_hold = reaching_above(metadata, column, *above)?;
        groups.retain(|group| may_hold[*group]);
    }
    if let Some((column, text)) = &wanted.equal {
        let may_hold = spanning(metadata, column, text)?;
        groups.retain(|group| may_hold[*group]);
        groups = in_bloom(metadata, (column, text), groups, fetch)?;
    }
    Ok(groups)
}

fn converter<'a>(metadata: &'a ArrowReaderMetadata, column: &str) -> Result<StatisticsConverter<'a>> {
    StatisticsConverter::try_new(column, metadata.schema(), metadata.parquet_schema())
}

fn reaching_above(metadata: &ArrowReaderMetadata, column: &str, above: i64) -> Result<Vec<bool>> {
    let greatest = converter(metadata, column)?.row_group_maxes(metadata.metadata().row_groups())?;
    let known = greatest.as_primitive_opt::<Int64Type>();
    let groups = 0..greatest.len();
    Ok(groups.map(|at| known.is_none_or(|known| known.is_null(at) || known.value(at) > above)).collect())
}

fn spanning(metadata: &ArrowReaderMetadata, column: &str, text: &str) -> Result<Vec<bool>> {
    let converter = converter(metadata, column)?;
    let least = converter.row_group_mins(metadata.metadata().row_groups())?;
    let greatest = converter.row_group_maxes(metadata.metadata().row_groups())?;
    let (Some(min), Some(max)) = (least.as_string_opt::<i32>(), greatest.as_string_opt::<i32>()) else {
        return Ok(vec![true; metadata.metadata().num_row_groups()]);
    };
    let is_within = |at| (min.is_null(at) || min.value(at) <= text) && (max.is_null(at) || text <= max.value(at));
    Ok((0..min.len()).map(is_within).collect())
}

fn in_bloom(
    metadata: &ArrowReaderMetadata,
    (column, text): (&str, &str),
    groups: Vec<usize>,
    fetch: impl Fn(Range<u64>) -> Result<Vec<Bytes>>,
) -> Result<Vec<usize>> {
    let Some((at, _field)) = metadata.schema().column_with_name(column) else { return Ok(groups) };
    let mut kept = Vec::with_capacity(groups.len());
    for group in groups {
        let column = metadata.metadata().row_group(group).column(at);
        let offset = column.bloom_filter_offset().and_then(|offset| u64::try_from(offset).ok());
        let length = column.bloom_filter_length().and_then(|length| u64::try_from(length).ok());
        let is_absent = match offset.zip(length) {
            Some((offset, length)) => {
                let bytes = fetch(offset..offset + length)?;
                bytes.first().map(|bytes| Sbbf::from_bytes(bytes)).transpose()?.is_some_and(|bloom| !bloom.check(text))
            }
            None => false,
        };
        if !is_absent {
            kept.push(group);
        }
    }
    Ok(kept)
}
