//! What the room measures, one function per measurement: `tidemark_ingest_…`.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant as Stopwatch},
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};
use tidemark_storage::log::Pressure;

use crate::{dedup::lock, tail::Kept, visible::Totals};

/// Times: 0.25 ms to 8 s.
const SECONDS_BUCKETS: (f64, f64, usize) = (0.000_25, 2.0, 16);

/// The room's instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    events: IntCounter,
    bytes: IntCounter,
    requests: HistogramVec,
    duplicates: IntCounterVec,
    refused: IntCounter,
    unflushed_bytes: IntGauge,
    unflushed_bytes_max: IntGauge,
    unflushed_oldest: IntGauge,
    tail_rows: IntGauge,
    remembered: prometheus::IntGaugeVec,
    bodies_bytes: IntGauge,
    flush_seconds: Histogram,
    flushed_rows: IntCounter,
    flush_failures: IntCounter,
    commits_lost: IntCounter,
    sidecars_unreadable: IntCounter,
    steps: IntCounterVec,
    compact_seconds: Histogram,
    compacted_files: IntCounter,
    compacted_bytes: IntCounter,
    deleted: IntCounter,
    log_bytes: IntGauge,
    broken_invariants: IntCounterVec,
    back_pressure: IntCounterVec,
    told: Mutex<Option<Stopwatch>>,
}

/// A step of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Compact,
    CleanUp,
    Erase,
}

impl Step {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::CleanUp => "events_cleanup",
            Self::Erase => "events_erase",
        }
    }
}

/// How often back-pressure is told in the log; the counter has every time.
const TELL_EVERY: Duration = Duration::from_secs(1);

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    match registry.register(Box::new(collector.clone())) {
        // A room opened again in one process measures on; its first instruments stay the ones that are shown.
        Ok(()) | Err(prometheus::Error::AlreadyReg) => Ok(collector),
        Err(error) => Err(error),
    }
}

fn name(of: &str) -> String {
    format!("tidemark_ingest_{of}")
}

fn seconds(of: &str, says: &str) -> prometheus::Result<HistogramOpts> {
    let (start, factor, count) = SECONDS_BUCKETS;
    Ok(HistogramOpts::new(name(of), says).buckets(prometheus::exponential_buckets(start, factor, count)?))
}

