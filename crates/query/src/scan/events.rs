//! The events table: files and tail up to the instants.
//!
//! A file that lies wholly within the instants is scanned as it is; one that straddles them is filtered by time. Rows
//! of the tail are filtered in memory.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::TimestampMicrosecondType,
};
use datafusion::{
    catalog::Session,
    common::{Result, ScalarValue},
    datasource::{listing::PartitionedFile, source::DataSourceExec},
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{binary, col, lit},
    },
    physical_plan::{ExecutionPlan, filter::FilterExec, projection::ProjectionExec},
};
use tidemark_catalog::{View, manifest::EventsFile};
use tidemark_fold::{FoldError, columns::event};
use tidemark_model::Instant;

use super::{At, Reader, ScanError, base, provider::Wanted};

/// The system time of the first event there is.
pub(crate) fn first_event(view: &View) -> Option<Instant> {
    let files = view.events.files.iter().map(|file| file.system_time.min).min();
    let tail = || {
        let first = view.tail.batches.iter().find(|batch| batch.num_rows() > 0)?;
        let times = first.column_by_name(event::SYSTEM_TIME)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        arrow::compute::min(times).map(Instant::from_micros)
    };
    files.or_else(tail)
}

/// Scans of everything up to the instants.
pub(crate) fn scans(
    reader: &Reader,
    view: &View,
    at: At,
    wanted: &Wanted,
    state: &dyn Session,
) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let reached =
        view.events.files.iter().filter(|file| file.system_time.min <= at.system_time && at.reaches_ts(file.ts.min));
    let (whole, parted): (Vec<_>, Vec<_>) = reached.partition(|file| {
        file.system_time.max <= at.system_time && at.valid_time.is_none_or(|valid| file.ts.max <= valid)
    });
    let mut inputs = Vec::new();
    if !whole.is_empty() {
        inputs.push(DataSourceExec::from_data_source(files(&whole, wanted, state)?) as Arc<dyn ExecutionPlan>);
    }
    if !parted.is_empty() {
        inputs.push(filtered(&parted, at, wanted, state)?);
    }
    let rows: std::result::Result<Vec<_>, ScanError> = view.tail.batches.iter().map(|batch| up_to(batch, at)).collect();
    let rows: Vec<RecordBatch> = rows?.into_iter().filter(|batch| batch.num_rows() > 0).collect();
    reader.metrics.tail_rows(rows.iter().map(RecordBatch::num_rows).sum());
    inputs.extend(wanted.memory(&rows)?);
    Ok(inputs)
}

fn files(
    files: &[&EventsFile],
    wanted: &Wanted,
    state: &dyn Session,
) -> Result<datafusion::datasource::physical_plan::FileScanConfig> {
    let rows = files.iter().map(|file| file.rows).sum();
    let files = files.iter().map(|file| PartitionedFile::new(file.path.clone(), file.bytes)).collect();
    base::parquet(files, rows, wanted, state)
}

/// Files that straddle the instants: the columns that are wanted and those that bound, filtered by time, then those that
/// are wanted alone.
fn filtered(parted: &[&EventsFile], at: At, wanted: &Wanted, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let bounds = [(event::SYSTEM_TIME, Some(at.system_time)), (event::TS, at.valid_time)];
    let bounds: Vec<_> = bounds.into_iter().filter_map(|(column, at)| Some((column, at?))).collect();
    let mut projection = wanted.projection.clone();
    if let Some(columns) = &mut projection {
        for (column, _) in &bounds {
            let at = wanted.columns.index_of(column)?;
            if !columns.contains(&at) {
                columns.push(at);
            }
        }
    }
    let read = Wanted { columns: Arc::clone(&wanted.columns), projection };
    let schema = read.schema()?;
    let scan = DataSourceExec::from_data_source(files(parted, &read, state)?);
    let bound = |(column, at): (&str, Instant)| -> Result<Arc<dyn PhysicalExpr>> {
        let at = ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()));
        binary(col(column, &schema)?, Operator::LtEq, lit(at), &schema)
    };
    let bounds = bounds.into_iter().map(bound).collect::<Result<Vec<_>>>()?;
    let filter: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(conjunction(bounds), scan)?);
    let Some(projection) = &wanted.projection else { return Ok(filter) };
    let columns = (0..projection.len()).map(|at| {
        let name = schema.field(at).name();
        Ok((col(name, &schema)?, name.clone()))
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, filter)?))
}

/// The rows of a tail batch up to the instants.
fn up_to(batch: &RecordBatch, at: At) -> std::result::Result<RecordBatch, ScanError> {
    let times = |name: &'static str| {
        let column = batch.column_by_name(name).and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        column.map(|times| times.values()).ok_or(FoldError::Column(name))
    };
    let (system, source) = (times(event::SYSTEM_TIME)?, times(event::TS)?);
    let counts = system.iter().zip(source).map(|(system, source)| {
        *system <= at.system_time.micros() && at.valid_time.is_none_or(|valid| *source <= valid.micros())
    });
    let counts: BooleanArray = counts.collect::<Vec<bool>>().into();
    if counts.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &counts)?)
}
