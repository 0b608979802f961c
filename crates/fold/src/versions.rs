//! Changes → version rows: which change held when, on both clocks (time.md, section 3.1).
//!
//! A version row is a change with an end, half-open on both axes. Of every document at most one row contains an instant
//! pair (t, v), and it is the change that `AS OF` t and v answers. The rule is a pure function of one document's changes
//! in order ([`spans`]); around it rows are gathered by document, chosen and taken out of their batches.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema},
};
use tidemark_model::{Instant, Op};

use crate::{
    FoldError,
    columns::{doc, period, timestamp},
    order::{Order, utf8},
    sort::{self, Row},
    winner::Counts,
};

/// Which version rows are kept, on one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Those that do not end.
    Open,
    /// Those that end above an instant, or do not end.
    Above(Instant),
}

impl Kept {
    fn keeps(self, end: Option<i64>) -> bool {
        match (self, end) {
            (_, None) => true,
            (Self::Open, Some(_)) => false,
            (Self::Above(at), Some(end)) => end > at.micros(),
        }
    }
}

/// Which version rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keep {
    /// By the end on the clock of system time.
    pub system: Kept,
    /// By the end on the clock of source time.
    pub valid: Kept,
}

impl Keep {
    /// Every row.
    pub const ALL: Self = Self { system: Kept::Above(Instant::MIN), valid: Kept::Above(Instant::MIN) };
}

/// The times of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    ts: i64,
    system_time: i64,
}

/// A version row: the change by its place in the order of its document, and where it holds. It begins at its own `_ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    change: usize,
    valid_to: Option<i64>,
    system_from: i64,
    system_to: Option<i64>,
}

/// The version rows of one document, greatest change first. `points` are its changes in order, least first.
///
/// A change is closed by greater ones. Going down from the greatest, the ends that still matter stand on a stack, the
/// nearest on top, each with the least system time of the changes there. An end matters only while that time lies below
/// the times of all nearer ends: before it came, one of those had closed the row already. So every change takes off the
/// stack what it covers, and each end makes at most one row before it goes: at most two rows per change.
fn spans(points: &[Point]) -> Vec<Span> {
    let (mut ends, mut spans): (Vec<Point>, Vec<Span>) = (Vec::new(), Vec::with_capacity(points.len()));
    for (change, point) in points.iter().enumerate().rev() {
        // From here on the row is closed: by greater changes with an earlier end.
        let mut closed: Option<i64> = None;
        let mut push = |end: Option<Point>, closed: Option<i64>| {
            let system_from = end.map_or(point.system_time, |end| end.system_time.max(point.system_time));
            if closed.is_none_or(|closed| system_from < closed) {
                spans.push(Span { change, valid_to: end.map(|end| end.ts), system_from, system_to: closed });
            }
        };
        let mut nearest_first = ends.iter().rev().copied();
        let is_closed = |closed: Option<i64>| closed.is_some_and(|closed| closed <= point.system_time);
        while !is_closed(closed) {
            let end = nearest_first.next();
            if end.is_none_or(|end| end.ts > point.ts) {
                push(end, closed);
            }
            let Some(end) = end else { break };
            closed = Some(closed.map_or(end.system_time, |closed| closed.min(end.system_time)));
        }
        while ends.last().is_some_and(|end| end.system_time >= point.system_time) {
            ends.pop();
        }
        if ends.last().is_none_or(|end| end.ts > point.ts) {
            ends.push(*point);
        }
    }
    spans
}

/// Of each change the greatest one below it in order with a system time not above its own.
fn below(points: &[Point]) -> Vec<Option<usize>> {
    let mut candidates: Vec<usize> = Vec::new();
    let mut found = Vec::with_capacity(points.len());
    for (change, point) in points.iter().enumerate() {
        while candidates.last().is_some_and(|last| points[*last].system_time > point.system_time) {
            candidates.pop();
        }
        found.push(candidates.last().copied());
        candidates.push(change);
    }
    found
}

/// A version row among batches.
struct Version {
    row: Row,
    below: Option<Row>,
    valid_from: i64,
    span: Span,
}

