//! The deltas of a plan → the winners of a span of ids, and what is remembered of every change, losers and deletes
//! included.

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::cmp::eq, not},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use tidemark_catalog::manifest::DeltaFile;
use tidemark_fold::{
    FoldError,
    columns::{doc, state_schema},
    conform::to_schema,
    rest::{Held, rest},
    shadow::Greatest,
    winner::{Counts, winners},
};
use tidemark_model::{DocSchema, Instant, Op, Seq};
use tidemark_storage::{
    ObjectPath,
    files::{Opened, Page, Span, Wanted},
};

use super::pick::Plan;
use crate::{
    Error,
    job::{Job, compute},
    ranges::column,
};

/// The changes of a fold, whose footers were read.
#[derive(Debug)]
pub(crate) struct Changes<'p> {
    deltas: Vec<(&'p DeltaFile, Opened)>,
    schema: SchemaRef,
    held: Held,
    counts: Counts,
    /// Bytes of changes that are gathered before it is decided among them: a document may have any number.
    gathered_bytes: usize,
}

/// What changes of a span come to.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// The winners by id, in [`schema`].
    pub(crate) winners: RecordBatch,
    /// What is remembered of all of them.
    pub(crate) told: Told,
}

/// What is remembered of changes.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The greatest (`_ts`, `_bookmark`).
    pub(crate) greatest: Option<Greatest>,
    /// The greatest position and system time.
    pub(crate) last: Option<(Seq, Instant)>,
    /// Their number.
    pub(crate) changes: u64,
    /// The most bytes that they took in memory at once.
    pub(crate) held_bytes: usize,
}

impl Told {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            greatest: self.greatest.max(other.greatest),
            last: self.last.max(other.last),
            changes: self.changes + other.changes,
            held_bytes: self.held_bytes.max(other.held_bytes),
        }
    }
}

/// The columns of a winner on its way into a state: those of the state, then the operation.
pub(crate) fn schema(of: &DocSchema) -> SchemaRef {
    let state = state_schema(of);
    let op = Arc::new(Field::new(doc::OP, DataType::Utf8, false));
    Arc::new(Schema::new(state.fields().iter().cloned().chain([op]).collect::<Vec<_>>()))
}

impl<'p> Changes<'p> {
    /// Reads the footers of the deltas of a plan.
    pub(crate) async fn open(job: &Job<'_>, plan: &Plan<'p>) -> Result<Self, Error> {
        let mut deltas = Vec::with_capacity(plan.deltas.len());
        for delta in &plan.deltas {
            deltas.push((*delta, Opened::open(job.store(), ObjectPath::from(delta.path.as_str())).await?));
        }
        let held = plan.base.map_or(Held::NOTHING, |base| Held { mark: base.mark, bound: base.bound });
        let counts = Counts { system_time: plan.system_time, valid_time: plan.bound, ..Counts::ALL };
        let gathered_bytes = usize::try_from(job.tools.config.fold_memory_bytes).unwrap_or(usize::MAX);
        Ok(Self { deltas, schema: schema(&job.manifest.schema), held, counts, gathered_bytes })
    }

    /// Where the changes lie by id.
    pub(crate) fn pages(&self) -> Result<Vec<Page>, Error> {
        let mut pages = Vec::new();
        for (_, opened) in &self.deltas {
            pages.extend(opened.pages(doc::ID)?);
        }
        Ok(pages)
    }

    /// Reads the changes of a span and decides.
    pub(crate) async fn read(&self, span: &Span) -> Result<Overlay, Error> {
        let columns: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut gathered = Gathered::default();
        for (delta, opened) in self.deltas.iter().filter(|(delta, _)| span.meets(&delta.id.min, &delta.id.max)) {
            let is_whole = span.holds(&delta.id.min, &delta.id.max);
            let span = (!is_whole).then(|| span.clone());
            let rows = opened.read(&Wanted { columns: Some(columns.clone()), span, ..Wanted::default() }).await?;
            let (schema, what) = (Arc::clone(&self.schema), (self.held, self.counts));
            gathered.add(compute("leaves out what does not count", move || Ok(left(&rows, &schema, what)?)).await?);
            if gathered.fresh_bytes > self.gathered_bytes {
                gathered = Gathered::of(self.decided(gathered).await?);
            }
        }
        self.decided(gathered).await
    }

    async fn decided(&self, gathered: Gathered) -> Result<Overlay, Error> {
        let schema = Arc::clone(&self.schema);
        compute("decides which changes win", move || Ok(gathered.decide(&schema)?)).await
    }
}

/// Changes of a span, among them the winners of those that were decided among before.
#[derive(Debug, Default)]
struct Gathered {
    changes: Vec<RecordBatch>,
    /// Bytes of those that were not.
    fresh_bytes: usize,
    /// What is remembered of those that were, and how many of them still stand among the changes.
    told: Told,
    winners: u64,
}

impl Gathered {
    fn of(decided: Overlay) -> Self {
        let winners = decided.winners.num_rows() as u64;
        Self { changes: vec![decided.winners], fresh_bytes: 0, told: decided.told, winners }
    }

    fn add(&mut self, changes: Vec<RecordBatch>) {
        self.fresh_bytes += changes.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        self.changes.extend(changes);
    }

    fn decide(self, schema: &SchemaRef) -> Result<Overlay, FoldError> {
        let Overlay { winners, told } = decide(self.changes, schema)?;
        let told = Told { changes: told.changes - self.winners, ..told };
        Ok(Overlay { winners, told: self.told.and(told) })
    }
}

