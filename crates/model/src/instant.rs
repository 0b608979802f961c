//! Instants: microseconds since 1970 in UTC, the only resolution of time in the lake.
//!
//! Shown as RFC 3339 with exactly six digits and `Z`; read as RFC 3339 with a zone, or as epoch milliseconds.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

/// Why a text or number is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Not RFC 3339 with a zone.
    #[error("{0:?} is not an instant: use RFC 3339 with a zone, such as 2013-01-01T06:00:00Z, or epoch milliseconds")]
    Text(String),
    /// Outside the years 0001 to 9999.
    #[error("the instant lies outside the years 0001 to 9999")]
    Range,
}

impl Instant {
    /// The first instant that can be written: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last instant that can be written: 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds that are known to be in range (they come from a clock or a file of ours).
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From epoch milliseconds, as JavaScript sends them.
    ///
    /// # Errors
    /// [`InstantError::Range`] outside the years 0001 to 9999.
    pub fn from_millis(millis: i64) -> Result<Self, InstantError> {
        millis.checked_mul(1000).ok_or(InstantError::Range).and_then(|micros| Self(micros).checked())
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant moved by some microseconds; stays inside what can be written.
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros)).clamp(Self::MIN, Self::MAX)
    }

    /// Reads RFC 3339 with a zone. Digits beyond microseconds are cut off.
    ///
    /// # Errors
    /// [`InstantError::Text`] when the text is something else, [`InstantError::Range`] for far years.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        if let Some(instant) = canonical(text.as_bytes()) {
            return Ok(instant);
        }
        let at = DateTime::parse_from_rfc3339(text)
            .map_err(|_unreadable| InstantError::Text(text.chars().take(60).collect()))?;
        Self(at.timestamp_micros()).checked()
    }

    fn checked(self) -> Result<Self, InstantError> {
        if (Self::MIN..=Self::MAX).contains(&self) { Ok(self) } else { Err(InstantError::Range) }
    }

    fn civil(self) -> Option<NaiveDateTime> {
        DateTime::from_timestamp_micros(self.0).map(|at| at.naive_utc())
    }

    /// Hour path of this instant in UTC: `2026/02/02/14`.
    #[must_use]
    pub fn hour_path(self) -> String {
        self.civil().map_or_else(|| "0000/00/00/00".to_owned(), |at| at.format("%Y/%m/%d/%H").to_string())
    }

    /// Minute for the readable part of a file name: `2026-02-02T14-30`.
    #[must_use]
    pub fn minute_name(self) -> String {
        self.civil().map_or_else(|| "0000-00-00T00-00".to_owned(), |at| at.format("%Y-%m-%dT%H-%M").to_string())
    }
}

/// The common spelling `YYYY-MM-DDTHH:MM:SS[.f{1,6}]Z` without the general parser: this is read once per event.
fn canonical(text: &[u8]) -> Option<Instant> {
    let number = |from: usize, to: usize| {
        text.get(from..to)?.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !(20..=27).contains(&text.len())
        || text.last() != Some(&b'Z')
        || separators.iter().any(|(at, c)| text[*at] != *c)
    {
        return None;
    }
    let fraction = match text.len() {
        20 => 0,
        21 => return None,
        n if text[19] == b'.' => number(20, n - 1)? * 10u32.pow(u32::try_from(27 - n).ok()?),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 7)?, number(8, 10)?)?;
    let at = date.and_hms_micro_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, fraction)?;
    Instant(at.and_utc().timestamp_micros()).checked().ok()
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc_3339_and_shows_six_digits() {
        for (text, shown) in [
            ("2013-01-01T06:00:00Z", "2013-01-01T06:00:00.000000Z"),
            ("2013-01-01T06:00:00.1Z", "2013-01-01T06:00:00.100000Z"),
            ("2013-01-01T06:00:00.123456Z", "2013-01-01T06:00:00.123456Z"),
            ("2013-01-01T06:00:00.123456789Z", "2013-01-01T06:00:00.123456Z"),
            ("2013-01-01T01:00:00-05:00", "2013-01-01T06:00:00.000000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Instant::parse(text).map(|t| t.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_zone_or_is_no_date() {
        for text in [
            "",
            "2013-01-01",
            "2013-01-01T06:00:00",
            "2013-02-30T06:00:00Z",
            "2013-01-01T25:00:00Z",
            "yesterday",
            "2013-01-01T06:00:00.Z",
            "2013-01-01T06:00:0éZ",
        ] {
            assert!(matches!(Instant::parse(text), Err(InstantError::Text(_))), "{text}");
        }
        assert_eq!(Instant::from_millis(i64::MAX), Err(InstantError::Range));
    }

    #[test]
    fn bounds_are_what_can_be_written() {
        assert_eq!(Instant::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Instant::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Instant::MAX.plus_micros(1), Instant::MAX);
    }
}
