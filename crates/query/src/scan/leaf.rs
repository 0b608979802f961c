//! The leaf of a table: a scan of files or of rows in memory that says what it stands for and carries its shadows.
//!
//! What it says, EXPLAIN shows before what the engine tells of the scan. The selections of rows travel as extensions of
//! the files, which the engine's own encoding of plans drops. This source is none the engine can encode, so a plan sent
//! elsewhere fails instead of showing hidden rows. Everything else is the scan's own.

use std::{any::Any, fmt, sync::Arc};

use datafusion::{
    common::{Result, Statistics, config::ConfigOptions, stats::Precision, tree_node::TreeNodeRecursion},
    datasource::source::{DataSource, OpenArgs},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr},
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult, execution_plan::SchedulingType,
        filter_pushdown::FilterPushdownPropagation, metrics::ExecutionPlanMetricsSet, projection::ProjectionExprs,
    },
};

/// A name and a value of what a leaf says.
pub(crate) type Said = (&'static str, String);

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    scan: Arc<dyn DataSource>,
    says: Arc<[Said]>,
    /// Whether what is known of columns bounds them and no more.
    is_loose: bool,
}

impl Leaf {
    /// A scan whose statistics hold exactly.
    pub(crate) fn new(scan: impl DataSource + 'static, says: Vec<Said>) -> Self {
        Self { scan: Arc::new(scan), says: says.into(), is_loose: false }
    }

    /// The same, where columns hold at most what is known of them: rows are left out, or the bounds are wide.
    pub(crate) fn loose(self) -> Self {
        Self { is_loose: true, ..self }
    }

    fn around(&self, scan: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        Arc::new(Self { scan, says: Arc::clone(&self.says), is_loose: self.is_loose })
    }
}

impl DataSource for Leaf {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.scan.open(partition, context)
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        self.scan.open_with_args(args)
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.scan.create_sibling_state(config)
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.says.iter().try_for_each(|(name, value)| match format {
            DisplayFormatType::TreeRender => writeln!(f, "{name}={value}"),
            _ => write!(f, "{name}={value}, "),
        })?;
        self.scan.fmt_as(format, f)
    }

    fn repartitioned(
        &self,
        target: usize,
        file_min_size: usize,
        ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.scan.repartitioned(target, file_min_size, ordering)?.map(|scan| self.around(scan)))
    }

    fn output_partitioning(&self) -> Partitioning {
        self.scan.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.scan.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.scan.scheduling_type()
    }

    /// Where bounds are loose, the number of live rows of all partitions is exact (the scan was told), and of columns only
    /// that nothing is null.
    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let files = self.scan.partition_statistics(partition)?;
        if !self.is_loose {
            return Ok(files);
        }
        let mut told = files.as_ref().clone().to_inexact();
        if partition.is_none() {
            told.num_rows = files.num_rows;
        }
        for (told, of_files) in told.column_statistics.iter_mut().zip(&files.column_statistics) {
            if of_files.null_count == Precision::Exact(0) {
                told.null_count = of_files.null_count;
            }
        }
        Ok(Arc::new(told))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        self.scan.with_fetch(limit).map(|scan| self.around(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.scan.metrics()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.scan.try_swapping_with_projection(projection)?.map(|scan| self.around(scan)))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let pushed = self.scan.try_pushdown_filters(filters, config)?;
        let updated_node = pushed.updated_node.map(|scan| self.around(scan));
        Ok(FilterPushdownPropagation { filters: pushed.filters, updated_node })
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        self.scan.try_pushdown_sort(order)?.try_map(|scan| Ok(self.around(scan)))
    }

    fn with_preserve_order(&self, preserve: bool) -> Option<Arc<dyn DataSource>> {
        self.scan.with_preserve_order(preserve).map(|scan| self.around(scan))
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_expressions(each)
    }

    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn DataSource>> {
        self.scan.with_new_state(state).map(|scan| self.around(scan))
    }
}
