//! Columns as PostgreSQL spells their values, in text and in binary: one writer per column and batch, so that the type
//! is looked at once and not per value.
//!
//! First a column is brought to one of the few types that are written ([`usual`]); what no type of PostgreSQL holds is
//! json, written as the HTTP door writes it. Microseconds are the finest unit of time.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type,
        Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
    },
    error::ArrowError,
};

use super::{message::Format, numeric, spell};
use crate::{http::cell, plan::postgres::pgtype};

/// Writes the value of a row that is not null.
type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// A column that can write its values.
pub(crate) struct Column<'a> {
    write: Write<'a>,
    array: &'a dyn Array,
}

impl std::fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Column").field("type", self.array.data_type()).finish_non_exhaustive()
    }
}

impl<'a> Column<'a> {
    /// The writer of a column that was brought to a [`usual`] type.
    ///
    /// # Errors
    /// For a type that has no form: none that a query can answer today.
    pub(crate) fn of(array: &'a ArrayRef, format: Format) -> Result<Self, ArrowError> {
        Ok(Self { write: writer(array, format)?, array })
    }

    /// Writes a value; tells whether it was there, null writes nothing.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let is_there = !self.array.data_type().is_null() && self.array.is_valid(row);
        if is_there {
            (self.write)(row, out);
        }
        is_there
    }
}

/// A column in one of the types that are written, with the same values.
///
/// # Errors
/// When a value does not fit, such as an instant before PostgreSQL's time.
pub(crate) fn usual(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let to = usual_type(array.data_type());
    if to == *array.data_type() { Ok(Arc::clone(array)) } else { cast(array, &to) }
}

fn usual_type(of: &DataType) -> DataType {
    match of {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Duration(_) | DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::List(field) | DataType::FixedSizeList(field, _) | DataType::LargeList(field) if is_array(of) => {
            let inner = usual_type(field.data_type());
            DataType::List(Arc::new(field.as_ref().clone().with_data_type(inner)))
        }
        other => other.clone(),
    }
}

/// Whether a list travels as an array, and not as json.
fn is_array(of: &DataType) -> bool {
    pgtype::of(of).element != 0
}

fn writer(array: &ArrayRef, format: Format) -> Result<Write<'_>, ArrowError> {
    match array.data_type() {
        DataType::Null => Ok(Box::new(|_, _| {})),
        DataType::List(field) if is_array(array.data_type()) => list(array, pgtype::of(field.data_type()).oid, format),
        of if pgtype::of(of).oid == pgtype::oid::JSON => json(array),
        _ => match format {
            Format::Text => text(array),
            Format::Binary => binary(array),
        },
    }
}

fn json(array: &ArrayRef) -> Result<Write<'_>, ArrowError> {
    let column = cell::Column::of(array)?;
    Ok(Box::new(move |row, out| column.json(row, out)))
}

fn each<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef, write: impl Fn(T::Native, &mut Vec<u8>) + 'a) -> Write<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| write(array.value(row), out))
}

/// Integers and floats as eight bytes or fewer, the highest first.
macro_rules! bytes {
    ($array:expr, $type:ty) => {
        each::<$type>($array, |value, out| out.extend_from_slice(&value.to_be_bytes()))
    };
}

fn shown<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef) -> Write<'_> {
    each::<T>(array, spell::shown)
}

fn decimal<T: DecimalType>(array: &ArrayRef, digits: u8, scale: i8) -> impl Fn(usize) -> String + '_ {
    let array = array.as_primitive::<T>();
    move |row| T::format_decimal(array.value(row), digits, scale)
}

fn text(array: &ArrayRef) -> Result<Write<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.push(if array.value(row) { b't' } else { b'f' }))
        }
        DataType::Int16 => shown::<Int16Type>(array),
        DataType::Int32 => shown::<Int32Type>(array),
        DataType::UInt32 => shown::<UInt32Type>(array),
        DataType::Int64 => shown::<Int64Type>(array),
        DataType::Float32 => each::<Float32Type>(array, spell::float4),
        DataType::Float64 => each::<Float64Type>(array, spell::float8),
        DataType::Decimal128(digits, scale) => {
            let of = decimal::<Decimal128Type>(array, *digits, *scale);
            Box::new(move |row, out| out.extend_from_slice(of(row).as_bytes()))
        }
        DataType::Decimal256(digits, scale) => {
            let of = decimal::<Decimal256Type>(array, *digits, *scale);
            Box::new(move |row, out| out.extend_from_slice(of(row).as_bytes()))
        }
        DataType::Utf8 => letters(array),
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| spell::bytea(array.value(row), out))
        }
        DataType::Date32 => each::<Date32Type>(array, spell::date),
        DataType::Time64(_) => each::<Time64MicrosecondType>(array, spell::time),
        DataType::Timestamp(_, zone) => {
            let has_zone = zone.is_some();
            each::<TimestampMicrosecondType>(array, move |at, out| spell::timestamp(at, has_zone, out))
        }
        DataType::Interval(_) => each::<IntervalMonthDayNanoType>(array, spell::interval),
        other => return Err(formless(other)),
    })
}

