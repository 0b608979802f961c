//! The scan of Parquet files: of a base without its hidden rows, or of the events table.
//!
//! Filters and projections are pushed into the files by the engine. The number of live rows is exact, so counting
//! reads nothing. Of columns it is told what footers at hand say, for leaving files out; it answers questions only
//! where no row is hidden, because footers know nothing of that.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::{ColumnStatistics, Result, ScalarValue, Statistics, config::TableParquetOptions, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
            parquet::{CachedParquetFileReaderFactory, ParquetRowSelection},
        },
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    logical_expr::Expr,
    parquet::arrow::arrow_reader::{RowSelection, RowSelector},
    physical_plan::ExecutionPlan,
};
use tidemark_catalog::{Base, Collection, CollectionManifest, manifest::BaseFile};
use tidemark_fold::columns::doc;

use super::{
    At, Reader, ScanError,
    adapt::Widen,
    footer,
    late::{self, Stored},
    leaf::{Leaf, Said},
    overlay::Overlay,
    provider::Wanted,
    prune, reach,
};
use crate::plan::session::{environment, store_url};

/// The reading of a question's base.
#[derive(Clone, Copy)]
pub(crate) struct BaseScan<'a> {
    /// Whose caches are used.
    pub(crate) reader: &'a Reader,
    /// The collection and its manifest.
    pub(crate) known: &'a (Arc<Collection>, Arc<CollectionManifest>),
    /// As of when.
    pub(crate) at: At,
    /// The columns.
    pub(crate) wanted: &'a Wanted,
    /// What the rows are filtered by; files that hold none that pass are left out.
    pub(crate) filters: &'a [Expr],
    /// The statement's engine.
    pub(crate) state: &'a dyn Session,
}

impl BaseScan<'_> {
    /// Scans of the base's parts; none for the empty base.
    pub(crate) fn documents(&self, overlay: &Overlay) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let Some(base) = self.base()? else { return Ok(Vec::new()) };
        let none = Vec::new();
        let parts = base.parts.iter().enumerate().map(|(nth, part)| (part, overlay.hidden.get(nth).unwrap_or(&none)));
        let parts = parts.map(|(part, hidden)| (part, hidden, part.rows.saturating_sub(hidden.len() as u64)));
        let parts = parts.filter(|(_, _, left)| *left > 0 && !overlay.replaces).map(|(part, hidden, left)| Part {
            file: self.part(part, hidden),
            live: left,
            hidden: hidden.len() as u64,
        });
        let parts = prune::reached(parts.collect(), self.filters, &self.wanted.columns, self.state);
        let live = parts.iter().map(|part| part.live).sum();
        let hidden_rows = parts.iter().map(|part| part.hidden).sum();
        let files: Vec<PartitionedFile> = parts.into_iter().map(|part| part.file).collect();
        let says = self.says(base, files.len(), hidden_rows).into_iter().chain(overlay.says()).collect();
        let leaf = if files.is_empty() {
            Leaf::new(self.wanted.nothing()?, says)
        } else {
            Leaf::new(parquet(files, live, self.reading())?, says)
        };
        Ok(vec![DataSourceExec::from_data_source(if hidden_rows == 0 { leaf } else { leaf.loose() })])
    }

    /// Which base it is, and how many of its files and rows are read.
    fn says(&self, base: &Base, files: usize, hidden_rows: u64) -> Vec<Said> {
        let mut says = vec![("base", base.system_time.to_string())];
        says.extend(base.bound.map(|bound| ("base_valid_time", bound.to_string())));
        says.push(("base_files", format!("{files} of {}", base.parts.len())));
        says.push(("base_rows", base.rows.to_string()));
        says.push(("hidden_rows", hidden_rows.to_string()));
        says
    }

    /// Scans of the tombstones of the base; none for the empty base.
    pub(crate) fn tombstones(&self) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let Some(base) = self.base()? else { return Ok(Vec::new()) };
        let files: Vec<_> = base.tombstones.iter().map(|file| self.part(file, &[])).collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let rows = base.tombstones.iter().map(|file| file.rows).sum();
        Ok(vec![DataSourceExec::from_data_source(parquet(files, rows, self.reading())?)])
    }

    const fn reading(&self) -> Reading<'_> {
        Reading { wanted: self.wanted, filters: self.filters, state: self.state }
    }

    fn base(&self) -> Result<Option<&Base>> {
        Ok(reach::base(&self.known.1, self.at).map_err(ScanError::from)?)
    }

    /// A part with the selection of its rows that are not hidden, and its own, physical statistics.
    fn part(&self, part: &BaseFile, hidden: &[u64]) -> PartitionedFile {
        let key = (part.path.as_str(), self.known.0.schema.id);
        let told = footer::told(key, &self.wanted.columns, &self.reader.caches, self.state);
        let statistics = Arc::new(physical(part, told.as_deref(), &self.wanted.columns));
        let mut file = PartitionedFile::new(part.path.clone(), part.bytes).with_statistics(statistics);
        if !hidden.is_empty() {
            file.extensions.insert(ParquetRowSelection::new(visible(hidden, part.rows)));
        }
        file
    }
}