impl Metrics {
    /// Makes and registers them.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |of: &str, says: &str| registered(registry, IntCounter::new(name(of), says)?);
        let gauge = |of: &str, says: &str| registered(registry, IntGauge::new(name(of), says)?);
        let counters = |of: &str, says: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name(of), says), &[label])?)
        };
        let requests = HistogramVec::new(seconds("request_seconds", "Requests, by status.")?, &["status"])?;
        let remembered = Opts::new(name("remembered"), "Keys, event ids and producers that are remembered.");
        let steps = Opts::new(name("steps_total"), "Steps of upkeep by outcome.");
        Ok(Self {
            events: counter("events_total", "Events that were acknowledged and stored.")?,
            bytes: counter("bytes_total", "Decoded bytes of bodies that were acknowledged.")?,
            requests: registered(registry, requests)?,
            duplicates: counters("duplicates_total", "Requests or events that were stored before.", "of")?,
            refused: counter("refused_total", "Records that were refused.")?,
            unflushed_bytes: gauge(
                "unflushed_bytes",
                "Bytes of memory that what is acknowledged and in no file takes.",
            )?,
            unflushed_bytes_max: gauge("unflushed_bytes_max", "The cap of these.")?,
            unflushed_oldest: gauge(
                "unflushed_oldest_timestamp_seconds",
                "When the oldest append that is in no file was made, seconds since 1970; 0: all are in files.",
            )?,
            tail_rows: gauge("tail_rows", "Rows of the live tail.")?,
            remembered: registered(registry, prometheus::IntGaugeVec::new(remembered, &["of"])?)?,
            bodies_bytes: gauge("bodies_bytes", "Bytes of bodies being read and parsed.")?,
            flush_seconds: registered(
                registry,
                Histogram::with_opts(seconds("flush_seconds", "Flushes, from rows to commit.")?)?,
            )?,
            flushed_rows: counter("flushed_rows_total", "Rows written to files.")?,
            flush_failures: counter("flush_failures_total", "Flushes that will be tried again.")?,
            commits_lost: counter("commits_lost_total", "Commits that found their number taken.")?,
            sidecars_unreadable: counter("sidecars_unreadable_total", "Sidecars that could not be read.")?,
            steps: registered(registry, IntCounterVec::new(steps, &["step", "outcome"])?)?,
            compact_seconds: registered(
                registry,
                Histogram::with_opts(seconds("compact_seconds", "Compactions, from files to commit.")?)?,
            )?,
            compacted_files: counter("compacted_files_total", "Events files that were put together into others.")?,
            compacted_bytes: counter("compacted_bytes_total", "Bytes of the files that came out.")?,
            deleted: counter("deleted_total", "Files and manifests of events that clean-up deleted.")?,
            log_bytes: gauge("log_bytes", "Bytes of the log that are not released.")?,
            back_pressure: counters("back_pressure_total", "Requests refused because a cap was reached.", "cap")?,
            told: Mutex::new(None),
            broken_invariants: counters("broken_invariants_total", "Invariants found broken.", "name")?,
        })
    }

    /// A request was answered.
    pub(crate) fn request(&self, status: u16, took: Duration) {
        self.requests.with_label_values(&[&status.to_string()]).observe(took.as_secs_f64());
    }

    /// So many events of so many bytes were acknowledged.
    pub(crate) fn accepted(&self, events: u64, bytes: usize) {
        self.events.inc_by(events);
        self.bytes.inc_by(bytes as u64);
    }

    /// Events that were stored before.
    pub(crate) fn duplicate_events(&self, events: u64) {
        self.duplicates.with_label_values(&["event"]).inc_by(events);
    }

    /// A request that was stored before.
    pub(crate) fn duplicate_request(&self) {
        self.duplicates.with_label_values(&["request"]).inc();
    }

    /// Records that were refused.
    pub(crate) fn refused(&self, records: u64) {
        self.refused.inc_by(records);
    }

    /// Bytes that wait for a flush, their cap, and the tails that hold them.
    pub(crate) fn unflushed(&self, bytes: usize, max: usize, tails: &Totals) {
        self.unflushed_bytes.set(int(bytes));
        self.unflushed_bytes_max.set(int(max));
        self.tail_rows.set(int(tails.rows));
        self.unflushed_oldest.set(tails.oldest.map_or(0, |oldest| oldest.micros().div_euclid(1_000_000)));
    }

    /// What deduplication holds.
    pub(crate) fn remembered(&self, ids: usize, keys: usize, producers: usize) {
        self.remembered.with_label_values(&["producer"]).set(int(producers));
        self.remembered.with_label_values(&["event_id"]).set(int(ids));
        self.remembered.with_label_values(&["key"]).set(int(keys));
    }

    /// Bodies in flight.
    pub(crate) fn bodies(&self, bytes: usize) {
        self.bodies_bytes.set(int(bytes));
    }

    /// A flush ended.
    pub(crate) fn flushed(&self, took: Duration, appends: &[Arc<Kept>], is_ok: bool) {
        if is_ok {
            self.flush_seconds.observe(took.as_secs_f64());
            self.flushed_rows.inc_by(appends.iter().map(|kept| kept.count as u64).sum());
        } else {
            self.flush_failures.inc();
        }
    }

    /// A request was refused because a cap was reached. The message is one that operators watch for.
    pub(crate) fn back_pressure(&self, cap: &'static str, limit: usize) {
        self.back_pressure.with_label_values(&[cap]).inc();
        let mut told = lock(&self.told);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Stopwatch::now());
            tracing::warn!(cap, limit, "backpressure triggered");
        }
    }

    /// A commit found its number taken.
    pub(crate) fn commit_lost(&self) {
        self.commits_lost.inc();
    }

    /// A sidecar could not be read.
    pub(crate) fn sidecar_unreadable(&self) {
        self.sidecars_unreadable.inc();
    }

    /// A step of upkeep ended: `committed`, `lost` (planned again) or `failed`.
    pub(crate) fn step(&self, step: Step, outcome: &str) {
        self.steps.with_label_values(&[step.as_str(), outcome]).inc();
    }

    /// So many files became one of so many bytes.
    pub(crate) fn compacted(&self, took: Duration, files: usize, bytes: u64) {
        self.compact_seconds.observe(took.as_secs_f64());
        self.compacted_files.inc_by(files as u64);
        self.compacted_bytes.inc_by(bytes);
    }

    /// Clean-up deleted files or manifests.
    pub(crate) fn deleted(&self, objects: u64) {
        self.deleted.inc_by(objects);
    }

    /// What the log holds.
    pub(crate) fn log_pressure(&self, pressure: &Pressure) {
        self.log_bytes.set(i64::try_from(pressure.bytes).unwrap_or(i64::MAX));
    }

    /// A named invariant was found broken.
    pub(crate) fn broken_invariant(&self, name: &str) {
        self.broken_invariants.with_label_values(&[name]).inc();
    }
}

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
