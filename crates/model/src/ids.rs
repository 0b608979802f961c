//! Unique identifiers from a seed that is passed in: writers, files, puts and events without an id of their own.

use std::sync::Mutex;

use ulid::Ulid;

use crate::Instant;

/// Makes identifiers that sort by time and never repeat within a process; the seed keeps processes apart.
#[derive(Debug)]
pub struct Ids(Mutex<State>);

#[derive(Debug)]
struct State {
    random: [u64; 2],
    last: u128,
}

impl Ids {
    /// Seeds the generator. Production passes random bytes of the operating system, tests a number.
    #[must_use]
    pub fn seeded(seed: u128) -> Self {
        let low = u64::try_from(seed & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(seed >> 64).unwrap_or(0);
        Self(Mutex::new(State { random: [low, high ^ 0x9E37_79B9_7F4A_7C15], last: 0 }))
    }

    /// A ULID of the given instant, above every one given before.
    #[must_use]
    pub fn ulid(&self, at: Instant) -> Ulid {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
        let random = (u128::from(state.next()) << 64) | u128::from(state.next());
        let fresh = u128::from(Ulid::from_parts(millis, random));
        state.last = fresh.max(state.last + 1);
        Ulid::from(state.last)
    }

    /// 64 random bits, for jitter and sampling.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next()
    }
}

impl State {
    /// xoroshiro128+ (Blackman and Vigna): small, fast, and no secret depends on it.
    fn next(&mut self) -> u64 {
        let [a, mut b] = self.random;
        let result = a.wrapping_add(b);
        b ^= a;
        self.random = [a.rotate_left(24) ^ b ^ (b << 16), b.rotate_left(37)];
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids_ascend_also_when_the_clock_steps_back() {
        let ids = Ids::seeded(1);
        let at = [5_000_000, 5_000_000, 1_000, 6_000_000].map(|t| ids.ulid(Instant::from_micros(t)));
        assert!(at.is_sorted_by(|a, b| a < b));
        assert_ne!(Ids::seeded(2).ulid(Instant::from_micros(5_000_000)), at[0]);
    }
}
