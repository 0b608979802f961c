//! The oracle: the list of acknowledged changes, and the fold of time.md, section 2, taken literally.
//!
//! Nothing here is shared with the product but the nouns: no order key, no Arrow, no SQL. It is slow and short, so that
//! it can be read and believed.

use std::collections::BTreeMap;

use tidemark_model::Instant;

/// A change that was acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledged {
    /// When the lake acknowledged it.
    pub system_time: Instant,
    /// Its place among all acknowledged changes of the collection.
    pub order: u64,
    /// When it happened, as its source says; absent is the system time.
    pub ts: Option<Instant>,
    /// The source's order inside one instant.
    pub bookmark: Option<String>,
    /// The key of its document.
    pub id: String,
    /// The image, `None` for a delete.
    pub doc: Option<String>,
}

/// What counts: both bounds inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// `FOR SYSTEM_TIME AS OF`.
    pub system_time: Option<Instant>,
    /// `FOR VALID_TIME AS OF`.
    pub valid_time: Option<Instant>,
}

impl Asked {
    /// Whether a change counts.
    #[must_use]
    pub fn counts(&self, change: &Acknowledged) -> bool {
        let ts = change.ts.unwrap_or(change.system_time);
        self.system_time.is_none_or(|t| change.system_time <= t) && self.valid_time.is_none_or(|v| ts <= v)
    }
}

/// Every acknowledged change of one collection.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    changes: Vec<Acknowledged>,
}

impl Oracle {
    /// Takes a change in, in the order of acknowledgement.
    pub fn take(&mut self, change: Acknowledged) {
        self.changes.push(change);
    }

    /// Every change, in the order of acknowledgement.
    #[must_use]
    pub fn changes(&self) -> &[Acknowledged] {
        &self.changes
    }

    /// The documents by key.
    #[must_use]
    pub fn fold(&self, asked: &Asked) -> BTreeMap<String, String> {
        let mut winners: BTreeMap<&str, &Acknowledged> = BTreeMap::new();
        for change in &self.changes {
            if !asked.counts(change) {
                continue;
            }
            match winners.get(change.id.as_str()) {
                Some(winner) if wins(winner, change) => {}
                _ => drop(winners.insert(&change.id, change)),
            }
        }
        let live = winners.into_iter().filter_map(|(id, winner)| Some((id.to_owned(), winner.doc.clone()?)));
        live.collect()
    }
}

/// A change with an end: where it holds, half-open on both clocks (time.md, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The key of its document.
    pub id: String,
    /// The image, `None` for a delete.
    pub doc: Option<String>,
    /// The image that the change found.
    pub prev: Option<String>,
    /// From this source time on.
    pub valid_from: Instant,
    /// Up to here, excluded.
    pub valid_to: Option<Instant>,
    /// From this system time on.
    pub system_from: Instant,
    /// Up to here, excluded.
    pub system_to: Option<Instant>,
}

impl Oracle {
    /// Every version row of the changes that count, deletes included, by the words of the definition.
    #[must_use]
    pub fn versions(&self, asked: &Asked) -> Vec<Version> {
        let ts = |change: &Acknowledged| change.ts.unwrap_or(change.system_time);
        let counts = |change: &&Acknowledged| {
            asked.system_time.is_none_or(|t| change.system_time <= t)
                && asked.valid_time.is_none_or(|v| ts(change) <= v)
        };
        let counting: Vec<&Acknowledged> = self.changes.iter().filter(counts).collect();
        let mut versions = Vec::new();
        for c in &counting {
            let of_document = || counting.iter().filter(|other| other.id == c.id && other.order != c.order);
            let greater: Vec<&&Acknowledged> = of_document().filter(|other| wins(other, c)).collect();
            let found = of_document().filter(|other| !wins(other, c) && other.system_time <= c.system_time);
            let found = found.reduce(|best, other| if wins(other, best) { other } else { best });
            let mut ends: Vec<Option<Instant>> =
                greater.iter().map(|other| ts(other)).filter(|e| *e > ts(c)).map(Some).collect();
            ends.sort_unstable();
            ends.dedup();
            ends.push(None);
            for end in ends {
                let at_end = greater.iter().filter(|other| Some(ts(other)) == end).map(|other| other.system_time).min();
                let before_end = greater.iter().filter(|other| end.is_none_or(|end| ts(other) < end));
                let (system_from, system_to) = (
                    at_end.map_or(c.system_time, |least| least.max(c.system_time)),
                    before_end.map(|o| o.system_time).min(),
                );
                if system_to.is_none_or(|to| system_from < to) {
                    versions.push(Version {
                        id: c.id.clone(),
                        doc: c.doc.clone(),
                        prev: found.and_then(|found| found.doc.clone()),
                        valid_from: ts(c),
                        valid_to: end,
                        system_from,
                        system_to,
                    });
                }
            }
        }
        versions.sort();
        versions
    }
}

/// Whether the first wins over the second: later source time; then the greater bookmark as bytes, absent below empty;
/// then later system time; then later arrival.
fn wins(a: &Acknowledged, b: &Acknowledged) -> bool {
    let bookmark = |change: &Acknowledged| change.bookmark.as_ref().map(|text| text.as_bytes().to_vec());
    let ts = |change: &Acknowledged| change.ts.unwrap_or(change.system_time);
    if ts(a) != ts(b) {
        return ts(a) > ts(b);
    }
    if bookmark(a) != bookmark(b) {
        return bookmark(a) > bookmark(b);
    }
    (a.system_time, a.order) > (b.system_time, b.order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(order: u64, ts: i64, bookmark: Option<&str>, doc: Option<&str>) -> Acknowledged {
        Acknowledged {
            system_time: Instant::from_micros(100 + i64::try_from(order).unwrap()),
            order,
            ts: Some(Instant::from_micros(ts)),
            bookmark: bookmark.map(str::to_owned),
            id: "a".into(),
            doc: doc.map(str::to_owned),
        }
    }

    #[test]
    fn the_rule_of_section_2() {
        let mut oracle = Oracle::default();
        oracle.take(change(0, 10, None, Some("first")));
        oracle.take(change(1, 5, None, Some("late")));
        oracle.take(change(2, 10, None, Some("tied, later arrival")));
        oracle.take(change(3, 10, Some(""), None));
        oracle.take(change(4, 10, None, Some("below the bookmark")));
        for (t, v, expected) in [
            (None, None, None),
            (Some(102), None, Some("tied, later arrival")),
            (Some(101), None, Some("first")),
            (None, Some(9), Some("late")),
            (Some(100), Some(9), None),
            (None, Some(4), None),
            (Some(99), None, None),
        ] {
            let asked = Asked { system_time: t.map(Instant::from_micros), valid_time: v.map(Instant::from_micros) };
            assert_eq!(oracle.fold(&asked).get("a").map(String::as_str), expected, "{asked:?}");
        }
    }
}
