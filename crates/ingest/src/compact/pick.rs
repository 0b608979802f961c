//! Which events files are compacted next: a pure function.
//!
//! A file belongs to the hour and the day of its first system time. Once a day is closed its files are put together by day,
//! before that by closed hour. Files that are large already stay as they are, so that a row is written anew a bounded
//! number of times.

use std::ops::Range;

use tidemark_catalog::manifest::EventsFile;
use tidemark_model::{Instant, calendar::Unit};

use crate::config::Config;

/// The most files of one run: each has a batch and a row group in memory while they are merged.
const FILES_MAX: usize = 64;
/// Files of a run from which on it is worth its while although the period is not taken in as a whole: a slow collection holds
/// nothing up, and yet rows are not written anew for every file that follows.
const FILES_OF_PART: usize = 16;

/// When files are compacted, and how large they become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Small files from which on a period is compacted.
    pub(super) files: usize,
    /// Bytes of a compacted file; one with at most half as many is small.
    pub(super) bytes: u64,
    /// How long after its end a period counts as closed, µs.
    pub(super) after_us: i64,
}

impl Pace {
    pub(super) fn of(config: &Config) -> Self {
        let after_us = i64::from(config.compact_after_s) * 1_000_000;
        Self { files: config.compact_files, bytes: config.compact_bytes, after_us }
    }

    /// Of whoever asks for it now: every hour and day counts as closed.
    pub(super) fn now(config: &Config) -> Self {
        Self { files: 2, after_us: 0, ..Self::of(config) }
    }

    /// The end of the longest closed period that a file belongs to.
    fn period(&self, file: &EventsFile, now: Instant) -> Option<Instant> {
        let ends = [Unit::Day, Unit::Hour].map(|unit| unit.end(file.system_time.min));
        ends.into_iter().find(|end| end.plus_micros(self.after_us) < now)
    }

    const fn is_small(&self, file: &EventsFile) -> bool {
        file.bytes <= self.bytes / 2
    }
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'m> {
    /// The files of the manifest, oldest first.
    pub(super) files: &'m [EventsFile],
    /// The owner's present.
    pub(super) now: Instant,
    /// Up to where other engines have seen rows: a file never holds rows on both sides, so that whoever follows the
    /// published table is told each row as new once.
    pub(super) published: Option<Instant>,
}

/// The next run, as places in the manifest.
pub(super) fn due(scene: &Scene<'_>, pace: &Pace, is_taken_in: impl Fn(&EventsFile) -> bool) -> Option<Range<usize>> {
    if pace.files < 2 {
        return None;
    }
    let period = |at: usize| pace.period(&scene.files[at], scene.now);
    let mut from = 0;
    while from < scene.files.len() {
        let end = period(from);
        let to = (from + 1..scene.files.len()).find(|at| period(*at) != end).unwrap_or(scene.files.len());
        if end.is_some()
            && let Some(run) = due_of_period(scene, pace, from..to, &is_taken_in)
        {
            return Some(run);
        }
        from = to;
    }
    None
}

/// The first run of one period that is worth its while.
fn due_of_period(
    scene: &Scene<'_>,
    pace: &Pace,
    period: Range<usize>,
    is_taken_in: &impl Fn(&EventsFile) -> bool,
) -> Option<Range<usize>> {
    let may_go = |file: &EventsFile| pace.is_small(file) && is_taken_in(file);
    let files = &scene.files[period.clone()];
    let is_whole = files.iter().all(|file| !pace.is_small(file) || is_taken_in(file));
    let wanted = if is_whole { pace.files } else { pace.files.max(FILES_OF_PART) };
    let is_seen = |file: &EventsFile| scene.published.is_some_and(|published| file.system_time.max <= published);
    let (mut from, mut bytes) = (period.start, 0);
    for (at, file) in period.clone().zip(files) {
        let fits = bytes + file.bytes <= pace.bytes && at - from < FILES_MAX;
        let joins = at == from || is_seen(&scene.files[from]) == is_seen(file);
        if !(may_go(file) && fits && joins) {
            if is_worth(at - from, bytes, wanted, pace) {
                return Some(from..at);
            }
            (from, bytes) = (at, 0);
        }
        if may_go(file) {
            bytes += file.bytes;
        } else {
            from = at + 1;
        }
    }
    is_worth(period.end - from, bytes, wanted, pace).then_some(from..period.end)
}

/// Enough files, or enough bytes that what comes out is never touched again.
const fn is_worth(files: usize, bytes: u64, wanted: usize, pace: &Pace) -> bool {
    files >= wanted || (files >= 2 && bytes > pace.bytes / 2)
}

#[cfg(test)]
mod tests;