/// A part of the base that is read.
struct Part {
    file: PartitionedFile,
    live: u64,
    hidden: u64,
}

impl AsRef<PartitionedFile> for Part {
    fn as_ref(&self) -> &PartitionedFile {
        &self.file
    }
}

/// The rows of a file that are left when some are hidden.
fn visible(hidden: &[u64], rows: u64) -> RowSelection {
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    let (mut selectors, mut next) = (Vec::with_capacity(hidden.len() * 2 + 1), 0u64);
    for row in hidden {
        selectors.push(RowSelector::select(count(row.saturating_sub(next))));
        selectors.push(RowSelector::skip(1));
        next = row + 1;
    }
    selectors.push(RowSelector::select(count(rows.saturating_sub(next))));
    // Joins neighbours of one kind and drops empty ones.
    selectors.into_iter().filter(|selector| selector.row_count > 0).collect()
}

/// What is known of a part without reading it, and what its footer told.
fn physical(part: &BaseFile, told: Option<&Vec<ColumnStatistics>>, columns: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(columns);
    statistics.num_rows = Precision::Exact(usize::try_from(part.rows).unwrap_or(usize::MAX));
    if let Some(told) = told {
        statistics.column_statistics.clone_from(told);
    }
    if let Ok(id) = columns.index_of(doc::ID) {
        let text = |id: &str| Precision::Exact(ScalarValue::Utf8View(Some(id.to_owned())));
        statistics.column_statistics[id] = ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: text(&part.id.min),
            max_value: text(&part.id.max),
            ..ColumnStatistics::new_unknown()
        };
    }
    statistics
}

/// How files are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// The columns.
    pub(crate) wanted: &'a Wanted,
    /// What the rows are filtered by.
    pub(crate) filters: &'a [Expr],
    /// The statement's engine.
    pub(crate) state: &'a dyn Session,
}

/// A scan of files with this many live rows together.
pub(crate) fn parquet(files: Vec<PartitionedFile>, live: u64, reading: Reading<'_>) -> Result<FileScanConfig> {
    let Reading { wanted, filters, state } = reading;
    let url = store_url()?;
    let environment = environment(state);
    let footers = environment.cache_manager.get_file_metadata_cache();
    let readers = CachedParquetFileReaderFactory::new(environment.object_store(&url)?, footers);
    let mut global = state.config_options().execution.parquet.clone();
    let bytes = files.iter().map(|file| file.object_meta.size).sum();
    global.pushdown_filters = late::pays(wanted, filters, Stored { bytes, rows: live });
    let options = TableParquetOptions { global, ..TableParquetOptions::default() };
    let mut source = ParquetSource::new(TableSchema::from(Arc::clone(&wanted.columns)))
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(readers));
    if let Some(hint) = state.config_options().execution.parquet.metadata_size_hint {
        source = source.with_metadata_size_hint(hint);
    }
    let physical = files.iter().filter_map(|file| file.statistics.as_deref());
    let mut statistics = Statistics::try_merge_iter(physical, &wanted.columns)?;
    statistics.num_rows = Precision::Exact(usize::try_from(live).unwrap_or(usize::MAX));
    Ok(FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(grouped(files, state.config().target_partitions()))
        .with_statistics(statistics)
        .with_expr_adapter(Some(Arc::new(Widen)))
        .with_projection_indices(wanted.projection.clone())?
        .build())
}

/// Files in order, in about as many groups as there are partitions.
fn grouped(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let per_group = files.len().div_ceil(partitions.max(1)).max(1);
    files.chunks(per_group).map(|files| FileGroup::new(files.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_hidden_is_selected() {
        for (hidden, rows) in
            [(vec![0], 3), (vec![2], 3), (vec![0, 1, 2], 3), (vec![1, 3, 4], 8), (vec![0, 7], 8), (vec![], 4)]
        {
            let selectors: Vec<RowSelector> = visible(&hidden, rows).into();
            let mut row = 0;
            let mut shown = Vec::new();
            for selector in &selectors {
                shown.extend((row..row + selector.row_count as u64).filter(|_| !selector.skip));
                row += selector.row_count as u64;
            }
            let expected: Vec<u64> = (0..rows).filter(|row| !hidden.contains(row)).collect();
            assert_eq!((row, shown), (rows, expected), "{hidden:?} of {rows}");
        }
    }
}
