//! How long the past is kept: what somebody said of a collection, or of a namespace as the default of its collections.

use serde::{Deserialize, Serialize};

use crate::CollectionName;

/// The longest history window: a hundred years, in seconds. Zero is for ever.
pub const WINDOW_S_MAX: u64 = 100 * 366 * 86_400;
/// The most daily snapshots that stay.
pub const DAILY_MAX: u64 = 10_000;
/// The most monthly snapshots that stay.
pub const MONTHLY_MAX: u64 = 1200;

/// What was said; what was not is as the wider default says: the namespace's, then the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// How long every change is kept, seconds; 0 is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_window_s: Option<u64>,
    /// How many daily snapshots stay; 0 takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<u64>,
    /// How many monthly snapshots stay; 0 takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u64>,
}

/// A retention as the catalog stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Of which collection; without one of all in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionName>,
    /// What was said; nothing says that the wider default holds.
    pub retention: Retention,
}

/// A number that no retention has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} = {value} is too much: at most {max}, and 0 {nothing}")]
pub struct TooMuch {
    name: &'static str,
    value: u64,
    max: u64,
    nothing: &'static str,
}

impl Retention {
    /// With what is not said here taken from a wider default.
    #[must_use]
    pub fn or(self, wider: Self) -> Self {
        Self {
            history_window_s: self.history_window_s.or(wider.history_window_s),
            daily: self.daily.or(wider.daily),
            monthly: self.monthly.or(wider.monthly),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`TooMuch`] names the first that is.
    pub fn checked(self) -> Result<Self, TooMuch> {
        for (name, value, max, nothing) in [
            ("history_window_s", self.history_window_s, WINDOW_S_MAX, "keeps every change for ever"),
            ("daily", self.daily, DAILY_MAX, "takes none"),
            ("monthly", self.monthly, MONTHLY_MAX, "takes none"),
        ] {
            if let Some(value) = value.filter(|value| *value > max) {
                return Err(TooMuch { name, value, max, nothing });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_wins_and_the_rest_is_as_wider() {
        let (none, all) =
            (Retention::default(), |n| Retention { history_window_s: Some(n), daily: Some(n), monthly: Some(n) });
        let daily = Retention { daily: Some(7), ..none };
        assert_eq!(daily.or(all(1)), Retention { daily: Some(7), ..all(1) });
        assert_eq!(none.or(all(1)), all(1));
        assert_eq!(all(0).or(all(1)), all(0), "zero is said");
        assert!(none.is_nothing() && !daily.is_nothing());
    }

    #[test]
    fn numbers_have_limits() {
        for (retention, is_good) in [
            (Retention { history_window_s: Some(WINDOW_S_MAX), daily: Some(0), monthly: None }, true),
            (Retention { history_window_s: Some(WINDOW_S_MAX + 1), ..Retention::default() }, false),
            (Retention { daily: Some(DAILY_MAX + 1), ..Retention::default() }, false),
            (Retention { monthly: Some(u64::MAX), ..Retention::default() }, false),
        ] {
            assert_eq!(retention.checked().is_ok(), is_good, "{retention:?}");
        }
    }
}
