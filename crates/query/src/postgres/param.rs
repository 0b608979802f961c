//! Values that a client binds, in text or binary, become values of the engine.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType};
use bytes::Bytes;
use datafusion::common::ScalarValue;

use super::{fault::Fault, message::Format, numeric, spell};
use crate::plan::postgres::pgtype;

/// The OID of a literal whose type is not told.
const UNKNOWN: u32 = 705;
/// Most digits of a decimal.
const DIGITS_MAX: usize = 38;

/// What is known of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Param {
    /// The OID of the type that the client told; 0 when it told none.
    pub(crate) told: u32,
    /// The type that the statement needs.
    pub(crate) wanted: DataType,
}

impl Param {
    /// The OID of its type.
    pub(crate) fn oid(&self) -> u32 {
        if self.is_told() { self.told } else { pgtype::of(&self.wanted).oid }
    }

    fn is_told(&self) -> bool {
        ![0, UNKNOWN].contains(&self.told)
    }

    /// The type its values are read into.
    pub(crate) fn data_type(&self) -> DataType {
        if self.is_told() { pgtype::arrow(self.told).unwrap_or(DataType::Utf8) } else { self.wanted.clone() }
    }

    /// Reads its value.
    ///
    /// # Errors
    /// For what is no value of the type.
    pub(crate) fn read(&self, nth: usize, format: Format, value: Option<&Bytes>) -> Result<ScalarValue, Fault> {
        let data_type = self.data_type();
        if matches!(pgtype::by_oid(self.oid()), Some(of) if of.element != 0) {
            let instead = "bind one value each: column IN ($1, $2)";
            return Err(
                Fault::unsupported(format!("parameter ${nth} is an array, which is not served")).hinting(instead)
            );
        }
        let Some(bytes) = value else {
            return ScalarValue::try_from(&data_type).map_err(|e| Fault::unsupported(e.to_string()));
        };
        let wrong = |what: &str| {
            let name = pgtype::by_oid(self.oid()).map_or("text", |of| of.sql);
            Fault::error(
                if format == Format::Text { "22P02" } else { "22P03" },
                format!("parameter ${nth} {what} {name}"),
            )
        };
        match format {
            Format::Text => {
                let text = std::str::from_utf8(bytes).map_err(|_not_utf8| Fault::not_utf8())?;
                of_text(text, &data_type).ok_or_else(|| wrong("cannot be read as"))
            }
            Format::Binary => of_bytes(bytes, self.oid()).ok_or_else(|| wrong("is no binary form of")),
        }
    }
}

fn of_text(text: &str, to: &DataType) -> Option<ScalarValue> {
    match to {
        DataType::Utf8 | DataType::Null => Some(ScalarValue::Utf8(Some(text.to_owned()))),
        DataType::Boolean => switch(text).map(|is_on| ScalarValue::Boolean(Some(is_on))),
        DataType::Decimal128(..) => decimal(text),
        DataType::Date32 | DataType::Timestamp(..) if is_infinite(text) => infinite(text, to),
        DataType::Binary => hex(text.strip_prefix("\\x")?).map(|bytes| ScalarValue::Binary(Some(bytes))),
        other => ScalarValue::try_from_string(text.trim().to_owned(), other).ok(),
    }
}

fn is_infinite(text: &str) -> bool {
    text.trim().trim_start_matches(['+', '-']).eq_ignore_ascii_case("infinity")
}

/// The extremes of its type.
fn infinite(text: &str, to: &DataType) -> Option<ScalarValue> {
    let is_below = text.trim().starts_with('-');
    match to {
        DataType::Date32 => Some(ScalarValue::Date32(Some(if is_below { i32::MIN } else { i32::MAX }))),
        other => ScalarValue::Int64(Some(if is_below { i64::MIN } else { i64::MAX })).cast_to(other).ok(),
    }
}

/// Any unique beginning of true, false, yes, no, on, off; 1 and 0.
fn switch(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let begins = |words: &[&str]| !text.is_empty() && words.iter().any(|word| word.starts_with(text.as_str()));
    match text.as_str() {
        "o" => None,
        _ if begins(&["true", "yes", "on", "1"]) => Some(true),
        _ if begins(&["false", "no", "off", "0"]) => Some(false),
        _ => None,
    }
}

