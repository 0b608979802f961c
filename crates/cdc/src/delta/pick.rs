//! Which events files hold changes that no delta holds, whether they are due, and how many are taken in: pure functions.

use std::collections::BTreeMap;

use tidemark_catalog::{EventsManifest, manifest::EventsFile};
use tidemark_model::{CollectionName, Instant, Seq, Shard};

use crate::Config;

/// Events files with pending changes of one collection, oldest first.
#[derive(Debug)]
pub(crate) struct Backlog<'e> {
    pub(crate) files: Vec<&'e EventsFile>,
    /// Their rows of this collection.
    pub(crate) rows: u64,
    /// The least system time among the files.
    oldest: Instant,
    name: &'e CollectionName,
}

/// By collection.
pub(crate) type Backlogs<'e> = BTreeMap<&'e CollectionName, Backlog<'e>>;

/// Everything pending in a namespace; `mark` tells a collection's mark, `None` for one that is not there.
pub(crate) fn backlogs(events: &EventsManifest, mark: impl Fn(&CollectionName) -> Option<Seq>) -> Backlogs<'_> {
    let mut backlogs = BTreeMap::new();
    for file in &events.files {
        for rows in &file.collections {
            if mark(&rows.collection).is_none_or(|mark| rows.seq.max <= mark) {
                continue;
            }
            let (name, oldest) = (&rows.collection, file.system_time.min);
            let backlog = backlogs.entry(name).or_insert(Backlog { files: Vec::new(), rows: 0, oldest, name });
            backlog.files.push(file);
            backlog.rows += rows.rows;
            backlog.oldest = backlog.oldest.min(oldest);
        }
    }
    backlogs
}

/// When a delta is due, and how much one takes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    rows: u64,
    files: usize,
    age_us: i64,
    rows_max: u64,
    bytes_max: u64,
}

impl Pace {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            rows: config.delta_rows,
            files: config.delta_files,
            age_us: i64::try_from(config.delta_age_s).unwrap_or(i64::MAX).saturating_mul(1_000_000),
            rows_max: config.delta_rows_max,
            bytes_max: config.delta_bytes_max,
        }
    }

    /// Whether enough is pending, or something has been pending for long.
    pub(crate) fn is_due(&self, backlog: &Backlog<'_>, now: Instant) -> bool {
        backlog.rows >= self.rows
            || backlog.files.len() >= self.files
            || now.micros().saturating_sub(backlog.oldest.micros()) >= self.age_us
    }
}

/// What one delta takes in.
#[derive(Debug)]
pub(crate) struct Plan<'e> {
    pub(crate) files: Vec<&'e EventsFile>,
    /// Where the positions of the collection are.
    shard: Shard,
    /// The mark that follows.
    pub(crate) mark: Seq,
    /// Every change up to it is in deltas then.
    pub(crate) system_time: Instant,
}

/// Takes files, oldest first, up to a number of rows and of bytes, at least one. When all are taken the mark goes to the
/// end of the events table, also over other collections' positions; else to the end of the last file taken.
pub(crate) fn plan<'e>(events: &EventsManifest, shard: Shard, backlog: &Backlog<'e>, pace: &Pace) -> Plan<'e> {
    let (mut rows, mut bytes) = (0, 0);
    let fits = |file: &&&EventsFile| {
        let own = file.collections.iter().find(|rows| rows.collection == *backlog.name);
        rows += own.map_or(0, |own| own.rows);
        bytes += file.bytes;
        rows <= pace.rows_max && bytes <= pace.bytes_max
    };
    let count = backlog.files.iter().take_while(fits).count().clamp(1, backlog.files.len().max(1));
    let all =
        Plan { files: backlog.files.clone(), shard, mark: events.mark.seq(shard), system_time: events.system_time };
    all.first(count)
}

impl Plan<'_> {
    /// The plan when it ends behind so many files, at least one.
    pub(crate) fn first(mut self, count: usize) -> Self {
        let Some(last) = self.files.get(count.max(1) - 1).filter(|_| count < self.files.len()) else { return self };
        let end = last.positions.iter().filter(|run| run.shard == self.shard).map(|run| run.last).max();
        self.mark = end.unwrap_or(tidemark_model::position::BEFORE_ALL);
        self.system_time = last.system_time.max;
        self.files.truncate(count.max(1));
        self
    }
}

#[cfg(test)]
mod tests;
