//! Changes: what happened to one document, and which of two changes wins (time.md, section 2).

use std::fmt;

use crate::{Instant, Seq};

/// What a change does to its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Sets the document to the given image; also one that exists.
    Insert,
    /// Sets the document to the given image; also one that does not exist.
    Update,
    /// Removes the document; also one that never existed.
    Delete,
}

impl Op {
    /// The word of the operation in envelopes, columns and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Reads the word of an operation.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|op| op.as_str() == text)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The total order of the changes of one document; the greatest one that counts is the winner.
///
/// The fields compare from first to last, so the derived order *is* the rule: source time, then bookmark (absent
/// below empty, compared as bytes), then arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey<'a> {
    /// Source time: when the change happened, as the source says.
    pub ts: Instant,
    /// The source's own order inside one instant.
    pub bookmark: Option<&'a str>,
    /// System time: when the lake acknowledged it.
    pub system_time: Instant,
    /// The position in the collection's shard.
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ts: i64, bookmark: Option<&str>, system_time: i64, seq: Seq) -> OrderKey<'_> {
        OrderKey { ts: Instant::from_micros(ts), bookmark, system_time: Instant::from_micros(system_time), seq }
    }

    #[test]
    fn order_is_source_time_then_bookmark_then_arrival() {
        let ascending = [
            key(1, Some("9"), 9, 9),
            key(2, None, 8, 8),
            key(2, None, 9, 9),
            key(2, Some(""), 1, 1),
            key(2, Some("0001"), 1, 1),
            key(2, Some("0002"), 1, 0),
            key(2, Some("0002"), 1, 1),
        ];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn words_of_operations_round_trip() {
        for op in [Op::Insert, Op::Update, Op::Delete] {
            assert_eq!(Op::parse(op.as_str()), Some(op));
        }
        assert_eq!(Op::parse("upsert"), None);
    }
}
