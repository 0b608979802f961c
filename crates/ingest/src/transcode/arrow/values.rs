//! One column of an Arrow batch, value by value, as JSON.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Field, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use serde_json::value::RawValue;
use tidemark_model::Instant;

use super::{broken, invalid};
use crate::error::{Error, shown};

/// Fields whose text is JSON.
const JSON_FIELDS: [&str; 4] = ["data", "meta", "doc", "prev"];
const FORMAT: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

/// How the values of a type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A JSON number or boolean, as it is displayed.
    Bare,
    Float,
    Text,
    /// Text that is JSON, perhaps.
    Json,
    Time(TimeUnit),
}

/// How texts are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// As JSON where the field holds JSON.
    JsonByName,
    /// As they are.
    Plain,
}

/// A column, and how it is written.
pub(super) struct Column<'b> {
    pub(super) field: String,
    /// `"name":`
    pub(super) name: String,
    kind: Kind,
    values: &'b ArrayRef,
    /// None for times, which are written here.
    formatter: Option<ArrayFormatter<'b>>,
}

impl<'b> Column<'b> {
    /// Refuses a type that has no place in a record.
    pub(super) fn check(field: &Field, texts: Texts) -> Result<(), Error> {
        kind(field, texts).map(|_kind| ())
    }

    pub(super) fn of(field: &Field, values: &'b ArrayRef, texts: Texts) -> Result<Self, Error> {
        let name = format!("{}:", serde_json::Value::from(field.name().as_str()));
        let kind = kind(field, texts)?;
        let formatter = match kind {
            Kind::Time(_) => None,
            _ => Some(ArrayFormatter::try_new(values.as_ref(), &FORMAT).map_err(broken)?),
        };
        Ok(Self { field: field.name().clone(), name, kind, values, formatter })
    }

    /// The JSON of a value; nothing for NULL.
    pub(super) fn value(&self, row: usize) -> Result<Option<Cow<'static, str>>, Error> {
        if self.values.is_null(row) {
            return Ok(None);
        }
        let Some(formatter) = &self.formatter else {
            let unit = if let Kind::Time(unit) = self.kind { unit } else { TimeUnit::Microsecond };
            return time(self.values, unit, row).map(|text| Some(text.into()));
        };
        let shown = formatter.value(row).try_to_string().map_err(broken)?;
        Ok(match self.kind {
            Kind::Bare => Some(shown.into()),
            Kind::Float if shown.parse::<f64>().is_ok_and(f64::is_finite) => Some(shown.into()),
            // A dictionary may hold NULL as a value.
            Kind::Text | Kind::Json if shown.is_empty() && is_null_value(self.values, row) => None,
            Kind::Json if serde_json::from_str::<&RawValue>(&shown).is_ok() => Some(shown.into()),
            _ => Some(serde_json::Value::from(shown).to_string().into()),
        })
    }
}

fn is_null_value(values: &ArrayRef, row: usize) -> bool {
    values.as_any_dictionary_opt().is_some_and(|dictionary| {
        dictionary.normalized_keys().get(row).is_none_or(|key| dictionary.values().is_null(*key))
    })
}

fn kind(field: &Field, texts: Texts) -> Result<Kind, Error> {
    let is_json = texts == Texts::JsonByName && JSON_FIELDS.contains(&field.name().as_str());
    let text = if is_json { Kind::Json } else { Kind::Text };
    let kind = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text,
        DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8 | DataType::LargeUtf8) => text,
        DataType::Null | DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..) => Kind::Bare,
        integer if integer.is_integer() => Kind::Bare,
        DataType::Float32 | DataType::Float64 => Kind::Float,
        DataType::Timestamp(unit, _) => Kind::Time(*unit),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => Kind::Text,
        other => {
            let name = shown(field.name());
            let what = format!(
                "column {name:?} is {}: send it as JSON text, or as a column a value",
                shown(&other.to_string())
            );
            return Err(invalid(&what));
        }
    };
    Ok(kind)
}

/// Times count from 1970 in UTC, whatever zone they are shown in.
fn time(values: &ArrayRef, unit: TimeUnit, row: usize) -> Result<String, Error> {
    let micros = match unit {
        TimeUnit::Second => values.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000),
        TimeUnit::Millisecond => values.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1000),
        TimeUnit::Microsecond => Some(values.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => Some(values.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)),
    };
    let at = micros.map(Instant::from_micros).filter(|at| (Instant::MIN..=Instant::MAX).contains(at));
    at.map(|at| format!("\"{at}\"")).ok_or_else(|| invalid("a time lies outside of the years 1 to 9999"))
}
