//! The exact filters: what pruning leaves is looked at row by row.

use arrow::{
    array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray},
    compute::{and, kernels::cmp},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, RowFilter},
    },
    errors::ParquetError,
};

use super::{Wanted, prune};

/// The filter of the wanted rows; `None` when the footer tells that the row groups hold no others.
pub(super) fn exact(
    metadata: &ArrowReaderMetadata,
    groups: &[usize],
    wanted: &Wanted,
) -> Result<Option<RowFilter>, ParquetError> {
    let mut predicates = Vec::new();
    if let Some((column, text)) = &wanted.equal
        && !prune::are_all_equal(metadata, groups, (column, text))?
    {
        let text = StringArray::new_scalar(text);
        predicates.push(predicate(metadata, column, move |column| cmp::eq(column.column(0), &text))?);
    }
    if let Some((column, above)) = &wanted.above
        && !prune::are_all_above(metadata, groups, (column, *above))?
    {
        let above = Int64Array::new_scalar(*above);
        predicates.push(predicate(metadata, column, move |column| cmp::gt(column.column(0), &above))?);
    }
    if let Some(span) = &wanted.span {
        let (from, below) = (span.from.clone(), span.below.clone());
        predicates.push(predicate(metadata, &span.column, move |column| {
            within(column.column(0), (from.as_deref(), below.as_deref()))
        })?);
    }
    Ok((!predicates.is_empty()).then(|| RowFilter::new(predicates)))
}

fn within(column: &dyn Array, (from, below): (Option<&str>, Option<&str>)) -> Result<BooleanArray, ArrowError> {
    let from = from.map(|from| cmp::gt_eq(&column, &StringArray::new_scalar(from))).transpose()?;
    let below = below.map(|below| cmp::lt(&column, &StringArray::new_scalar(below))).transpose()?;
    match (from, below) {
        (Some(from), Some(below)) => and(&from, &below),
        (one, other) => Ok(one.or(other).unwrap_or_else(|| vec![true; column.len()].into())),
    }
}

fn predicate(
    metadata: &ArrowReaderMetadata,
    column: &str,
    keeps: impl Fn(RecordBatch) -> Result<BooleanArray, ArrowError> + Send + 'static,
) -> Result<Box<dyn ArrowPredicate>, ParquetError> {
    let (at, _field) = metadata
        .schema()
        .column_with_name(column)
        .ok_or_else(|| ParquetError::General(format!("there is no column {column:?} to filter by")))?;
    let mask = ProjectionMask::leaves(metadata.parquet_schema(), [at]);
    Ok(Box::new(ArrowPredicateFn::new(mask, keeps)))
}