/// Every digit as it stands.
fn decimal(text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = i32::try_from(part.len()).ok()?.checked_sub(exponent.parse().ok()?)?;
    let zeros = usize::try_from(places.checked_neg()?).unwrap_or(0);
    if zeros > DIGITS_MAX {
        return None;
    }
    let digits = format!("{whole}{part}{}", "0".repeat(zeros));
    let scale = places.max(0);
    if scale > DIGITS_MAX as i32 || digits.trim_start_matches(['-', '+', '0']).len() > DIGITS_MAX {
        return None;
    }
    let scale = i8::try_from(scale).ok()?;
    let is_plain = part.bytes().all(|byte| byte.is_ascii_digit())
        && whole.bytes().chain(part.bytes()).any(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).map(|value| ScalarValue::Decimal128(Some(value), 38, scale))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn of_bytes(bytes: &[u8], oid: u32) -> Option<ScalarValue> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().map(|text| ScalarValue::Utf8(Some(text)));
    Some(match oid {
        16 => match bytes {
            [byte] => ScalarValue::Boolean(Some(*byte != 0)),
            _ => return None,
        },
        17 => ScalarValue::Binary(Some(bytes.to_vec())),
        20 => ScalarValue::Int64(Some(i64::from_be_bytes(exact(bytes)?))),
        21 => ScalarValue::Int16(Some(i16::from_be_bytes(exact(bytes)?))),
        23 => ScalarValue::Int32(Some(i32::from_be_bytes(exact(bytes)?))),
        26 | 2205 | 2206 => ScalarValue::UInt32(Some(u32::from_be_bytes(exact(bytes)?))),
        700 => ScalarValue::Float32(Some(f32::from_be_bytes(exact(bytes)?))),
        701 => ScalarValue::Float64(Some(f64::from_be_bytes(exact(bytes)?))),
        1082 => ScalarValue::Date32(Some(days(bytes)?)),
        1083 => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(exact(bytes)?))),
        1114 => ScalarValue::TimestampMicrosecond(Some(micros(bytes)?), None),
        1184 => ScalarValue::TimestampMicrosecond(Some(micros(bytes)?), Some("UTC".into())),
        1186 => interval(bytes)?,
        1700 => decimal(&numeric::read(bytes)?)?,
        2950 => text(uuid(bytes)?.as_bytes())?,
        3802 => text(bytes.strip_prefix(&[1])?)?,
        18 | 19 | 25 | 114 | 1042 | 1043 => text(bytes)?,
        _ => return None,
    })
}

fn exact<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// The extremes are `-infinity` and `infinity`, and stay the extremes.
fn micros(bytes: &[u8]) -> Option<i64> {
    match i64::from_be_bytes(exact(bytes)?) {
        infinite @ (i64::MIN | i64::MAX) => Some(infinite),
        micros => micros.checked_add(spell::EPOCH_MICROS),
    }
}

/// The same of days.
fn days(bytes: &[u8]) -> Option<i32> {
    match i32::from_be_bytes(exact(bytes)?) {
        infinite @ (i32::MIN | i32::MAX) => Some(infinite),
        days => days.checked_add(spell::EPOCH_DAYS),
    }
}