fn binary(array: &ArrayRef) -> Result<Write<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.push(u8::from(array.value(row))))
        }
        DataType::Int16 => bytes!(array, Int16Type),
        DataType::Int32 => bytes!(array, Int32Type),
        DataType::UInt32 => bytes!(array, UInt32Type),
        DataType::Int64 => bytes!(array, Int64Type),
        DataType::Float32 => bytes!(array, Float32Type),
        DataType::Float64 => bytes!(array, Float64Type),
        DataType::Decimal128(digits, scale) => {
            let of = decimal::<Decimal128Type>(array, *digits, *scale);
            Box::new(move |row, out| numeric::write(&of(row), out))
        }
        DataType::Decimal256(digits, scale) => {
            let of = decimal::<Decimal256Type>(array, *digits, *scale);
            Box::new(move |row, out| numeric::write(&of(row), out))
        }
        DataType::Utf8 => letters(array),
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| out.extend_from_slice(array.value(row)))
        }
        DataType::Date32 => each::<Date32Type>(array, |day, out| {
            let infinite = matches!(day, i32::MIN | i32::MAX);
            let day = if infinite { day } else { day.saturating_sub(spell::EPOCH_DAYS) };
            out.extend_from_slice(&day.to_be_bytes());
        }),
        DataType::Time64(_) => bytes!(array, Time64MicrosecondType),
        DataType::Timestamp(..) => each::<TimestampMicrosecondType>(array, |at, out| {
            let infinite = matches!(at, i64::MIN | i64::MAX);
            let at = if infinite { at } else { at.saturating_sub(spell::EPOCH_MICROS) };
            out.extend_from_slice(&at.to_be_bytes());
        }),
        DataType::Interval(_) => each::<IntervalMonthDayNanoType>(array, |value, out| {
            let IntervalMonthDayNano { months, days, nanoseconds } = value;
            out.extend_from_slice(&(nanoseconds / 1_000).to_be_bytes());
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&months.to_be_bytes());
        }),
        other => return Err(formless(other)),
    })
}

fn letters(array: &ArrayRef) -> Write<'_> {
    let array = array.as_string::<i32>();
    Box::new(move |row, out| out.extend_from_slice(array.value(row).as_bytes()))
}

fn formless(of: &DataType) -> ArrowError {
    ArrowError::NotYetImplemented(format!("{of} has no form in PostgreSQL's protocol: cast the column"))
}

/// An array of one dimension.
fn list(array: &ArrayRef, element: u32, format: Format) -> Result<Write<'_>, ArrowError> {
    let lists = array.as_list::<i32>();
    let items = Column::of(lists.values(), format)?;
    let range = move |row: usize| {
        let at = |row: usize| usize::try_from(lists.value_offsets()[row]).unwrap_or(0);
        at(row)..at(row + 1)
    };
    Ok(match format {
        Format::Text => Box::new(move |row, out| {
            out.push(b'{');
            let mut item = Vec::new();
            for (nth, at) in range(row).enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                item.clear();
                if items.write(at, &mut item) { spell::element(&item, out) } else { out.extend_from_slice(b"NULL") }
            }
            out.push(b'}');
        }),
        Format::Binary => Box::new(move |row, out| {
            let range = range(row);
            let has_nulls = range.clone().any(|at| items.array.is_null(at));
            let dimensions = i32::from(!range.is_empty());
            for number in [dimensions, i32::from(has_nulls), element.cast_signed()] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            if !range.is_empty() {
                let length = i32::try_from(range.len()).unwrap_or(i32::MAX);
                [length, 1].iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
            }
            range.for_each(|at| field(&items, at, out));
        }),
    })
}

/// Writes a value behind its length, -1 for null.
pub(crate) fn field(column: &Column<'_>, row: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    if column.write(row, out) {
        let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
