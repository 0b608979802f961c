//! How much memory the answers of a window come to: a number a row, one of the values that it saw, or all of them for every row.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    compute::{cast, kernels::length::length, max, partition},
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{ColumnarValue, WindowFrame, WindowFrameBound, WindowFrameUnits},
    physical_expr::{
        PhysicalExpr,
        window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr},
    },
};

/// What a row's answer takes at least: a number of 16 bytes, or the address of something longer.
const ROW_BYTES: usize = 16;
/// Aggregates that answer with one of the values that they saw.
const ONE_OF: [&str; 5] = ["min", "max", "first_value", "last_value", "nth_value"];

/// How long the answer for one row may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// A number, whatever the rows are.
    Fixed,
    /// One of the values that the window saw.
    Longest,
    /// All values that the window saw, of so many rows at most.
    Together(usize),
}

impl Length {
    fn of(window: &dyn WindowExpr) -> Result<Self> {
        let window_field = window.field()?;
        let of = window_field.data_type();
        if of.primitive_width().is_some() || matches!(of, DataType::Boolean | DataType::Null) {
            return Ok(Self::Fixed);
        }
        let any = window.as_any();
        let plain = any.downcast_ref::<PlainAggregateWindowExpr>().map(PlainAggregateWindowExpr::get_aggregate_expr);
        let sliding = any.downcast_ref::<SlidingAggregateWindowExpr>();
        let aggregate = plain.or_else(|| sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr));
        let collects = aggregate.is_some_and(|aggregate| !ONE_OF.contains(&aggregate.fun().name()));
        Ok(if collects { Self::Together(rows_of(window.get_window_frame())) } else { Self::Longest })
    }
}

/// How many rows a frame has at most.
fn rows_of(frame: &WindowFrame) -> usize {
    let reach = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(ScalarValue::UInt64(rows))
        | WindowFrameBound::Following(ScalarValue::UInt64(rows)) => rows.and_then(|rows| usize::try_from(rows).ok()),
        _ => None,
    };
    let reaches =
        (frame.units == WindowFrameUnits::Rows).then(|| reach(&frame.start_bound).zip(reach(&frame.end_bound)));
    reaches.flatten().map_or(usize::MAX, |(back, ahead)| back.saturating_add(ahead).saturating_add(1))
}

/// The answers of one window over rows that come in order of its partitions.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    length: Length,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    args: Vec<Arc<dyn PhysicalExpr>>,
    seen: Seen,
}

/// What was seen of the partition that came last.
#[derive(Debug, Clone, Default)]
struct Seen {
    key: Vec<ScalarValue>,
    rows: usize,
    bytes: usize,
    longest: usize,
}

impl Seen {
    /// What one row's answer comes to.
    fn row(&self, length: Length) -> usize {
        ROW_BYTES.saturating_add(match length {
            Length::Fixed => 0,
            Length::Longest => self.longest,
            Length::Together(frame) => self.bytes.min(frame.saturating_mul(self.longest.saturating_add(ROW_BYTES))),
        })
    }
}

impl Answers {
    pub(super) fn of(window: &dyn WindowExpr) -> Result<Self> {
        let (length, keys, args) = (Length::of(window)?, window.partition_by().to_vec(), window.expressions());
        Ok(Self { length, keys, args, seen: Seen::default() })
    }

    /// Whether no row's answer is longer than a number.
    pub(super) fn is_fixed(&self) -> bool {
        self.length == Length::Fixed
    }

    /// By how much all answers so far grow with these rows: those before them in their partition are answered anew.
    pub(super) fn grown(&mut self, rows: &RecordBatch) -> Result<usize> {
        self.each(rows, |seen, before, length| {
            let then = before.rows.saturating_mul(before.row(length));
            seen.rows.saturating_mul(seen.row(length)).saturating_sub(then)
        })
    }

    /// What the answers for these rows alone come to, and what is kept for those that follow.
    pub(super) fn alone(&mut self, rows: &RecordBatch) -> Result<usize> {
        let answers =
            self.each(rows, |seen, before, length| (seen.rows - before.rows).saturating_mul(seen.row(length)))?;
        Ok(answers.saturating_add(self.seen.row(self.length)))
    }

    /// Adds the rows, partition by partition: `count` is told what was seen with them, and before.
    fn each(&mut self, rows: &RecordBatch, count: impl Fn(&Seen, &Seen, Length) -> usize) -> Result<usize> {
        if self.is_fixed() {
            return Ok(ROW_BYTES * rows.num_rows());
        }
        let keys = self.keys.iter().map(|key| key.evaluate(rows)?.into_array(rows.num_rows()));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        let args: Vec<ColumnarValue> = self.args.iter().map(|arg| arg.evaluate(rows)).collect::<Result<_>>()?;
        let ranges =
            if keys.is_empty() { std::iter::once(0..rows.num_rows()).collect() } else { partition(&keys)?.ranges() };
        let mut bytes = 0_usize;
        for range in ranges {
            let key = keys.iter().map(|key| ScalarValue::try_from_array(key, range.start));
            let key: Vec<ScalarValue> = key.collect::<Result<_>>()?;
            if key != self.seen.key {
                self.seen = Seen { key, ..Seen::default() };
            }
            let before = self.seen.clone();
            self.seen.rows += range.len();
            for arg in &args {
                let (all, longest) = sizes(arg, &range)?;
                self.seen.bytes = self.seen.bytes.saturating_add(all);
                self.seen.longest = self.seen.longest.max(longest);
                if let ColumnarValue::Scalar(_) = arg {
                    // The engine makes a column of it.
                    bytes = bytes.saturating_add(all);
                }
            }
            bytes = bytes.saturating_add(count(&self.seen, &before, self.length));
        }
        Ok(bytes)
    }
}

/// Bytes of the values of some rows together, and of the longest of them: where that is not easily told, no less.
fn sizes(values: &ColumnarValue, rows: &Range<usize>) -> Result<(usize, usize)> {
    let values = match values {
        ColumnarValue::Array(values) => values.slice(rows.start, rows.len()),
        ColumnarValue::Scalar(one) => {
            let one = one.to_array_of_size(1)?.to_data().get_slice_memory_size()?;
            return Ok((one.saturating_mul(rows.len()), one));
        }
    };
    let all = values.to_data().get_slice_memory_size()?;
    let of = values.data_type();
    let longest = match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary | DataType::LargeBinary => {
            let lengths = cast(&length(&values)?, &DataType::Int64)?;
            max(lengths.as_primitive::<Int64Type>()).and_then(|longest| usize::try_from(longest).ok()).unwrap_or(0)
        }
        _ => of.primitive_width().unwrap_or(all),
    };
    Ok((all, longest))
}
