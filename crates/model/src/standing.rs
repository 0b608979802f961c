//! Whether a namespace or a collection is there. What is dropped can be brought back until it is erased; then its name is free.

use serde::{Deserialize, Serialize};

use crate::{CollectionName, Instant};

/// The longest grace of a drop: ten years, in seconds.
pub const GRACE_S_MAX: u64 = 10 * 366 * 86_400;

/// What became of a namespace or a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is there.
    #[default]
    Live,
    /// Nobody sees it or adds to it. It stays as it is, and can be brought back, until it is erased.
    Dropped {
        /// When it was dropped, by the wall clock.
        at: Instant,
        /// From when on it may be erased.
        until: Instant,
    },
    /// It is being erased and cannot be brought back.
    Erasing,
    /// Nothing of it is left. Whatever was acknowledged later makes it anew, under the same name.
    Erased {
        /// The system time up to which everything was erased.
        at: Instant,
    },
}

impl Standing {
    /// Whether it can be asked and added to.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// Whether its grace is over.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        matches!(self, Self::Dropped { until, .. } if *until <= now)
    }

    /// Whether an append of this system time makes it anew.
    #[must_use]
    pub fn begins_anew(&self, at: Instant) -> bool {
        matches!(self, Self::Erased { at: erased } if *erased < at)
    }
}

/// A standing as the catalog stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stood {
    /// Of which collection; without one of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionName>,
    /// What became of it.
    pub standing: Standing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_ends_and_a_name_begins_anew_with_what_comes_later() {
        let at = Instant::from_micros;
        let dropped = Standing::Dropped { at: at(5), until: at(9) };
        assert_eq!([8, 9, 10].map(|now| dropped.is_due(at(now))), [false, true, true]);
        let erased = Standing::Erased { at: at(20) };
        assert_eq!([19, 20, 21].map(|append| erased.begins_anew(at(append))), [false, false, true]);
        for other in [Standing::Live, Standing::Erasing, dropped] {
            assert!(!other.begins_anew(at(99)));
        }
        let json = serde_json::to_string(&dropped).expect("JSON");
        assert_eq!(json, r#"{"dropped":{"at":5,"until":9}}"#);
    }
}
