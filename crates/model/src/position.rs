//! Where something stands in the log: shards, sequences, positions and marks.
//!
//! Positions are numbered per (namespace, shard) from 0, without gaps (H3). A [`Mark`] says up to where
//! something has been taken in; the mark of a shard that nothing came from is −1.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// How many shards a lake has unless it was created with another number. Fixed for ever at creation.
pub const SHARDS_DEFAULT: u16 = 16;

/// A numbered sequence of events inside the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

/// The number of an event in its shard, from 0. `-1` stands before all.
pub type Seq = i64;

/// The sequence before all.
pub const BEFORE_ALL: Seq = -1;

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run of positions of one shard, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Positions {
    /// The shard.
    pub shard: Shard,
    /// The first sequence.
    pub first: Seq,
    /// The last sequence.
    pub last: Seq,
}

impl Positions {
    /// How many positions the run holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.last - self.first + 1).unwrap_or(0)
    }
}

/// Up to where something has been taken in: the last sequence of every shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(BTreeMap<Shard, Seq>);

impl Mark {
    /// The mark of one shard alone.
    #[must_use]
    pub fn of(shard: Shard, seq: Seq) -> Self {
        let mut mark = Self::default();
        mark.raise(shard, seq);
        mark
    }

    /// The last sequence taken in of this shard, [`BEFORE_ALL`] if none.
    #[must_use]
    pub fn seq(&self, shard: Shard) -> Seq {
        self.0.get(&shard).copied().unwrap_or(BEFORE_ALL)
    }

    /// Whether the position has been taken in.
    #[must_use]
    pub fn covers(&self, shard: Shard, seq: Seq) -> bool {
        seq <= self.seq(shard)
    }

    /// Whether everything that `other` has taken in has been taken in here.
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        other.0.iter().all(|(shard, seq)| self.covers(*shard, *seq))
    }

    /// Moves the mark of a shard forward; never back.
    pub fn raise(&mut self, shard: Shard, seq: Seq) {
        if seq > self.seq(shard) {
            self.0.insert(shard, seq);
        }
    }

    /// Moves every shard forward to where the other stands.
    pub fn raise_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(shard, seq)| self.raise(*shard, *seq));
    }

    /// Reads what [`fmt::Display`] writes: `3:120098,9:5`. Nothing is the mark before all.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut mark = Self::default();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (shard, seq) = part.split_once(':')?;
            let seq = seq.parse().ok().filter(|seq| *seq >= 0)?;
            mark.raise(Shard(shard.parse().ok()?), seq);
        }
        Some(mark)
    }

    /// The shards with something taken in, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Shard, Seq)> + '_ {
        self.0.iter().map(|(shard, seq)| (*shard, *seq))
    }

    /// Whether nothing has been taken in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (shard, seq)) in self.iter().enumerate() {
            write!(f, "{}{shard}:{seq}", if nth == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mut mark = Mark::of(Shard(9), 5);
        mark.raise(Shard(3), 120_098);
        assert_eq!(mark.to_string(), "3:120098,9:5");
        assert_eq!(Mark::parse("3:120098,9:5"), Some(mark));
        assert_eq!(Mark::parse(""), Some(Mark::default()));
        for text in [",", "3", "3:", "3:-1", "a:1", "3:1,", "70000:1", "3:99999999999999999999"] {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_mark_only_grows() {
        let mut mark = Mark::of(Shard(3), 7);
        mark.raise(Shard(3), 5);
        mark.raise(Shard(1), 0);
        assert_eq!((mark.seq(Shard(3)), mark.seq(Shard(1)), mark.seq(Shard(0))), (7, 0, BEFORE_ALL));
        assert!(mark.reaches(&Mark::of(Shard(3), 6)) && !mark.reaches(&Mark::of(Shard(2), 0)));
        assert!(mark.covers(Shard(1), 0) && !mark.covers(Shard(1), 1));
    }
}
