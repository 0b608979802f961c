//! Values as PostgreSQL writes them: `DateStyle` ISO, `IntervalStyle` postgres, floats by their shortest digits, bytes as
//! hex, time in UTC.
//!
//! Floats and times are written digit by digit: formatting machinery took most of what a COPY as text cost.

use std::io::Write as _;

use arrow::datatypes::IntervalMonthDayNano;

use crate::http::calendar::civil;

/// 2000-01-01, from which PostgreSQL counts days, as days since 1970.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;

const DAY_MICROS: i64 = 86_400_000_000;
const SECOND_MICROS: i64 = 1_000_000;

/// What Rust shows; a Vec takes all that is written.
pub(crate) fn shown(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

/// A double: `1.5`, `1e+16`, `NaN`.
pub(crate) fn float8(value: f64, out: &mut Vec<u8>) {
    float(value, (15, value.is_finite()), out);
}

/// A real.
pub(crate) fn float4(value: f32, out: &mut Vec<u8>) {
    float(value, (6, value.is_finite()), out);
}

/// Lays shortest digits out; from so many digits before the point on, and below 0.0001, with an exponent.
fn float(value: impl std::fmt::LowerExp, (digits_max, is_finite): (i32, bool), out: &mut Vec<u8>) {
    // `-2.2250738585072014e-308` is the longest.
    let mut buffer = [0; 32];
    let mut left = buffer.as_mut_slice();
    let _fits = write!(left, "{value:e}");
    let length = 32 - left.len();
    let shortest = &buffer[..length];
    if !is_finite {
        let word: &[u8] = match shortest {
            b"inf" => b"Infinity",
            b"-inf" => b"-Infinity",
            _ => b"NaN",
        };
        return out.extend_from_slice(word);
    }
    let at = shortest.iter().position(|byte| *byte == b'e').unwrap_or(shortest.len());
    let exponent = std::str::from_utf8(shortest.get(at + 1..).unwrap_or_default());
    let exponent: i32 = exponent.ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let mantissa = shortest[..at].strip_prefix(b"-").unwrap_or(&shortest[..at]);
    if mantissa.len() < at {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= digits_max {
        out.extend_from_slice(mantissa);
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        return shown(format_args!("{:02}", exponent.unsigned_abs()), out);
    }
    // The first digit, and those behind the point.
    let (first, behind) = (&mantissa[..1], mantissa.get(2..).unwrap_or_default());
    let before = usize::try_from(exponent).unwrap_or(0);
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(first);
        out.extend_from_slice(behind);
    } else if behind.len() <= before {
        out.extend_from_slice(first);
        out.extend_from_slice(behind);
        out.extend(std::iter::repeat_n(b'0', before - behind.len()));
    } else {
        out.extend_from_slice(first);
        out.extend_from_slice(&behind[..before]);
        out.push(b'.');
        out.extend_from_slice(&behind[before..]);
    }
}

/// The last digits of a number, so many.
fn digits<const COUNT: usize>(number: i64, out: &mut Vec<u8>) {
    let (mut text, mut left) = ([b'0'; COUNT], number);
    for digit in text.iter_mut().rev() {
        // A remainder of ten.
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    out.extend_from_slice(&text);
}

/// `\x0aff`.
pub(crate) fn bytea(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    bytes.iter().for_each(|byte| shown(format_args!("{byte:02x}"), out));
}

/// `2013-01-31`, of a day counted from 1970; the extremes are infinite, as they come in.
pub(crate) fn date(day: i32, out: &mut Vec<u8>) {
    if let i32::MIN | i32::MAX = day {
        return out.extend_from_slice(if day < 0 { b"-infinity" } else { b"infinity" });
    }
    let day = i64::from(day);
    let year = day_of(day, out);
    era(year, out);
}

/// `2013-01-31`, and the year with its sign.
fn day_of(day: i64, out: &mut Vec<u8>) -> i64 {
    let (year, month, day) = civil(day);
    match if year > 0 { year } else { 1 - year } {
        short @ 0..=9999 => digits::<4>(short, out),
        long => shown(long, out),
    }
    out.push(b'-');
    digits::<2>(i64::from(month), out);
    out.push(b'-');
    digits::<2>(i64::from(day), out);
    year
}

fn era(year: i64, out: &mut Vec<u8>) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// `10:00:00.5`, of microseconds since midnight.
pub(crate) fn time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, part) = (micros.div_euclid(SECOND_MICROS), micros.rem_euclid(SECOND_MICROS));
    clock(seconds, out);
    fraction(part, out);
}

/// `10:00:00`; hours may have more digits.
fn clock(seconds: i64, out: &mut Vec<u8>) {
    match seconds / 3_600 {
        short @ 0..=99 => digits::<2>(short, out),
        long => shown(long, out),
    }
    out.push(b':');
    digits::<2>(seconds / 60 % 60, out);
    out.push(b':');
    digits::<2>(seconds % 60, out);
}

