//! The wall clock and the seed of identifiers: the only time and the only chance that enter the lake from outside.

use std::hash::{BuildHasher, RandomState};

use tidemark_model::{Clock, Ids, Instant};

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Instant {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Instant::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Identifiers seeded from the randomness that the operating system gives to hash maps: two keyed hashes are 128 bits
/// that differ from process to process.
#[must_use]
pub fn random_ids() -> Ids {
    let keys = RandomState::new();
    let (high, low) = (keys.hash_one("tidemark ids, high"), keys.hash_one("tidemark ids, low"));
    Ids::seeded((u128::from(high) << 64) | u128::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_lives_in_this_century_and_seeds_differ() {
        let now = SystemClock.now();
        assert!(now > Instant::parse("2020-01-01T00:00:00Z").expect("an instant"), "{now}");
        assert_ne!(random_ids().random(), random_ids().random());
    }
}
