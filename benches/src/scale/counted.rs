//! What a server counts, the requests among it, and what they cost.

use std::collections::BTreeMap;

use crate::lake::Lake;

const REQUESTS: &str = "tidemark_store_requests_total";
const RENEWALS: &str = "tidemark_lease_renewals_total";

/// Dollars for a million requests that write or list, and for a million that read, by list price: S3 standard in us-east-1
/// (2026), R2 (classes A and B). Deletes are free.
const S3: (f64, f64) = (5.0, 0.4);
const R2: (f64, f64) = (4.5, 0.36);

/// Counters of a server at a moment, by name with labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted(BTreeMap<String, f64>);

impl Counted {
    pub(super) async fn of(lake: &Lake) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let text = lake.metrics().await?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let numbers = lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(Self(numbers.collect()))
    }

    /// The sum of a counter over all labels that hold `label`.
    pub(super) fn sum(&self, name: &str, label: &str) -> f64 {
        let is_it = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| is_it(key) && key.contains(label)).map(|(_, value)| value).sum()
    }

    /// Requests since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Requests {
        let of = |verbs: &[&str]| {
            let verb = |verb: &&str| {
                let label = format!("verb=\"{verb}\"");
                self.sum(REQUESTS, &label) - before.sum(REQUESTS, &label)
            };
            verbs.iter().map(verb).sum()
        };
        Requests {
            puts: of(&["put", "put_multipart", "put_part", "put_complete", "copy", "rename"]),
            lists: of(&["list"]),
            gets: of(&["get", "get_ranges"]),
            heads: of(&["head"]),
            deletes: of(&["delete"]),
            leases: self.sum(RENEWALS, "") - before.sum(RENEWALS, ""),
        }
    }

    /// Every kind of request since an earlier moment, for people.
    pub(super) fn told_since(&self, before: &Self) -> String {
        let kinds = self.0.iter().filter_map(|(key, now)| {
            let of = now - before.0.get(key).copied().unwrap_or(0.0);
            let labels = key.strip_prefix(REQUESTS)?.trim_matches(['{', '}']).replace(['"'], "");
            (of > 0.0).then(|| format!("{} {of}", labels.replace("outcome=", "").replace("verb=", "")))
        });
        kinds.collect::<Vec<_>>().join("; ")
    }
}

/// Requests to a store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Requests {
    pub(super) puts: f64,
    pub(super) lists: f64,
    /// Reads of several ranges count once.
    pub(super) gets: f64,
    pub(super) heads: f64,
    pub(super) deletes: f64,
    /// Renewals of the lease; each is a put, a head and a delete of those above.
    pub(super) leases: f64,
}

impl Requests {
    /// Without those that renew the lease, which go with time and not with what is done.
    pub(super) fn without_leases(self) -> Self {
        let Self { puts, lists, gets, heads, deletes, leases } = self;
        let (puts, heads, deletes) = (puts - leases, heads - leases, (deletes - leases).max(0.0));
        Self { puts, lists, gets, heads, deletes, leases: 0.0 }
    }

    pub(super) fn times(self, by: f64) -> Self {
        let Self { puts, lists, gets, heads, deletes, leases } = self;
        let [puts, lists, gets, heads, deletes, leases] =
            [puts, lists, gets, heads, deletes, leases].map(|number| number * by);
        Self { puts, lists, gets, heads, deletes, leases }
    }

    /// Cells: puts, lists, gets, heads, deletes.
    pub(super) fn cells(self) -> [String; 5] {
        [self.puts, self.lists, self.gets, self.heads, self.deletes].map(|number| format!("{number:.0}"))
    }

    /// Cells: dollars by the price lists of S3 and of R2.
    pub(super) fn dollars(self) -> [String; 2] {
        [S3, R2].map(|(write, read)| {
            format!("{:.3}", ((self.puts + self.lists) * write + (self.gets + self.heads) * read) / 1e6)
        })
    }
}
