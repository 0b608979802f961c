//! What a footer tells of wanted rows: which row groups can hold some, and whether they hold nothing else.
//!
//! By least and greatest value, then by bloom filter. When in doubt, a row group is read and its rows are looked at.

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::Int64Type,
};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, statistics::StatisticsConverter},
    bloom_filter::Sbbf,
    errors::Result,
    file::metadata::RowGroupMetaData,
};

use super::Wanted;

/// The row groups whose least and greatest values allow for wanted rows, ascending.
pub(super) fn by_statistics(metadata: &ArrowReaderMetadata, wanted: &Wanted) -> Result<Vec<usize>> {
    let mut groups: Vec<usize> = (0..metadata.metadata().num_row_groups()).collect();
    if let Some((column, above)) = &wanted.above {
        let may_hold = reaching_above(metadata, column, *above)?;
        groups.retain(|group| may_hold[*group]);
    }
    if let Some((column, text)) = &wanted.equal {
        let may_hold =
            spanning(metadata, column, |least, greatest| least <= text.as_str() && text.as_str() <= greatest)?;
        groups.retain(|group| may_hold[*group]);
    }
    if let Some(span) = &wanted.span {
        let may_hold = spanning(metadata, &span.column, |least, greatest| span.meets(least, greatest))?;
        groups.retain(|group| may_hold[*group]);
    }
    Ok(groups)
}

/// Where the bloom filter of a column of a row group lies, if there is one.
pub(super) fn bloom_range(metadata: &ArrowReaderMetadata, column: &str, group: usize) -> Option<Range<u64>> {
    let (at, _field) = metadata.schema().column_with_name(column)?;
    let column = metadata.metadata().row_group(group).column(at);
    let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok()?;
    Some(offset..offset.checked_add(length)?)
}

/// Whether the bloom filter allows for the text.
pub(super) fn may_hold(bloom: &[u8], text: &str) -> Result<bool> {
    Sbbf::from_bytes(bloom).map(|bloom| bloom.check(text))
}

/// Whether every row of the row groups is known to lie above the number.
pub(super) fn are_all_above(
    metadata: &ArrowReaderMetadata,
    groups: &[usize],
    (column, above): (&str, i64),
) -> Result<bool> {
    let converter = converter(metadata, column)?;
    let least = converter.row_group_mins(those(metadata, groups))?;
    let is_above = |min: Option<i64>| min.is_some_and(|min| min > above);
    Ok(has_no_nulls(&converter, metadata, groups)?
        && least.as_primitive_opt::<Int64Type>().is_some_and(|least| least.iter().all(is_above)))
}

/// Whether every row of the row groups is known to equal the text. Cut bounds prove nothing wrong: they only widen.
pub(super) fn are_all_equal(
    metadata: &ArrowReaderMetadata,
    groups: &[usize],
    (column, text): (&str, &str),
) -> Result<bool> {
    let converter = converter(metadata, column)?;
    let bounds =
        [converter.row_group_mins(those(metadata, groups))?, converter.row_group_maxes(those(metadata, groups))?];
    let is_text = |bound: Option<&str>| bound == Some(text);
    let are_text = |bounds: &ArrayRef| bounds.as_string_opt::<i32>().is_some_and(|bounds| bounds.iter().all(is_text));
    Ok(has_no_nulls(&converter, metadata, groups)? && bounds.iter().all(are_text))
}

fn has_no_nulls(converter: &StatisticsConverter<'_>, metadata: &ArrowReaderMetadata, groups: &[usize]) -> Result<bool> {
    let nulls = converter.row_group_null_counts(those(metadata, groups))?;
    Ok(nulls.iter().all(|count| count == Some(0)))
}

fn those<'a>(metadata: &'a ArrowReaderMetadata, groups: &'a [usize]) -> impl Iterator<Item = &'a RowGroupMetaData> {
    groups.iter().map(|group| metadata.metadata().row_group(*group))
}

pub(super) fn converter<'a>(metadata: &'a ArrowReaderMetadata, column: &str) -> Result<StatisticsConverter<'a>> {
    let converter = StatisticsConverter::try_new(column, metadata.schema(), metadata.parquet_schema())?;
    Ok(converter.with_missing_null_counts_as_zero(false))
}

fn reaching_above(metadata: &ArrowReaderMetadata, column: &str, above: i64) -> Result<Vec<bool>> {
    let greatest = converter(metadata, column)?.row_group_maxes(metadata.metadata().row_groups())?;
    let known = greatest.as_primitive_opt::<Int64Type>();
    let groups = 0..greatest.len();
    Ok(groups.map(|at| known.is_none_or(|known| known.is_null(at) || known.value(at) > above)).collect())
}

/// Which row groups may hold what lies between two values; an end that is not known is as far as can be.
fn spanning(metadata: &ArrowReaderMetadata, column: &str, may_hold: impl Fn(&str, &str) -> bool) -> Result<Vec<bool>> {
    let converter = converter(metadata, column)?;
    let least = converter.row_group_mins(metadata.metadata().row_groups())?;
    let greatest = converter.row_group_maxes(metadata.metadata().row_groups())?;
    let (Some(min), Some(max)) = (least.as_string_opt::<i32>(), greatest.as_string_opt::<i32>()) else {
        return Ok(vec![true; metadata.metadata().num_row_groups()]);
    };
    let known = |at: usize| !min.is_null(at) && !max.is_null(at);
    Ok((0..min.len()).map(|at| !known(at) || may_hold(min.value(at), max.value(at))).collect())
}