fn interval(bytes: &[u8]) -> Option<ScalarValue> {
    let (micros, rest) = bytes.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let nanos = i64::from_be_bytes(*micros).checked_mul(1_000)?;
    let value: IntervalMonthDayNano =
        IntervalMonthDayNanoType::make_value(i32::from_be_bytes(exact(months)?), i32::from_be_bytes(*days), nanos);
    Some(ScalarValue::IntervalMonthDayNano(Some(value)))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let digits: String = exact::<16>(bytes)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default().to_owned());
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(told: u32, wanted: DataType, format: Format, bytes: &[u8]) -> Result<ScalarValue, &'static str> {
        let value = Bytes::copy_from_slice(bytes);
        Param { told, wanted }.read(1, format, Some(&value)).map_err(|fault| fault.code)
    }

    #[test]
    fn values_are_read_by_the_type_told_or_wanted() {
        let text = |text: &str| Ok(ScalarValue::Utf8(Some(text.to_owned())));
        let decimal = |value, scale| Ok(ScalarValue::Decimal128(Some(value), 38, scale));
        let instant =
            |micros, zone: Option<&str>| Ok(ScalarValue::TimestampMicrosecond(Some(micros), zone.map(Into::into)));
        let (t, b) = (Format::Text, Format::Binary);
        for (told, wanted, format, bytes, expected) in [
            (0, DataType::Int64, t, &b"42"[..], Ok(ScalarValue::Int64(Some(42)))),
            (705, DataType::Utf8, t, b"42", text("42")),
            (23, DataType::Int64, t, b"42", Ok(ScalarValue::Int32(Some(42)))),
            (23, DataType::Int64, b, &[0, 0, 1, 0], Ok(ScalarValue::Int32(Some(256)))),
            (23, DataType::Int64, b, &[0, 0, 1], Err("22P03")),
            (0, DataType::Int64, t, b"many", Err("22P02")),
            (16, DataType::Utf8, t, b"t", Ok(ScalarValue::Boolean(Some(true)))),
            (16, DataType::Utf8, t, b"o", Err("22P02")),
            (1700, DataType::Utf8, t, b"-12.340", decimal(-12_340, 3)),
            (1700, DataType::Utf8, b, &[0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 13, 72], decimal(1234, 2)),
            (17, DataType::Utf8, t, b"\\x00ff", Ok(ScalarValue::Binary(Some(vec![0, 255])))),
            (17, DataType::Utf8, t, b"\\x0", Err("22P02")),
            (1082, DataType::Utf8, b, &[0, 0, 0, 1], Ok(ScalarValue::Date32(Some(10_958)))),
            (1082, DataType::Utf8, b, &i32::MAX.to_be_bytes(), Ok(ScalarValue::Date32(Some(i32::MAX)))),
            (1082, DataType::Utf8, b, &(i32::MAX - 1).to_be_bytes(), Err("22P03")),
            (1082, DataType::Utf8, t, b"-infinity", Ok(ScalarValue::Date32(Some(i32::MIN)))),
            (1114, DataType::Utf8, b, &i64::MIN.to_be_bytes(), instant(i64::MIN, None)),
            (1184, DataType::Utf8, t, b"infinity", instant(i64::MAX, Some("UTC"))),
            (1700, DataType::Utf8, t, b"1E+2", decimal(100, 0)),
            (1700, DataType::Utf8, t, b"-1.25e1", decimal(-125, 1)),
            (1700, DataType::Utf8, t, b"12e-3", decimal(12, 3)),
            (1700, DataType::Utf8, t, b"1e38", Err("22P02")),
            (1700, DataType::Utf8, t, b"e5", Err("22P02")),
            (1700, DataType::Utf8, t, b"-.E1", Err("22P02")),
            (1700, DataType::Utf8, t, b"1e-2147483648", Err("22P02")),
            (
                1114,
                DataType::Utf8,
                t,
                b"1970-01-01 00:00:01",
                Ok(ScalarValue::TimestampMicrosecond(Some(1_000_000), None)),
            ),
            (
                1184,
                DataType::Utf8,
                t,
                b"1970-01-01 01:00:01+01",
                Ok(ScalarValue::TimestampMicrosecond(Some(1_000_000), Some("UTC".into()))),
            ),
            (2950, DataType::Utf8, b, &[0xab; 16], text("abababab-abab-abab-abab-abababababab")),
            (3802, DataType::Utf8, b, b"\x01{}", text("{}")),
            (1009, DataType::Utf8, t, b"{a}", Err("0A000")),
            (0, DataType::Utf8, t, &[255], Err("22021")),
        ] {
            assert_eq!(read(told, wanted, format, bytes), expected, "{told} {bytes:?}");
        }
        let null = Param { told: 0, wanted: DataType::Int64 }.read(1, Format::Text, None);
        assert_eq!(null, Ok(ScalarValue::Int64(None)));
    }
}
