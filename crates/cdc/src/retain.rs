//! Which bases stay: a pure function.
//!
//! Older states are what questions about the past start from. When they take more bytes than a collection may have,
//! the one goes whose neighbours lie closest together by the changes between them, so that no instant is far from a
//! base; bases share files, and a file counts once. The horizon of a history window stays whatever it costs: without it the
//! first instants of the window could not be answered.

use std::collections::HashMap;

use tidemark_catalog::Base;
use tidemark_model::Seq;

/// The newest bases that always stay: the current state, and the one that running queries may still read.
pub const NEWEST_KEPT: usize = 2;

/// Thins bases, oldest first, to a budget of bytes and a number; the newest two and the horizon always stay.
#[must_use]
pub fn retain(mut bases: Vec<Base>, (bytes_max, count_max): (u64, usize), horizon: Option<Seq>) -> Vec<Base> {
    let mut uses = uses(&bases);
    let kept = usize::from(horizon.is_some() && bases.first().map(|base| base.mark) == horizon);
    let mut bytes: u64 = uses.values().map(|(bytes, _)| bytes).sum();
    while bases.len() > NEWEST_KEPT + kept && (bytes > bytes_max || bases.len() > count_max) {
        let gone = bases.remove(closest(&bases, kept));
        for path in paths(&gone) {
            if let Some((size, count)) = uses.get_mut(path) {
                *count -= 1;
                if *count == 0 {
                    bytes -= *size;
                }
            }
        }
    }
    bases
}

/// The base that is missed least: the fewest changes lie between its neighbours. Before the first stands the empty one.
fn closest(bases: &[Base], kept: usize) -> usize {
    let candidates = kept..bases.len() - NEWEST_KEPT;
    let gap = |at: &usize| {
        let before = at.checked_sub(1).map_or(0, |before| bases[before].changes);
        bases[at + 1].changes.saturating_sub(before)
    };
    candidates.min_by_key(gap).unwrap_or(kept)
}

fn paths(base: &Base) -> impl Iterator<Item = &str> {
    base.parts.iter().chain(&base.tombstones).map(|file| file.path.as_str())
}

/// Bytes of every file and how many bases refer to it.
fn uses(bases: &[Base]) -> HashMap<String, (u64, usize)> {
    let mut uses = HashMap::new();
    for file in bases.iter().flat_map(|base| base.parts.iter().chain(&base.tombstones)) {
        uses.entry(file.path.clone()).or_insert((file.bytes, 0)).1 += 1;
    }
    uses
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::manifest::{BaseFile, Range};
    use tidemark_model::{DocSchema, Instant};

    use super::*;

    fn base(changes: u64, parts: &[&str]) -> Base {
        let part = |path: &&str| BaseFile {
            path: (*path).to_owned(),
            rows: 1,
            bytes: 10,
            sha256: String::new(),
            id: Range { min: "a".to_owned(), max: "b".to_owned() },
        };
        Base {
            planned_on: 0,
            mark: i64::try_from(changes).expect("small"),
            system_time: Instant::from_micros(0),
            max_ts: Instant::from_micros(0),
            max_bookmark: None,
            rows: 1,
            changes,
            parts: parts.iter().map(part).collect(),
            tombstones: Vec::new(),
            schema: DocSchema::default(),
            bound: None,
        }
    }

    fn kept(bases: Vec<Base>, bytes_max: u64, count_max: usize) -> Vec<u64> {
        retain(bases, (bytes_max, count_max), None).iter().map(|base| base.changes).collect()
    }

    #[test]
    fn the_closest_go_first_and_the_newest_two_stay() {
        let all = || [100, 110, 200, 300, 310].map(|n| base(n, &[n.to_string().as_str()])).to_vec();
        for (bytes_max, count_max, expected) in [
            (50, 9, &[100, 110, 200, 300, 310][..]),
            (40, 9, &[100, 200, 300, 310]),
            (30, 9, &[200, 300, 310]),
            (20, 9, &[300, 310]),
            (0, 9, &[300, 310]),
            (u64::MAX, 3, &[200, 300, 310]),
            (u64::MAX, 0, &[300, 310]),
        ] {
            assert_eq!(kept(all(), bytes_max, count_max), expected, "{bytes_max}, {count_max}");
        }
        assert_eq!(kept(vec![base(1, &["a"])], 0, 0), [1]);
        assert!(kept(Vec::new(), 0, 0).is_empty());
    }

    #[test]
    fn the_horizon_stays() {
        let bases = [100, 110, 200, 300].map(|n| base(n, &[n.to_string().as_str()])).to_vec();
        let left = retain(bases, (0, 0), Some(100));
        assert_eq!(left.iter().map(|base| base.changes).collect::<Vec<_>>(), [100, 200, 300]);
    }

    #[test]
    fn shared_files_count_once() {
        let bases = vec![base(1, &["a", "b"]), base(2, &["a", "c"]), base(3, &["a", "d"])];
        assert_eq!(kept(bases.clone(), 40, 9), [1, 2, 3]);
        assert_eq!(kept(bases, 39, 9), [2, 3]);
    }

    /// Long histories keep bases spread over all changes.
    #[test]
    fn no_instant_is_far_from_a_base() {
        let mut bases = Vec::new();
        for n in 1..=1000u64 {
            bases.push(base(n * 100, &[n.to_string().as_str()]));
            bases = retain(bases, (200, usize::MAX), None);
        }
        let marks: Vec<u64> = std::iter::once(0).chain(bases.iter().map(|base| base.changes)).collect();
        let widest = marks.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(bases.len() == 20 && widest.is_some_and(|gap| gap <= 100 * 1000 / 20 * 4), "{marks:?}");
    }
}
