//! Chance with a seed, so that what failed once can be made to fail again.

use tidemark_model::Ids;

/// A seeded generator.
#[derive(Debug)]
pub struct Chance(Ids);

impl Chance {
    /// The same seed gives the same choices.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let chance = Self(Ids::seeded((u128::from(mixed) << 64) | u128::from(!mixed)));
        (0..4).for_each(|_| _ = chance.0.random());
        chance
    }

    /// A number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        // The upper bits: the lowest ones of this generator are weak.
        (self.0.random() >> 16) % end.max(1)
    }

    /// An index into something of this length.
    #[must_use]
    pub fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True in so many cases of a hundred.
    #[must_use]
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several; `None` of none.
    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }

    /// Puts everything in a random order.
    pub fn shuffle<T>(&self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.index(at + 1));
        }
    }
}
