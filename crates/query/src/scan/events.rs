//! The events table: files and tail up to the instants.
//!
//! A file that lies wholly within the instants is scanned as it is; one that straddles them is filtered by time. Rows
//! of the tail are filtered in memory. Files that the manifest's times say hold nothing that passes are left out.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{SchemaRef, TimestampMicrosecondType},
};
use datafusion::{
    catalog::Session,
    common::{ColumnStatistics, Result, ScalarValue, Statistics, stats::Precision},
    datasource::{listing::PartitionedFile, source::DataSourceExec},
    logical_expr::{Expr, Operator},
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{binary, col, lit},
    },
    physical_plan::{ExecutionPlan, filter::FilterExec, projection::ProjectionExec},
};
use tidemark_catalog::{View, manifest::EventsFile};
use tidemark_fold::{FoldError, columns::event};
use tidemark_model::Instant;

use super::{
    At, Reader, ScanError,
    base::{self, Reading},
    leaf::{Leaf, Said},
    provider::Wanted,
    prune,
};

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

/// The reading of the events of a namespace.
pub(crate) struct EventsScan<'a> {
    /// Whose metrics count.
    pub(crate) reader: &'a Reader,
    /// Files and tail.
    pub(crate) view: &'a View,
    /// As of when.
    pub(crate) at: At,
    /// The columns.
    pub(crate) wanted: &'a Wanted,
    /// What the rows are filtered by; files that hold none that pass are left out.
    pub(crate) filters: &'a [Expr],
    /// The statement's engine.
    pub(crate) state: &'a dyn Session,
}

impl EventsScan<'_> {
    /// Scans of everything up to the instants.
    pub(crate) fn all(&self) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let Self { view, at, wanted, .. } = self;
        view.events.reaches(at.system_time).map_err(ScanError::from)?;
        let all = &view.events.files;
        let reached = all.iter().filter(|file| file.system_time.min <= at.system_time && at.reaches_ts(file.ts.min));
        let (whole, parted): (Vec<_>, Vec<_>) = reached.partition(|file| {
            file.system_time.max <= at.system_time && at.valid_time.is_none_or(|valid| file.ts.max <= valid)
        });
        let [whole, parted] = [self.pruned(&whole), self.pruned(&parted)];
        let says = || vec![("events_files", format!("{} of {}", whole.files.len() + parted.files.len(), all.len()))];
        let mut inputs = Vec::new();
        if !whole.files.is_empty() {
            let scan = base::parquet(whole.files.clone(), whole.rows, self.reading(wanted))?;
            inputs.push(DataSourceExec::from_data_source(Leaf::new(scan, says()).loose()) as Arc<dyn ExecutionPlan>);
        }
        if !parted.files.is_empty() {
            inputs.push(self.filtered(&parted, says())?);
        }
        let rows: std::result::Result<Vec<_>, ScanError> =
            view.tail.batches.iter().map(|batch| up_to(batch, *at)).collect();
        let rows: Vec<RecordBatch> = rows?.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        self.reader.metrics.tail_rows(count);
        let mut of_tail = if inputs.is_empty() { says() } else { Vec::new() };
        of_tail.push(("tail_rows", count.to_string()));
        inputs.extend(wanted.memory(&rows, of_tail)?);
        Ok(inputs)
    }

    const fn reading<'a>(&'a self, wanted: &'a Wanted) -> Reading<'a> {
        Reading { wanted, filters: self.filters, state: self.state }
    }

    /// Those of some files that may hold rows that pass, with what the manifest tells of them.
    fn pruned(&self, files: &[&EventsFile]) -> Reached {
        let columns = &self.wanted.columns;
        let known = files.iter().map(|file| {
            let known = Arc::new(physical(file, columns));
            Known { file: PartitionedFile::new(file.path.clone(), file.bytes).with_statistics(known), rows: file.rows }
        });
        let known = prune::reached(known.collect(), self.filters, columns, self.state);
        let rows = known.iter().map(|known| known.rows).sum();
        Reached { rows, files: known.into_iter().map(|known| known.file).collect() }
    }

    /// Files that straddle the instants: the columns that are wanted and those that bound, filtered by time, then those
    /// that are wanted alone.
    fn filtered(&self, parted: &Reached, says: Vec<Said>) -> Result<Arc<dyn ExecutionPlan>> {
        let Self { at, wanted, .. } = self;
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
        let scan = base::parquet(parted.files.clone(), parted.rows, self.reading(&read))?;
        let scan = DataSourceExec::from_data_source(Leaf::new(scan, says).loose());
        let bound = |(column, at): (&str, Instant)| -> Result<Arc<dyn PhysicalExpr>> {
            binary(col(column, &schema)?, Operator::LtEq, lit(scalar(at)), &schema)
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
}

/// A file with what the manifest tells of it.
struct Known {
    file: PartitionedFile,
    rows: u64,
}

impl AsRef<PartitionedFile> for Known {
    fn as_ref(&self) -> &PartitionedFile {
        &self.file
    }
}

/// Files that are read, and the rows they hold.
struct Reached {
    files: Vec<PartitionedFile>,
    rows: u64,
}

fn scalar(at: Instant) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()))
}

/// What the manifest tells of a file.
fn physical(file: &EventsFile, columns: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(columns);
    statistics.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
    for (name, range) in [(event::TS, file.ts), (event::SYSTEM_TIME, file.system_time)] {
        if let Ok(at) = columns.index_of(name) {
            statistics.column_statistics[at] = ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(scalar(range.min)),
                max_value: Precision::Exact(scalar(range.max)),
                ..ColumnStatistics::new_unknown()
            };
        }
    }
    statistics
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