/// The version rows of the changes that count, by `_id`, then greatest change first, deletes included, in batches of at
/// most `rows_max` rows: the columns of the batches and those of [`period`]. Where `_prev` is a column and the source sent
/// none, it is the image that the change found. All batches have one schema with the key and order columns and `_op` and
/// `_doc` of `columns::changes_schema`; positions may come twice.
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn versions(
    batches: &[RecordBatch],
    counts: &Counts,
    keep: Keep,
    rows_max: usize,
) -> Result<Vec<RecordBatch>, FoldError> {
    let orders = batches.iter().map(Order::of).collect::<Result<Vec<_>, _>>()?;
    let rows = counting(&orders, counts);
    let id = |row: &Row| orders[row.batch as usize].id(row.row as usize);
    let mut found = Vec::new();
    for document in rows.chunk_by(|left, right| id(left) == id(right)) {
        of_document(document, &orders, keep, &mut found);
    }
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    found.chunks(rows_max.max(1)).map(|versions| taken(&sources, versions)).collect()
}

/// The rows that count, by id, least first, each position once.
fn counting(orders: &[Order<'_>], counts: &Counts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (batch, order) in orders.iter().enumerate() {
        let counts = |row: &usize| {
            order.seq[*row] > counts.after
                && order.system_time[*row] <= counts.system_time.micros()
                && counts.valid_time.is_none_or(|at| order.ts[*row] <= at.micros())
        };
        rows.extend((0..order.len()).filter(counts).map(|row| Row { batch: batch as u32, row: row as u32 }));
    }
    let compare = |left: &Row, right: &Row| {
        orders[left.batch as usize].compare(left.row as usize, &orders[right.batch as usize], right.row as usize)
    };
    sort::by_id(&mut rows, orders, compare);
    let id = |row: &Row| orders[row.batch as usize].id(row.row as usize);
    rows.dedup_by(|right, left| id(left) == id(right) && compare(left, right) == Ordering::Equal);
    rows
}

fn of_document(document: &[Row], orders: &[Order<'_>], keep: Keep, found: &mut Vec<Version>) {
    let point = |row: &Row| {
        let (order, row) = (&orders[row.batch as usize], row.row as usize);
        Point { ts: order.ts[row], system_time: order.system_time[row] }
    };
    let points: Vec<Point> = document.iter().map(point).collect();
    let below = below(&points);
    let kept =
        spans(&points).into_iter().filter(|span| keep.system.keeps(span.system_to) && keep.valid.keeps(span.valid_to));
    found.extend(kept.map(|span| Version {
        row: document[span.change],
        below: below[span.change].map(|below| document[below]),
        valid_from: points[span.change].ts,
        span,
    }));
}

fn taken(sources: &[&RecordBatch], versions: &[Version]) -> Result<RecordBatch, FoldError> {
    let rows: Vec<Row> = versions.iter().map(|version| version.row).collect();
    let taken = sort::take(sources, &rows)?;
    let mut fields: Vec<Arc<Field>> = taken.schema_ref().fields().iter().cloned().collect();
    let mut columns = taken.columns().to_vec();
    if let Some((at, _)) = taken.schema_ref().column_with_name(doc::PREV) {
        columns[at] = images(sources, versions, utf8(&taken, doc::PREV)?)?;
    }
    let time = |of: &dyn Fn(&Version) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = versions.iter().map(of).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    for (name, nullable, times) in [
        (period::VALID_FROM, false, time(&|version| Some(version.valid_from))),
        (period::VALID_TO, true, time(&|version| version.span.valid_to)),
        (period::SYSTEM_FROM, false, time(&|version| Some(version.span.system_from))),
        (period::SYSTEM_TO, true, time(&|version| version.span.system_to)),
    ] {
        fields.push(Arc::new(Field::new(name, timestamp(), nullable)));
        columns.push(times);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The image before each version: as it was sent, else that of the change below; none of a delete.
fn images(sources: &[&RecordBatch], versions: &[Version], sent: &StringArray) -> Result<ArrayRef, FoldError> {
    let columns = |name| sources.iter().map(|batch| utf8(batch, name)).collect::<Result<Vec<_>, _>>();
    let (documents, ops) = (columns(doc::DOC)?, columns(doc::OP)?);
    let image = |row: Row| {
        let (batch, row) = (row.batch as usize, row.row as usize);
        let lives = ops[batch].value(row) != Op::Delete.as_str() && documents[batch].is_valid(row);
        lives.then(|| documents[batch].value(row))
    };
    let prev = |(at, version): (usize, &Version)| {
        if sent.is_valid(at) { Some(sent.value(at)) } else { version.below.and_then(image) }
    };
    Ok(Arc::new(versions.iter().enumerate().map(prev).collect::<StringArray>()))
}

#[cfg(test)]
mod tests;
