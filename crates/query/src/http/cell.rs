//! Columns as text: one writer per column and batch, so that the type is looked at once and not per cell.
//!
//! JSON: integers of every width are JSON integers and exact; `NaN`, `Infinity` and `-Infinity` are strings, other
//! floats are JSON numbers; decimals, dates, times, timestamps, durations and intervals are strings, timestamps with
//! a zone in UTC with `Z`; binary is lower-case hex; lists are arrays, structs and maps with text keys are objects,
//! other maps arrays of `{"key","value"}`; a union is its value. CSV holds the same without the quotes of JSON, and
//! JSON for what is nested.

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    buffer::NullBuffer,
    datatypes::{
        ArrowDictionaryKeyType, ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
        Decimal128Type, Decimal256Type, DecimalType, DurationMicrosecondType, DurationMillisecondType,
        DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
        Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
    error::ArrowError,
};
use serde::Serialize;

use super::{calendar, nest};

/// A column of one batch that can write its cells.
pub(crate) trait Cell {
    /// Writes a cell that is not null as JSON.
    fn json(&self, row: usize, out: &mut Vec<u8>);

    /// Writes a cell that is not null as bare text, for CSV.
    fn text(&self, row: usize, out: &mut Vec<u8>) {
        self.json(row, out);
    }
}

/// A boxed writer of the cells of a column.
pub(crate) type BoxCell<'a> = Box<dyn Cell + 'a>;

/// A column with its nulls.
pub(crate) struct Column<'a> {
    cell: BoxCell<'a>,
    nulls: Option<NullBuffer>,
}

impl<'a> Column<'a> {
    /// The writer of a column.
    ///
    /// # Errors
    /// For a type that has no text: none that a query can answer today.
    pub(crate) fn of(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        Ok(Self { cell: cell(array)?, nulls: array.logical_nulls() })
    }

    /// Whether a cell is null.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes a cell as JSON, `null` where it is.
    pub(crate) fn json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) { out.extend_from_slice(b"null") } else { self.cell.json(row, out) }
    }

    /// Writes a cell as bare text, nothing where it is null.
    pub(crate) fn text(&self, row: usize, out: &mut Vec<u8>) {
        if !self.is_null(row) {
            self.cell.text(row, out);
        }
    }
}

/// Writes a value as serde_json spells it; a Vec takes all that is written.
pub(crate) fn plain<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

/// Numbers that JSON holds.
struct Number<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType<Native: Serialize>> Cell for Number<'_, T> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        plain(&self.0.value(row), out);
    }
}

/// Floats; what JSON has no number for becomes a string.
struct Float<F>(F);

impl<F: Fn(usize) -> f64> Cell for Float<F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let value = (self.0)(row);
        match odd(value) {
            Some(word) => plain(word, out),
            None => plain(&value, out),
        }
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        let value = (self.0)(row);
        match odd(value) {
            Some(word) => out.extend_from_slice(word.as_bytes()),
            None => plain(&value, out),
        }
    }
}

/// 32 bits wide, so that 0.1 stays `0.1`.
struct Float32<'a>(&'a PrimitiveArray<Float32Type>);

impl Cell for Float32<'_> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        match odd(f64::from(value)) {
            Some(word) => plain(word, out),
            None => plain(&value, out),
        }
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        match odd(f64::from(value)) {
            Some(word) => out.extend_from_slice(word.as_bytes()),
            None => plain(&value, out),
        }
    }
}

/// The word for a float that is no number of JSON.
fn odd(value: f64) -> Option<&'static str> {
    match value {
        v if v.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

struct Bool<'a>(&'a BooleanArray);

impl Cell for Bool<'_> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.0.value(row) { b"true" } else { b"false" });
    }
}

/// Text that may need escapes.
struct Text<F>(F);

impl<'a, F: Fn(usize) -> &'a str> Cell for Text<F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        plain((self.0)(row), out);
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice((self.0)(row).as_bytes());
    }
}

/// Text that never needs escapes: times, decimals, hex.
struct Bare<F>(F);

impl<F: Fn(usize, &mut Vec<u8>)> Cell for Bare<F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        (self.0)(row, out);
        out.push(b'"');
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        (self.0)(row, out);
    }
}

