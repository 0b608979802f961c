//! The leaf that carries its shadows: a scan of base files with hidden rows.
//!
//! The selections travel as extensions of the files, which the engine's own encoding of plans drops. This source is
//! none the engine can encode, so a plan sent elsewhere fails instead of showing hidden rows. Everything else is the
//! file scan's own.

use std::{any::Any, fmt, sync::Arc};

use datafusion::{
    common::{Result, Statistics, config::ConfigOptions, stats::Precision, tree_node::TreeNodeRecursion},
    datasource::{
        physical_plan::FileScanConfig,
        source::{DataSource, OpenArgs},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr},
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult, execution_plan::SchedulingType,
        filter_pushdown::FilterPushdownPropagation, metrics::ExecutionPlanMetricsSet, projection::ProjectionExprs,
    },
};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Shadowed {
    files: Arc<dyn DataSource>,
    hidden: u64,
}

impl Shadowed {
    /// A scan of files whose selections leave this many rows out.
    pub(crate) fn new(files: FileScanConfig, hidden: u64) -> Self {
        Self { files: Arc::new(files), hidden }
    }

    fn around(&self, files: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        Arc::new(Self { files, hidden: self.hidden })
    }
}

impl DataSource for Shadowed {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.files.open(partition, context)
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        self.files.open_with_args(args)
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.files.create_sibling_state(config)
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hidden_rows={}, ", self.hidden)?;
        self.files.fmt_as(format, f)
    }

    fn repartitioned(
        &self,
        target: usize,
        file_min_size: usize,
        ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.files.repartitioned(target, file_min_size, ordering)?.map(|files| self.around(files)))
    }

    fn output_partitioning(&self) -> Partitioning {
        self.files.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.files.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.files.scheduling_type()
    }

    /// Of all partitions the number of live rows is exact (the scan was told); of columns only that nothing is null.
    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let files = self.files.partition_statistics(partition)?;
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
        self.files.with_fetch(limit).map(|files| self.around(files))
    }

    fn fetch(&self) -> Option<usize> {
        self.files.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.files.metrics()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.files.try_swapping_with_projection(projection)?.map(|files| self.around(files)))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let pushed = self.files.try_pushdown_filters(filters, config)?;
        let updated_node = pushed.updated_node.map(|files| self.around(files));
        Ok(FilterPushdownPropagation { filters: pushed.filters, updated_node })
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        self.files.try_pushdown_sort(order)?.try_map(|files| Ok(self.around(files)))
    }

    fn with_preserve_order(&self, preserve: bool) -> Option<Arc<dyn DataSource>> {
        self.files.with_preserve_order(preserve).map(|files| self.around(files))
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.files.apply_expressions(each)
    }

    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn DataSource>> {
        self.files.with_new_state(state).map(|files| self.around(files))
    }
}
