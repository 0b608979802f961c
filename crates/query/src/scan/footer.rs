//! What the footers of base files tell of their columns: how many values are null, the least and the greatest.
//!
//! With them the engine counts, finds extremes and leaves files out without reading rows. Planning reads nothing for
//! it: only footers that an earlier question has left in the engine's cache are asked, and a column that one row group
//! says nothing of stays unknown. What is told holds of all rows of a file, those that are hidden included.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    compute::sum,
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::Session,
    common::{ColumnStatistics, Result, ScalarValue, stats::Precision},
    datasource::physical_plan::parquet::{apply_file_schema_type_coercions, metadata::CachedParquetMetaData},
    parquet::{
        arrow::{arrow_reader::statistics::StatisticsConverter, parquet_to_arrow_schema},
        file::metadata::ParquetMetaData,
    },
};
use object_store::path::Path;

use super::cache::Caches;
use crate::plan::session::environment;

/// What is known of the columns of a table in one file, in the order of the table.
pub(crate) type Told = Arc<Vec<ColumnStatistics>>;

/// What the footer of a file tells of columns under a schema; `None` when it is not at hand.
pub(crate) fn told(
    (path, schema): (&str, u32),
    columns: &SchemaRef,
    caches: &Caches,
    state: &dyn Session,
) -> Option<Told> {
    let key = (path.to_owned(), schema);
    if let Some(known) = caches.told.get(&key) {
        return Some(known);
    }
    let footers = environment(state).cache_manager.get_file_metadata_cache();
    let entry = footers.get(&Path::from(path))?;
    let footer = entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
    let told = Arc::new(of(footer.parquet_metadata(), columns).ok()?);
    caches.told.insert(key, Arc::clone(&told));
    Some(told)
}

fn of(footer: &ParquetMetaData, columns: &SchemaRef) -> Result<Vec<ColumnStatistics>> {
    let file = footer.file_metadata();
    let written = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let written = apply_file_schema_type_coercions(columns, &written).unwrap_or(written);
    columns.fields().iter().map(|field| one(footer, &written, field)).collect()
}

/// One column. One that was written as another type, or not at all, is not known.
fn one(footer: &ParquetMetaData, written: &Schema, field: &Field) -> Result<ColumnStatistics> {
    let mut told = ColumnStatistics::new_unknown();
    if !written.field_with_name(field.name()).is_ok_and(|written| written.data_type() == field.data_type()) {
        return Ok(told);
    }
    let groups = footer.row_groups();
    let converter = StatisticsConverter::try_new(field.name(), written, footer.file_metadata().schema_descr())?;
    let converter = converter.with_missing_null_counts_as_zero(false);
    let nulls = converter.row_group_null_counts(groups)?;
    if nulls.null_count() > 0 {
        return Ok(told);
    }
    told.null_count =
        sum(&nulls).and_then(|count| usize::try_from(count).ok()).map_or(Precision::Absent, Precision::Exact);
    // Zeros of floats have signs, and a footer does not tell which of them there are.
    if !field.data_type().is_floating() {
        let exact = |exact: bool| exact;
        if converter.row_group_is_min_value_exact(groups)?.iter().all(|known| known.is_some_and(exact)) {
            told.min_value = outermost(&converter.row_group_mins(groups)?, Precision::min)?;
        }
        if converter.row_group_is_max_value_exact(groups)?.iter().all(|known| known.is_some_and(exact)) {
            told.max_value = outermost(&converter.row_group_maxes(groups)?, Precision::max)?;
        }
    }
    Ok(told)
}

/// The one of several bounds that bounds them all; not known where one of them is not.
fn outermost(
    bounds: &ArrayRef,
    of: impl Fn(&Precision<ScalarValue>, &Precision<ScalarValue>) -> Precision<ScalarValue>,
) -> Result<Precision<ScalarValue>> {
    let mut found = None;
    for at in 0..bounds.len() {
        let bound = if bounds.is_null(at) {
            Precision::Absent
        } else {
            Precision::Exact(ScalarValue::try_from_array(bounds, at)?)
        };
        found = Some(found.map_or(bound.clone(), |found| of(&found, &bound)));
    }
    Ok(found.unwrap_or(Precision::Absent))
}
