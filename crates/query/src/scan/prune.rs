//! Which files may hold rows that a question asks for, by what is known of their columns before they are opened.
//!
//! When in doubt a file is read. The engine prunes again, with more, when it opens one.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::{DFSchema, Result, Statistics, pruning::PrunableStatistics},
    datasource::listing::PartitionedFile,
    logical_expr::{Expr, utils::conjunction},
    physical_optimizer::pruning::PruningPredicateBuilder,
};

/// The files that may hold rows that pass all filters, in their order.
pub(crate) fn reached<T: AsRef<PartitionedFile>>(
    files: Vec<T>,
    filters: &[Expr],
    columns: &SchemaRef,
    state: &dyn Session,
) -> Vec<T> {
    if files.is_empty() {
        // The engine would warn that there is nothing to prune.
        return files;
    }
    let known: Option<Vec<Arc<Statistics>>> = files.iter().map(|file| file.as_ref().statistics.clone()).collect();
    let (Some(known), Some(filter)) = (known, conjunction(filters.iter().cloned())) else { return files };
    match may_hold(known, filter, columns, state) {
        Ok(Some(may_hold)) if may_hold.len() == files.len() => {
            files.into_iter().zip(may_hold).filter_map(|(file, may_hold)| may_hold.then_some(file)).collect()
        }
        // A filter that statistics cannot be asked for prunes nothing.
        _ => files,
    }
}

fn may_hold(
    known: Vec<Arc<Statistics>>,
    filter: Expr,
    columns: &SchemaRef,
    state: &dyn Session,
) -> Result<Option<Vec<bool>>> {
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(columns))?)?;
    let predicate = PruningPredicateBuilder::new().with_file_schema(Arc::clone(columns)).build(filter);
    let known = PrunableStatistics::new(known, Arc::clone(columns));
    predicate.map(|predicate| predicate.prune(&known)).transpose()
}
