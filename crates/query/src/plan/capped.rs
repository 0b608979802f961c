//! Functions whose answer may be many times as large as what they are called with, with a limit.
//!
//! What a function makes is taken from no statement's memory, and nothing stops it before it is done: `repeat('x', 2000000000)`
//! alone would hold gigabytes. So it is computed first how large the answer to a batch would be.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{cast, kernels::length::length},
    datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit},
};
use datafusion::{
    common::{Result, plan_err},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        registry::FunctionRegistry,
    },
};
use regex::Regex;

/// Most bytes that one call makes, for all rows of its batch.
const MADE_BYTES_MAX: i128 = 128 << 20;
/// Bytes of a value of a list at least.
const VALUE_BYTES: i128 = 8;
/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

type Makes = fn(&Call) -> Result<i128>;

/// The functions, and how many bytes each makes.
const CAPPED: [(&str, Makes); 14] = [
    ("repeat", |call| call.sum(|row| Ok(call.bytes(0, row)? * call.number(1, row)?.max(0)))),
    // A character has at most four bytes.
    ("lpad", |call| call.sum(|row| Ok(4 * call.number(1, row)?.max(0)))),
    ("rpad", |call| call.sum(|row| Ok(4 * call.number(1, row)?.max(0)))),
    ("replace", |call| call.sum(|row| call.replaced(row))),
    ("array_repeat", |call| call.sum(|row| Ok(call.size(0) * call.number(1, row)?.max(0)))),
    ("array_resize", |call| call.sum(|row| Ok(VALUE_BYTES * call.number(1, row)?.max(0)))),
    ("range", |call| call.sum(|row| call.series(row))),
    ("generate_series", |call| call.sum(|row| call.series(row))),
    ("concat", |call| call.sum(|row| call.joined(0, row))),
    ("concat_ws", |call| call.sum(|row| call.separated(row))),
    ("regexp_replace", |call| call.replaced_by_patterns()),
    ("make_array", |call| Ok(call.held())),
    ("array_concat", |call| Ok(call.held())),
    ("array_to_string", |call| call.sum(|row| call.told(row))),
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

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.engine.coerce_types(given)
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        self.engine.return_type(of)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.engine.return_field_from_args(args)
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

    /// How many bytes a text has; of a list how many values.
    fn bytes(&self, nth: usize, row: usize) -> Result<i128> {
        let Some(value) = self.value(nth, row) else { return Ok(0) };
        let value = cast(&length(&value)?, &DataType::Int64)?;
        Ok(i128::from(value.as_primitive::<Int64Type>().value(0)))
    }

    /// A text; an empty one where there is none.
    fn text(&self, nth: usize, row: usize) -> Result<String> {
        let Some(value) = self.value(nth, row) else { return Ok(String::new()) };
        Ok(cast(&value, &DataType::Utf8)?.as_string::<i32>().value(0).to_owned())
    }

    /// About how many bytes a value of an argument has.
    fn size(&self, nth: usize) -> i128 {
        let Some(array) = self.arrays.get(nth).filter(|array| !array.is_empty()) else { return VALUE_BYTES };
        let bytes = match array.as_string_view_opt() {
            // A view is told by where it points to, not by what is there.
            Some(texts) => texts.iter().flatten().map(str::len).sum(),
            None => array.to_data().get_slice_memory_size().unwrap_or(0),
        } / array.len();
        i128::try_from(bytes).unwrap_or(i128::MAX).max(VALUE_BYTES)
    }

    /// What `replace` makes.
    fn replaced(&self, row: usize) -> Result<i128> {
        let (whole, from, to) = (self.bytes(0, row)?, self.bytes(1, row)?, self.bytes(2, row)?);
        if to <= from {
            return Ok(whole);
        }
        // Within the limit whatever is found: nothing has to be counted.
        if (whole + 1).saturating_mul(to) * i128::try_from(self.rows).unwrap_or(i128::MAX) <= MADE_BYTES_MAX {
            return Ok(whole);
        }
        let found = self.text(0, row)?.matches(self.text(1, row)?.as_str()).count();
        Ok(whole + i128::try_from(found).unwrap_or(i128::MAX).saturating_mul(to - from))
    }

    /// What texts make that are put together, from an argument on.
    fn joined(&self, from: usize, row: usize) -> Result<i128> {
        (from..self.arrays.len()).try_fold(0, |sum, nth| Ok(sum + self.bytes(nth, row)?))
    }

    /// What texts make with another between them.
    fn separated(&self, row: usize) -> Result<i128> {
        let between = i128::try_from(self.arrays.len().saturating_sub(2)).unwrap_or(i128::MAX);
        Ok(self.joined(1, row)? + self.bytes(0, row)?.saturating_mul(between))
    }

    /// What `regexp_replace` makes: as if the pattern matched between any two characters; counted, where that is too much.
    fn replaced_by_patterns(&self) -> Result<i128> {
        let bound = self.sum(|row| {
            let (whole, to) = (self.bytes(0, row)?, self.bytes(2, row)?);
            let matches = if self.text(3, row)?.contains('g') { whole + 1 } else { 1 };
            Ok(whole + matches.saturating_mul(to))
        })?;
        if bound <= MADE_BYTES_MAX {
            return Ok(bound);
        }
        let mut known: Option<(String, Regex)> = None;
        let mut made: i128 = 0;
        for row in 0..self.rows {
            let (whole, pattern, to, flags) =
                (self.text(0, row)?, self.text(1, row)?, self.text(2, row)?, self.text(3, row)?);
            let pattern = format!("(?{}){pattern}", flags.replace('g', "")).replace("(?)", "");
            if known.as_ref().is_none_or(|(of, _)| *of != pattern) {
                // What is no pattern is told by the engine.
                let Ok(regex) = Regex::new(&pattern) else { return Ok(0) };
                known = Some((pattern, regex));
            }
            let Some((_, regex)) = &known else { continue };
            // What is put in may repeat what was found, once for every two of its characters.
            let repeats = if to.contains(['\\', '$']) { to.len() / 2 } else { 0 };
            let most = if flags.contains('g') { usize::MAX } else { 1 };
            let put: usize = regex.find_iter(&whole).take(most).map(|found| to.len() + repeats * found.len()).sum();
            made += i128::try_from(whole.len() + put).unwrap_or(i128::MAX);
            if made > MADE_BYTES_MAX {
                break;
            }
        }
        Ok(made)
    }

    /// What `array_to_string` makes: what is held, and another text between its values.
    fn told(&self, row: usize) -> Result<i128> {
        let values = self.bytes(0, row)?;
        Ok(self.size(0) + values.saturating_mul(self.bytes(1, row)?))
    }

    /// Bytes of all arguments, those of constants as often as there are rows.
    fn held(&self) -> i128 {
        let rows = i128::try_from(self.rows).unwrap_or(i128::MAX);
        let all = self.arrays.iter().enumerate();
        all.map(|(nth, array)| {
            let values = if array.len() == 1 { rows } else { i128::try_from(array.len()).unwrap_or(i128::MAX) };
            self.size(nth).saturating_mul(values)
        })
        .fold(0, i128::saturating_add)
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