struct Nothing;

impl Cell for Nothing {
    fn json(&self, _row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }

    fn text(&self, _row: usize, _out: &mut Vec<u8>) {}
}

/// Values of another column, by a key per row: dictionaries and runs.
struct Through<'a, F>(Column<'a>, F);

impl<F: Fn(usize) -> usize> Cell for Through<'_, F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        self.0.json((self.1)(row), out);
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        self.0.text((self.1)(row), out);
    }
}

fn bare<'a>(write: impl Fn(usize, &mut Vec<u8>) + 'a) -> BoxCell<'a> {
    Box::new(Bare(write))
}

fn hex<'a>(bytes: impl Fn(usize) -> &'a [u8] + 'a) -> BoxCell<'a> {
    bare(move |row, out| out.extend(tidemark_model::hex::digits(bytes(row))))
}

fn decimal<T: DecimalType>(array: &ArrayRef, precision: u8, scale: i8) -> BoxCell<'_> {
    let array = array.as_primitive::<T>();
    bare(move |row, out| out.extend_from_slice(T::format_decimal(array.value(row), precision, scale).as_bytes()))
}

fn instants<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, per_second: i64, zone: bool) -> BoxCell<'_> {
    let array = array.as_primitive::<T>();
    bare(move |row, out| {
        calendar::timestamp(array.value(row), per_second, out);
        if zone {
            out.push(b'Z');
        }
    })
}

fn times<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef, unit_nanos: i64) -> BoxCell<'_> {
    let array = array.as_primitive::<T>();
    bare(move |row, out| calendar::time(array.value(row).into().wrapping_mul(unit_nanos), out))
}

fn durations<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit_nanos: i128) -> BoxCell<'_> {
    let array = array.as_primitive::<T>();
    bare(move |row, out| calendar::duration(0, 0, i128::from(array.value(row)) * unit_nanos, out))
}

fn dictionary<K: ArrowDictionaryKeyType>(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    let array = array.as_dictionary::<K>();
    let keys = array.keys();
    Ok(Box::new(Through(Column::of(array.values())?, move |row| keys.value(row).as_usize())))
}

/// The writer of a column by its type.
fn cell(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(Nothing),
        DataType::Boolean => Box::new(Bool(array.as_boolean())),
        DataType::Utf8 => Box::new(Text(move |row| array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Box::new(Text(move |row| array.as_string::<i64>().value(row))),
        DataType::Utf8View => Box::new(Text(move |row| array.as_string_view().value(row))),
        DataType::Binary => hex(move |row| array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(move |row| array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex(move |row| array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => hex(move |row| array.as_fixed_size_binary().value(row)),
        DataType::Dictionary(key, _) => keyed(array, key)?,
        DataType::List(_) => nest::list(array, |row| nest::between(array.as_list::<i32>().value_offsets(), row))?,
        DataType::LargeList(_) => nest::list(array, |row| nest::between(array.as_list::<i64>().value_offsets(), row))?,
        DataType::FixedSizeList(..) => nest::fixed(array)?,
        DataType::Struct(_) => nest::object(array)?,
        DataType::Map(..) => nest::map(array)?,
        DataType::Union(..) => nest::union(array)?,
        other if other.is_temporal() => temporal(array)?,
        other if other.is_numeric() => number(array)?,
        other => return Err(ArrowError::NotYetImplemented(format!("{other} has no text form: cast the column"))),
    })
}

fn keyed<'a>(array: &'a ArrayRef, key: &DataType) -> Result<BoxCell<'a>, ArrowError> {
    match key {
        DataType::Int8 => dictionary::<Int8Type>(array),
        DataType::Int16 => dictionary::<Int16Type>(array),
        DataType::Int32 => dictionary::<Int32Type>(array),
        DataType::Int64 => dictionary::<Int64Type>(array),
        DataType::UInt8 => dictionary::<UInt8Type>(array),
        DataType::UInt16 => dictionary::<UInt16Type>(array),
        DataType::UInt32 => dictionary::<UInt32Type>(array),
        _ => dictionary::<UInt64Type>(array),
    }
}

fn number(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Int8 => Box::new(Number::<Int8Type>(array.as_primitive())),
        DataType::Int16 => Box::new(Number::<Int16Type>(array.as_primitive())),
        DataType::Int32 => Box::new(Number::<Int32Type>(array.as_primitive())),
        DataType::Int64 => Box::new(Number::<Int64Type>(array.as_primitive())),
        DataType::UInt8 => Box::new(Number::<UInt8Type>(array.as_primitive())),
        DataType::UInt16 => Box::new(Number::<UInt16Type>(array.as_primitive())),
        DataType::UInt32 => Box::new(Number::<UInt32Type>(array.as_primitive())),
        DataType::UInt64 => Box::new(Number::<UInt64Type>(array.as_primitive())),
        DataType::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            Box::new(Float(move |row| f64::from(array.value(row))))
        }
        DataType::Float32 => Box::new(Float32(array.as_primitive())),
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(Float(move |row| array.value(row)))
        }
        DataType::Decimal32(p, s) => decimal::<Decimal32Type>(array, *p, *s),
        DataType::Decimal64(p, s) => decimal::<Decimal64Type>(array, *p, *s),
        DataType::Decimal128(p, s) => decimal::<Decimal128Type>(array, *p, *s),
        DataType::Decimal256(p, s) => decimal::<Decimal256Type>(array, *p, *s),
        other => return Err(ArrowError::NotYetImplemented(format!("{other} has no text form: cast the column"))),
    })
}