/// `.5`: digits without zeros behind them.
fn fraction(micros: i64, out: &mut Vec<u8>) {
    if micros != 0 {
        out.push(b'.');
        digits::<6>(micros, out);
        out.truncate(out.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1));
    }
}

/// `2013-01-31 10:00:00.5+00`, of microseconds since 1970; the extremes are infinite.
pub(crate) fn timestamp(at: i64, has_zone: bool, out: &mut Vec<u8>) {
    if let i64::MIN | i64::MAX = at {
        return out.extend_from_slice(if at < 0 { b"-infinity" } else { b"infinity" });
    }
    let year = day_of(at.div_euclid(DAY_MICROS), out);
    out.push(b' ');
    time(at.rem_euclid(DAY_MICROS), out);
    if has_zone {
        out.extend_from_slice(b"+00");
    }
    era(year, out);
}

/// `1 year 2 mons 3 days -04:05:06.5`.
pub(crate) fn interval(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let IntervalMonthDayNano { months, days, nanoseconds } = value;
    let (start, micros) = (out.len(), nanoseconds / 1_000);
    let parts = [(months / 12, "year"), (months % 12, "mon"), (days, "day")];
    let mut is_negative = false;
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        let space = if out.len() > start { " " } else { "" };
        // After a part below zero one above says so.
        let sign = if is_negative && count > 0 { "+" } else { "" };
        let many = if count == 1 { "" } else { "s" };
        shown(format_args!("{space}{sign}{count} {unit}{many}"), out);
        is_negative = count < 0;
    }
    if micros == 0 && out.len() > start {
        return;
    }
    let space = if out.len() > start { " " } else { "" };
    let sign = if micros < 0 {
        "-"
    } else if is_negative {
        "+"
    } else {
        ""
    };
    shown(format_args!("{space}{sign}"), out);
    time(micros.saturating_abs(), out);
}

/// An element of an array: in quotes where it would be read otherwise.
pub(crate) fn element(item: &[u8], out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    if !item.is_empty() && !item.eq_ignore_ascii_case(b"null") && !item.iter().any(is_special) {
        return out.extend_from_slice(item);
    }
    out.push(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// As PostgreSQL 15 answers them.
    #[test]
    fn floats_are_postgresqls() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-2.0, "-2"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e-310, "1e-310"),
            (1e300, "1e+300"),
            (-0.001_25, "-0.00125"),
            (123.25, "123.25"),
            (12_300.0, "12300"),
            (-98_765.25, "-98765.25"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| float8(value, out)), expected);
        }
        for (value, expected) in
            [(0.1, "0.1"), (100_000.0, "100000"), (1e6, "1e+06"), (3.402_823_5e38, "3.4028235e+38")]
        {
            assert_eq!(text(|out| float4(value, out)), expected);
        }
    }

    #[test]
    fn times_leave_zeros_out_and_years_before_christ_say_so() {
        for (at, expected) in [
            (0, "1970-01-01 00:00:00"),
            (1_357_020_000_500_000, "2013-01-01 06:00:00.5"),
            (-1, "1969-12-31 23:59:59.999999"),
            (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999 BC"),
            (253_402_300_800_000_000, "10000-01-01 00:00:00"),
        ] {
            assert_eq!(text(|out| timestamp(at, false, out)), expected);
        }
        assert_eq!(text(|out| timestamp(1, true, out)), "1970-01-01 00:00:00.000001+00");
        assert_eq!(text(|out| date(-719_163, out)), "0001-12-31 BC");
        assert_eq!(text(|out| date(i32::MAX, out)), "infinity");
        assert_eq!(text(|out| timestamp(i64::MIN, true, out)), "-infinity");
    }

    #[test]
    fn intervals_are_told_in_parts() {
        for (months, days, nanos, expected) in [
            (0, 0, 0, "00:00:00"),
            (14, 3, 14_706_500_000_000, "1 year 2 mons 3 days 04:05:06.5"),
            (-1, 2, 0, "-1 mons +2 days"),
            (0, 1, -1_000_000_000, "1 day -00:00:01"),
            (0, -1, 3_600_000_000_000, "-1 days +01:00:00"),
            (0, 0, 360_000_000_000_000, "100:00:00"),
        ] {
            let value = IntervalMonthDayNano::new(months, days, nanos);
            assert_eq!(text(|out| interval(value, out)), expected);
        }
    }

    #[test]
    fn elements_are_quoted_where_they_must_be() {
        for (item, expected) in [
            ("a", "a"),
            ("", "\"\""),
            ("null", "\"null\""),
            ("a b", "\"a b\""),
            ("a\"\\", "\"a\\\"\\\\\""),
            ("{", "\"{\""),
        ] {
            assert_eq!(text(|out| element(item.as_bytes(), out)), expected);
        }
        assert_eq!(text(|out| bytea(&[0, 255], out)), "\\x00ff");
    }
}
