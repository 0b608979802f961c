//! Dates, times and instants as text, straight into a byte buffer: an answer may hold millions of them.
//!
//! RFC 3339 with six digits, nine only where a column counts nanoseconds and the value has some. Years outside 0000
//! to 9999 are written with their sign, as ISO 8601 extends them.

use std::io::Write as _;

const DAY_S: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// Writes two digits.
fn two(n: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]);
}

/// Year, month and day of a day number counted from 1970-01-01 (proleptic Gregorian; Hinnant's algorithm).
pub(crate) fn civil(day: i64) -> (i64, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day_of_month as u32)
}

/// `YYYY-MM-DD` of a day number counted from 1970-01-01.
pub(crate) fn date(day: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(day);
    if (0..=9999).contains(&year) {
        two((year / 100) as u32, out);
        two((year % 100) as u32, out);
    } else {
        let _ = write!(out, "{year:+05}"); // a Vec takes all that is written
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

/// `HH:MM:SS.ffffff` of nanoseconds since midnight.
pub(crate) fn time(nanos: i64, out: &mut Vec<u8>) {
    let seconds = nanos.div_euclid(NANOS);
    two((seconds / 3_600) as u32, out);
    out.push(b':');
    two((seconds / 60 % 60) as u32, out);
    out.push(b':');
    two((seconds % 60) as u32, out);
    fraction(nanos.rem_euclid(NANOS) as u32, out);
}

/// `.ffffff`, or nine digits where six do not hold it.
fn fraction(nanos: u32, out: &mut Vec<u8>) {
    let micros = nanos / 1_000;
    out.push(b'.');
    two(micros / 10_000, out);
    two(micros / 100, out);
    two(micros, out);
    if !nanos.is_multiple_of(1_000) {
        let _ = write!(out, "{:03}", nanos % 1_000);
    }
}

/// `YYYY-MM-DDTHH:MM:SS.ffffff` of `count` units since 1970, `per_second` of them in a second.
pub(crate) fn timestamp(count: i64, per_second: i64, out: &mut Vec<u8>) {
    let seconds = count.div_euclid(per_second);
    let nanos = count.rem_euclid(per_second) * (NANOS / per_second);
    date(seconds.div_euclid(DAY_S), out);
    out.push(b'T');
    time(seconds.rem_euclid(DAY_S) * NANOS + nanos, out);
}

/// An ISO 8601 duration: `P14M3DT4.500000000S`; parts that are zero are left out, `PT0S` when all are.
pub(crate) fn duration(months: i64, days: i64, nanos: i128, out: &mut Vec<u8>) {
    out.push(b'P');
    for (n, unit) in [(months, 'M'), (days, 'D')] {
        if n != 0 {
            let _ = write!(out, "{n}{unit}");
        }
    }
    if nanos != 0 || (months == 0 && days == 0) {
        let sign = if nanos < 0 { "-" } else { "" };
        let (seconds, part) = (nanos.unsigned_abs() / 1_000_000_000, (nanos.unsigned_abs() % 1_000_000_000) as u32);
        let _ = write!(out, "T{sign}{seconds}");
        if part != 0 {
            fraction(part, out);
        }
        out.push(b'S');
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat};

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_day_is_the_calendars() {
        for day in (-719_528..2_932_897).step_by(61) {
            let expected = DateTime::from_timestamp(day * DAY_S, 0).unwrap().date_naive().to_string();
            assert_eq!(text(|out| date(day, out)), expected);
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_with_six_digits() {
        for micros in [0, 1, -1, 1_357_020_000_123_456, -62_135_596_800_000_000, 253_402_300_799_999_999] {
            let expected =
                DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true);
            assert_eq!(text(|out| timestamp(micros, 1_000_000, out)) + "Z", expected);
        }
        for (count, per_second, expected) in [
            (1, 1, "1970-01-01T00:00:01.000000"),
            (-1, 1_000, "1969-12-31T23:59:59.999000"),
            (1_500, 1_000_000_000, "1970-01-01T00:00:00.000001500"),
            (2_000, 1_000_000_000, "1970-01-01T00:00:00.000002"),
            (253_402_300_800, 1, "+10000-01-01T00:00:00.000000"),
            (-62_198_755_200, 1, "-0001-01-01T00:00:00.000000"),
        ] {
            assert_eq!(text(|out| timestamp(count, per_second, out)), expected);
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert!(!text(|out| timestamp(extreme, 1, out)).is_empty());
        }
    }

    #[test]
    fn durations_leave_out_what_is_zero() {
        for (months, days, nanos, expected) in [
            (0, 0, 0, "PT0S"),
            (14, 0, 0, "P14M"),
            (0, -3, 0, "P-3D"),
            (1, 2, 3_000_000_000, "P1M2DT3S"),
            (0, 0, -1_500_000_000, "PT-1.500000S"),
            (0, 0, 1, "PT0.000000001S"),
        ] {
            assert_eq!(text(|out| duration(months, days, nanos, out)), expected);
        }
    }
}
