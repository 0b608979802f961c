//! The table the planner scans: a view, its instants, its columns.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::{memory::MemorySourceConfig, source::DataSourceExec},
    execution::memory_pool::MemoryConsumer,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
};
use tidemark_catalog::View;
use tidemark_fold::columns;

use super::{
    At, Reader,
    base::BaseScan,
    events::EventsScan,
    id,
    leaf::{Leaf, Said},
    overlay,
    width::Width,
};
use crate::plan::{session::environment, shape};

/// One table of one statement.
#[derive(Debug)]
pub(crate) struct LakeTable {
    view: Arc<View>,
    at: At,
    reader: Arc<Reader>,
    columns: SchemaRef,
}

impl LakeTable {
    /// A table as of its instants.
    pub(crate) fn new(view: Arc<View>, at: At, reader: Arc<Reader>) -> Self {
        let columns = match &view.collection {
            Some((collection, _)) => columns::table_schema(&collection.schema),
            None => columns::events_schema(),
        };
        Self { view, at, reader, columns: shape::viewed(&columns) }
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters stay above the scan here; the physical optimizer then pushes each into the files, where it prunes and
    /// selects rows, and leaves a filter over the rows in memory.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted { columns: Arc::clone(&self.columns), projection: projection.cloned() };
        let inputs = match &self.view.collection {
            None => {
                let Self { view, at, reader, .. } = self;
                EventsScan { reader, view, at: *at, wanted: &wanted, filters, state }.all()?
            }
            Some(known) => {
                let width = Width::of(wanted.projection.as_deref());
                let memory = MemoryConsumer::new("an overlay").register(&environment(state).memory_pool);
                let id = id::wanted(filters);
                let asks = overlay::Asks { at: self.at, width, id: id.as_deref(), memory: &memory };
                let overlay = overlay::of(&self.reader, &self.view, known, &asks).await?;
                let scan = BaseScan { reader: &self.reader, known, at: self.at, wanted: &wanted, filters, state };
                let mut inputs = scan.documents(&overlay)?;
                inputs.extend(overlay.scan(&wanted, inputs.is_empty())?);
                inputs
            }
        };
        wanted.united(inputs)
    }
}

/// The columns a scan must answer.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// All columns of the table.
    pub(crate) columns: SchemaRef,
    /// Which of them, in order; `None` wants all.
    pub(crate) projection: Option<Vec<usize>>,
}

impl Wanted {
    /// The columns of the answer.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        match &self.projection {
            None => Ok(Arc::clone(&self.columns)),
            Some(indices) => Ok(Arc::new(self.columns.project(indices)?)),
        }
    }

    /// Several scans as one; without any, one of no rows.
    pub(crate) fn united(&self, mut inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (inputs.pop(), inputs.is_empty()) {
            (None, _) => Ok(Arc::new(EmptyExec::new(self.schema()?))),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                inputs.push(last);
                UnionExec::try_new(inputs)
            }
        }
    }

    /// A scan of no rows.
    pub(crate) fn nothing(&self) -> Result<MemorySourceConfig> {
        MemorySourceConfig::try_new(&[Vec::new()], self.schema()?, None)
    }

    /// A scan of rows in memory, which have all columns of the table in its order; none for no rows.
    pub(crate) fn memory(&self, rows: &[RecordBatch], says: Vec<Said>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = self.schema()?;
        let wanted = rows.iter().map(|rows| match &self.projection {
            None => shape::stamp(rows, &columns),
            Some(indices) => shape::stamp(&rows.project(indices)?, &columns),
        });
        let rows = wanted.collect::<Result<Vec<_>>>()?;
        let leaf = Leaf::new(MemorySourceConfig::try_new(&[rows], columns, None)?, says);
        Ok(Some(DataSourceExec::from_data_source(leaf)))
    }
}