/// Of a delta what the base does not hold and what counts: of a wide file few rows stay in memory.
fn left(
    changes: &[RecordBatch],
    schema: &SchemaRef,
    (held, counts): (Held, Counts),
) -> Result<Vec<RecordBatch>, FoldError> {
    let left = changes.iter().map(|batch| rest(&to_schema(batch, schema)?, held, &counts));
    left.filter(|left| !left.as_ref().is_ok_and(|left| left.num_rows() == 0)).collect()
}

fn decide(changes: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Overlay, FoldError> {
    let mut conformed = changes;
    // Without deltas of rows the winners still have their columns.
    conformed.push(RecordBatch::new_empty(Arc::clone(schema)));
    let winners = winners(&conformed, &Counts::ALL)?;
    let (mut greatest, mut last) = (None, None);
    for batch in &conformed {
        greatest = greatest.max(greatest_of(batch)?);
        last = last.max(last_of(batch)?);
    }
    let changes = conformed.iter().map(|batch| batch.num_rows() as u64).sum();
    let held_bytes = conformed.iter().chain([&winners]).map(RecordBatch::get_array_memory_size).sum();
    Ok(Overlay { winners, told: Told { greatest, last, changes, held_bytes } })
}

/// The greatest position and system time of a batch.
fn last_of(batch: &RecordBatch) -> Result<Option<(Seq, Instant)>, FoldError> {
    let seqs = column::<arrow::array::Int64Array>(batch, doc::SEQ)?.values();
    let times = column::<arrow::array::TimestampMicrosecondArray>(batch, doc::SYSTEM_TIME)?.values();
    // Both ascend together, so the greatest of each stand in one row.
    Ok(seqs.iter().copied().max().zip(times.iter().copied().max().map(Instant::from_micros)))
}

/// The greatest (`_ts`, `_bookmark`) of a batch.
fn greatest_of(batch: &RecordBatch) -> Result<Option<Greatest>, FoldError> {
    let times = column::<arrow::array::TimestampMicrosecondArray>(batch, doc::TS)?.values();
    let bookmarks = column::<StringArray>(batch, doc::BOOKMARK)?;
    let Some(max) = times.iter().copied().max() else { return Ok(None) };
    let at_max = bookmarks.iter().zip(times).filter(|(_, ts)| **ts == max);
    let bookmark = at_max.filter_map(|(bookmark, _)| bookmark).max();
    Ok(Some(Greatest { ts: Instant::from_micros(max), bookmark: bookmark.map(str::to_owned) }))
}

/// Winners that set their document, and winners that remove it; both sorted as before.
pub(crate) fn split(winners: &RecordBatch) -> Result<(RecordBatch, RecordBatch), FoldError> {
    let delete = StringArray::new_scalar(Op::Delete.as_str());
    let deletes: BooleanArray = eq(column::<StringArray>(winners, doc::OP)?, &delete)?;
    Ok((filter_record_batch(winners, &not(&deletes)?)?, filter_record_batch(winners, &deletes)?))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array, TimestampMicrosecondArray, new_null_array},
        compute::cast,
    };
    use tidemark_fold::columns::changes_schema;

    use super::*;

    #[test]
    fn deciding_early_comes_to_the_same() {
        let schema = schema(&DocSchema::default());
        let of = |rows: std::ops::Range<i64>| {
            let changes = rows.map(|n| (n, format!("d{}", n % 7), if n % 5 == 0 { Op::Delete } else { Op::Update }));
            let changes: Vec<_> = changes.collect();
            let texts = |of: &dyn Fn(&(i64, String, Op)) -> String| {
                Arc::new(changes.iter().map(|change| Some(of(change))).collect::<StringArray>()) as ArrayRef
            };
            let numbers = || changes.iter().map(|(n, ..)| *n);
            let columns = schema.fields().iter().map(|field| match field.name().as_str() {
                doc::ID => texts(&|(_, id, _)| id.clone()),
                doc::OP => texts(&|(.., op)| op.as_str().to_owned()),
                doc::SEQ => Arc::new(Int64Array::from_iter_values(numbers())) as ArrayRef,
                doc::TS | doc::SYSTEM_TIME => {
                    // Source times fall back now and then.
                    let at = |n: i64| if field.name() == doc::TS { n - n % 3 * 4 } else { n };
                    let times = TimestampMicrosecondArray::from_iter_values(numbers().map(at));
                    cast(&times.with_timezone("UTC"), field.data_type()).expect("a time")
                }
                _ => new_null_array(field.data_type(), changes.len()),
            });
            let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let nullable = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(nullable, columns.collect()).expect("a batch")
        };
        let nullable = of(0..0).schema();
        let at_once = Gathered { changes: vec![of(0..90)], ..Gathered::default() }.decide(&nullable).expect("decides");
        let mut gathered = Gathered::default();
        for from in [0, 30, 60] {
            gathered.add(vec![of(from..from + 30)]);
            gathered = Gathered::of(gathered.decide(&nullable).expect("decides"));
        }
        let early = gathered.decide(&nullable).expect("decides");
        assert_eq!(early.winners, at_once.winners);
        let told = |of: &Overlay| (of.told.greatest.clone(), of.told.last, of.told.changes);
        assert_eq!(told(&early), told(&at_once));
        assert_eq!(early.told.changes, 90);
    }

    #[test]
    fn a_winner_has_the_columns_of_a_state_and_its_operation() {
        let schema = schema(&DocSchema::default());
        let changes = changes_schema(&DocSchema::default());
        for field in schema.fields() {
            assert_eq!(changes.field_with_name(field.name()).expect("a column"), field.as_ref());
        }
        assert_eq!(schema.fields().last().map(|field| field.name().as_str()), Some(doc::OP));
    }
}