fn temporal(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    const DAY_MS: i64 = 86_400_000;
    Ok(match array.data_type() {
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            bare(move |row, out| calendar::date(i64::from(array.value(row)), out))
        }
        DataType::Date64 => {
            let array = array.as_primitive::<Date64Type>();
            bare(move |row, out| calendar::date(array.value(row).div_euclid(DAY_MS), out))
        }
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(array, 1_000_000_000),
        DataType::Time32(_) => times::<Time32MillisecondType>(array, 1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => times::<Time64MicrosecondType>(array, 1_000),
        DataType::Time64(_) => times::<Time64NanosecondType>(array, 1),
        DataType::Timestamp(unit, zone) => timestamps(array, *unit, zone.is_some()),
        DataType::Duration(TimeUnit::Second) => durations::<DurationSecondType>(array, 1_000_000_000),
        DataType::Duration(TimeUnit::Millisecond) => durations::<DurationMillisecondType>(array, 1_000_000),
        DataType::Duration(TimeUnit::Microsecond) => durations::<DurationMicrosecondType>(array, 1_000),
        DataType::Duration(TimeUnit::Nanosecond) => durations::<DurationNanosecondType>(array, 1),
        DataType::Interval(unit) => intervals(array, *unit),
        other => return Err(ArrowError::NotYetImplemented(format!("{other} has no text form: cast the column"))),
    })
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, zone: bool) -> BoxCell<'_> {
    match unit {
        TimeUnit::Second => instants::<TimestampSecondType>(array, 1, zone),
        TimeUnit::Millisecond => instants::<TimestampMillisecondType>(array, 1_000, zone),
        TimeUnit::Microsecond => instants::<TimestampMicrosecondType>(array, 1_000_000, zone),
        TimeUnit::Nanosecond => instants::<TimestampNanosecondType>(array, 1_000_000_000, zone),
    }
}

fn intervals(array: &ArrayRef, unit: IntervalUnit) -> BoxCell<'_> {
    match unit {
        IntervalUnit::YearMonth => {
            let array = array.as_primitive::<IntervalYearMonthType>();
            bare(move |row, out| calendar::duration(i64::from(array.value(row)), 0, 0, out))
        }
        IntervalUnit::DayTime => {
            let array = array.as_primitive::<IntervalDayTimeType>();
            bare(move |row, out| {
                let value = array.value(row);
                calendar::duration(0, i64::from(value.days), i128::from(value.milliseconds) * 1_000_000, out);
            })
        }
        IntervalUnit::MonthDayNano => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>();
            bare(move |row, out| {
                let value = array.value(row);
                let (months, days) = (i64::from(value.months), i64::from(value.days));
                calendar::duration(months, days, i128::from(value.nanoseconds), out);
            })
        }
    }
}

#[cfg(test)]
mod tests;
