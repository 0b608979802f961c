//! Changes, versions and histories of a collection as tables: what moved, not only what is.
//!
//! Planning reads nothing. The leaf reads the changes that count when it runs, within the statement's memory, and makes
//! its rows of them; `_id = '…'` of the WHERE narrows what is read to one document.

use std::{fmt, sync::Arc};

use arrow::{
    array::{RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::cmp},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use tidemark_catalog::{Collection, CollectionManifest, View};
use tidemark_fold::{
    FoldError,
    columns::{self, doc},
    conform, sort,
    versions::{self, Keep},
    winner::Counts,
};
use tidemark_model::{DocSchema, Op, position::BEFORE_ALL};

use super::{
    At, Reader, ScanError,
    changes::Source,
    id,
    log::{self, Slice},
    provider::Wanted,
    width::Width,
};

/// Rows of one batch.
const ROWS_MAX: usize = 8192;

/// What rows are made of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Makes {
    /// The changes themselves.
    Changes,
    /// Version rows that are documents.
    Versions(Keep),
    /// Version rows, deletes and images before included.
    History,
}

impl Makes {
    /// The columns of its table.
    pub(crate) fn columns(&self, schema: &DocSchema) -> SchemaRef {
        match self {
            Self::Changes => columns::change_rows_schema(schema),
            Self::Versions(_) => columns::versions_schema(schema),
            Self::History => columns::history_schema(schema),
        }
    }

    /// The columns of the changes it needs.
    fn needs(&self, schema: &DocSchema) -> SchemaRef {
        match self {
            Self::Changes | Self::History => columns::changes_schema(schema),
            Self::Versions(_) => Width::All.changes(schema),
        }
    }

    fn rows(&self, read: &[RecordBatch], upto: At) -> std::result::Result<Vec<RecordBatch>, ScanError> {
        let counts = Counts { after: BEFORE_ALL, system_time: upto.system_time, valid_time: upto.valid_time };
        match self {
            Self::Changes => Ok(sort::changes(read, ROWS_MAX)?),
            Self::History => Ok(versions::versions(read, &counts, Keep::ALL, ROWS_MAX)?),
            Self::Versions(keep) => versions::versions(read, &counts, *keep, ROWS_MAX)?.iter().map(living).collect(),
        }
    }
}

/// The rows that are documents.
fn living(rows: &RecordBatch) -> std::result::Result<RecordBatch, ScanError> {
    let ops = rows.column_by_name(doc::OP).ok_or(FoldError::Column(doc::OP))?;
    Ok(filter_record_batch(rows, &cmp::neq(ops, &StringArray::new_scalar(Op::Delete.as_str()))?)?)
}

/// A table of what moved.
#[derive(Debug, Clone)]
pub(crate) struct PastTable {
    reader: Arc<Reader>,
    view: Arc<View>,
    known: (Arc<Collection>, Arc<CollectionManifest>),
    makes: Makes,
    slice: Slice,
    columns: SchemaRef,
}

impl PastTable {
    /// The table of a view of a collection; `None` for a view of something else.
    pub(crate) fn new(view: Arc<View>, makes: Makes, slice: Slice, reader: Arc<Reader>) -> Option<Self> {
        let known = view.collection.clone()?;
        let columns = makes.columns(&known.0.schema);
        Some(Self { reader, view, known, makes, slice, columns })
    }

    /// The rows, with the columns of the table, and the memory they take.
    async fn rows(&self, context: &TaskContext) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
        let memory = MemoryConsumer::new("changes of a collection").register(context.memory_pool());
        let (collection, manifest) = &self.known;
        let source = Source { view: &self.view, collection, manifest, width: &Width::All, id: None, memory: &memory };
        let needs = self.makes.needs(&collection.schema);
        let read = log::changes(&self.reader, source, &self.slice, &needs).await?;
        // The rows stand beside the changes until the last is made; a change makes at most two.
        memory.try_grow(memory.size())?;
        let rows = self.makes.rows(&read, self.slice.upto)?;
        let conformed = rows.iter().map(|rows| conform::to_schema(rows, &self.columns).map_err(ScanError::from));
        Ok((conformed.collect::<std::result::Result<_, _>>()?, memory))
    }
}

#[async_trait]
impl TableProvider for PastTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters stay above; one of them may narrow what is read.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut table = self.clone();
        table.slice.id = table.slice.id.or_else(|| id::wanted(filters));
        let wanted = Wanted { columns: Arc::clone(&self.columns), projection: projection.cloned() };
        Ok(Arc::new(PastExec::new(table, &wanted)?))
    }
}

/// The leaf that makes the rows when it runs.
#[derive(Debug)]
struct PastExec {
    table: PastTable,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl PastExec {
    fn new(table: PastTable, wanted: &Wanted) -> Result<Self> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(wanted.schema()?),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { table, projection: wanted.projection.clone(), properties: Arc::new(properties) })
    }
}

impl DisplayAs for PastExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slice { from, upto, id } = &self.table.slice;
        write!(f, "PastExec: {:?}, system_time={}", self.table.makes, upto.system_time)?;
        from.map_or(Ok(()), |from| write!(f, ", after={from}"))?;
        upto.valid_time.map_or(Ok(()), |valid| write!(f, ", valid_time={valid}"))?;
        id.as_ref().map_or(Ok(()), |id| write!(f, ", id={id:?}"))
    }
}

impl ExecutionPlan for PastExec {
    fn name(&self) -> &'static str {
        "PastExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan of the past has no inputs") }
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (table, projection) = (self.table.clone(), self.projection.clone());
        let rows = async move {
            let (rows, memory) = table.rows(&context).await?;
            let held = move |rows| {
                let _until_the_last = &memory;
                Ok(rows)
            };
            Ok::<_, datafusion::error::DataFusionError>(stream::iter(rows).map(held))
        };
        let projected = stream::once(rows).try_flatten().map(move |rows| match &projection {
            Some(columns) => rows.and_then(|rows| Ok(rows.project(columns)?)),
            None => rows,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), projected)))
    }
}
