//! The calendar, in UTC: hours, days and months, the instants they end at and the names they have.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};

use crate::Instant;

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// From minute 0 to minute 59.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first day to the last.
    Month,
}

impl Unit {
    /// The last microsecond of the unit that holds an instant.
    #[must_use]
    pub fn end(self, at: Instant) -> Instant {
        self.next(at).map_or(Instant::MAX, |next| Instant::from_micros(next.and_utc().timestamp_micros() - 1))
    }

    /// The first microsecond of the unit after the one that holds an instant.
    fn next(self, at: Instant) -> Option<NaiveDateTime> {
        let civil = civil(at)?;
        let day = civil.date();
        match self {
            Self::Hour => Some(day.and_hms_opt(civil.hour(), 0, 0)? + chrono::TimeDelta::hours(1)),
            Self::Day => day.succ_opt()?.and_hms_opt(0, 0, 0),
            Self::Month => {
                let first = NaiveDate::from_ymd_opt(day.year(), day.month(), 1)?;
                first.checked_add_months(Months::new(1))?.and_hms_opt(0, 0, 0)
            }
        }
    }

    /// The unit that holds an instant, by name: `2026-02-02T14`, `2026-02-02`, `2026-02`.
    #[must_use]
    pub fn name(self, at: Instant) -> String {
        let format = match self {
            Self::Hour => "%Y-%m-%dT%H",
            Self::Day => "%Y-%m-%d",
            Self::Month => "%Y-%m",
        };
        civil(at).map_or_else(|| "0000".to_owned(), |at| at.format(format).to_string())
    }
}

fn civil(at: Instant) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(at.micros()).map(|at| at.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_end_at_their_last_microsecond_and_have_names() {
        for (at, unit, end, name) in [
            ("2024-02-28T23:59:59.999999Z", Unit::Day, "2024-02-28T23:59:59.999999Z", "2024-02-28"),
            ("2024-02-28T00:00:00Z", Unit::Month, "2024-02-29T23:59:59.999999Z", "2024-02"),
            ("2023-12-31T12:00:00Z", Unit::Month, "2023-12-31T23:59:59.999999Z", "2023-12"),
            ("2023-12-31T23:00:00Z", Unit::Hour, "2023-12-31T23:59:59.999999Z", "2023-12-31T23"),
            ("1969-12-31T22:10:00Z", Unit::Hour, "1969-12-31T22:59:59.999999Z", "1969-12-31T22"),
        ] {
            let at = Instant::parse(at).expect("an instant");
            assert_eq!((unit.end(at).to_string().as_str(), unit.name(at).as_str()), (end, name));
        }
        assert_eq!(Unit::Month.end(Instant::MAX), Instant::MAX);
    }
}
