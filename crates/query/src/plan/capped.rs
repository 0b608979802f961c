//! Functions whose answer may be many times as large as what they are called with, with a limit.
//!
//! What a function makes is taken from no statement's memory, and nothing stops it before it is done: `repeat('x', 2000000000)`
//! alone would hold gigabytes. So it is computed first how large the answer to a batch would be.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, kernels::length::length},
    datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use datafusion::{
    common::{Result, plan_err},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, registry::FunctionRegistry,
    },
};

/// Most bytes that one call makes, for all rows of its batch.
const MADE_BYTES_MAX: i128 = 128 << 20;
/// Bytes of a value of a list at least.
const VALUE_BYTES: i128 = 8;
/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

type Makes = fn(&Call) -> Result<i128>;

/// The functions, and how many bytes each makes.
const CAPPED: [(&str, Makes); 8] = [
    ("repeat", |call| call.sum(|row| Ok(call.bytes(0, row)? * call.number(1, row)?.max(0)))),
    // A character has at most four bytes.
    ("lpad", |call| call.sum(|row| Ok(4 * call.number(1, row)?.max(0)))),
    ("rpad", |call| call.sum(|row| Ok(4 * call.number(1, row)?.max(0)))),
    ("replace", |call| call.sum(|row| call.replaced(row))),
    ("array_repeat", |call| call.sum(|row| Ok(call.size(0) * call.number(1, row)?.max(0)))),
    ("array_resize", |call| call.sum(|row| Ok(VALUE_BYTES * call.number(1, row)?.max(0)))),
    ("range", |call| call.sum(|row| call.series(row))),
    ("generate_series", |call| call.sum(|row| call.series(row))),
];

/// The functions, around those of the engine.
///
/// # Errors
/// When the engine has no such function.
pub(crate) fn capped(engine: &dyn FunctionRegistry) -> Result<Vec<ScalarUDF>> {
    let one = |(name, makes): &(&'static str, Makes)| {
        Ok(ScalarUDF::from(Capped { name, engine: engine.udf(name)?, makes: *makes }))
    };
    CAPPED.iter().map(one).collect()
}

#[derive(Debug)]
struct Capped {
    name: &'static str,
    engine: Arc<ScalarUDF>,
    makes: Makes,
}

impl PartialEq for Capped {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Capped {}

impl std::hash::Hash for Capped {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Capped {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn aliases(&self) -> &[String] {
        self.engine.aliases()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        self.engine.return_type(of)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array(),
        });
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let made = (self.makes)(&Call { arrays: arrays.collect::<Result<_>>()?, rows })?;
        if made > MADE_BYTES_MAX {
            let name = self.name;
            return plan_err!("{name} would make {made} bytes at once, and may make {MADE_BYTES_MAX}: ask for less");
        }
        self.engine.invoke_with_args(args)
    }
}

/// What a function is called with; a constant is an array of one value.
struct Call {
    arrays: Vec<ArrayRef>,
    rows: usize,
}

impl Call {
    fn sum(&self, one: impl Fn(usize) -> Result<i128>) -> Result<i128> {
        (0..self.rows).try_fold(0, |sum: i128, row| Ok(sum.saturating_add(one(row)?)))
    }

    /// The value of an argument in a row, as an array of one; none where it is NULL or was not given.
    fn value(&self, nth: usize, row: usize) -> Option<ArrayRef> {
        let array = self.arrays.get(nth)?;
        let at = if array.len() == 1 { 0 } else { row };
        (at < array.len() && array.is_valid(at)).then(|| array.slice(at, 1))
    }

    /// A whole number; 0 where there is none.
    fn number(&self, nth: usize, row: usize) -> Result<i128> {
        let Some(value) = self.value(nth, row) else { return Ok(0) };
        let value = cast(&value, &DataType::Int64)?;
        Ok(i128::from(value.as_primitive::<Int64Type>().value(0)))
    }

    /// How many bytes a text has.
    fn bytes(&self, nth: usize, row: usize) -> Result<i128> {
        let Some(value) = self.value(nth, row) else { return Ok(0) };
        let value = cast(&length(&value)?, &DataType::Int64)?;
        Ok(i128::from(value.as_primitive::<Int64Type>().value(0)))
    }

    /// About how many bytes a value of an argument has.
    fn size(&self, nth: usize) -> i128 {
        let Some(array) = self.arrays.get(nth).filter(|array| !array.is_empty()) else { return VALUE_BYTES };
        let bytes = array.to_data().get_slice_memory_size().unwrap_or(0) / array.len();
        i128::try_from(bytes).unwrap_or(i128::MAX).max(VALUE_BYTES)
    }

    /// What `replace` makes.
    fn replaced(&self, row: usize) -> Result<i128> {
        let (whole, from, to) = (self.bytes(0, row)?, self.bytes(1, row)?, self.bytes(2, row)?);
        if to <= from {
            return Ok(whole);
        }
        let text = |nth| {
            Ok::<_, datafusion::error::DataFusionError>(match self.value(nth, row) {
                Some(value) => cast(&value, &DataType::Utf8)?.as_string::<i32>().value(0).to_owned(),
                None => String::new(),
            })
        };
        // Within the limit whatever is found: nothing has to be counted.
        if (whole + 1).saturating_mul(to) * i128::try_from(self.rows).unwrap_or(i128::MAX) <= MADE_BYTES_MAX {
            return Ok(whole);
        }
        let found = text(0)?.matches(text(1)?.as_str()).count();
        Ok(whole + i128::try_from(found).unwrap_or(i128::MAX).saturating_mul(to - from))
    }

    /// What a list of so many steps makes.
    fn series(&self, row: usize) -> Result<i128> {
        let Some(first) = self.arrays.first() else { return Ok(0) };
        let unit = match first.data_type() {
            DataType::Date32 => DAY,
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
            DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            _ => 1,
        };
        let (start, stop) = match self.arrays.len() {
            1 => (0, self.number(0, row)?),
            _ => (self.point(0, row)? * unit, self.point(1, row)? * unit),
        };
        let step = match self.value(2, row) {
            None => 1,
            Some(step) => match step.as_primitive_opt::<IntervalMonthDayNanoType>() {
                Some(step) => {
                    let step = step.value(0);
                    (i128::from(step.months) * 28 + i128::from(step.days)) * DAY + i128::from(step.nanoseconds)
                }
                None => self.number(2, row)?,
            },
        };
        let steps = (stop - start).checked_div(step).unwrap_or(0);
        Ok(VALUE_BYTES.saturating_mul(steps.max(0)))
    }

    /// A number, or where a time stands in its own unit.
    fn point(&self, nth: usize, row: usize) -> Result<i128> {
        let Some(value) = self.value(nth, row) else { return Ok(0) };
        let days = if value.data_type() == &DataType::Date32 { cast(&value, &DataType::Int32)? } else { value };
        let value = cast(&days, &DataType::Int64)?;
        Ok(i128::from(value.as_primitive::<Int64Type>().value(0)))
    }
}
