//! What this room counts: `tidemark_query_…`.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

use crate::Error;

/// The measurements of the room.
#[derive(Debug)]
pub(crate) struct Metrics {
    statements: IntCounterVec,
    phases: HistogramVec,
    running: IntGauge,
    rows: IntCounter,
    cancelled: IntCounter,
    caches: IntCounterVec,
    extended: IntCounter,
    tail_rows: IntCounter,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// [`Error::Internal`] when a name is taken in the registry.
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        Self::make(registry)
            .map_err(|e| Error::Internal(format!("metrics of the query room cannot be registered: {e}")))
    }

    fn make(registry: &Registry) -> prometheus::Result<Self> {
        fn kept<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 18)?;
        let phases =
            HistogramOpts::new("tidemark_query_phase_seconds", "time per phase of a statement").buckets(buckets);
        let statements = Opts::new("tidemark_query_statements_total", "statements by how they ended");
        let caches = Opts::new("tidemark_query_cache_total", "look-ups by cache and outcome");
        Ok(Self {
            statements: kept(registry, IntCounterVec::new(statements, &["outcome"])?)?,
            phases: kept(registry, HistogramVec::new(phases, &["phase"])?)?,
            running: kept(registry, IntGauge::new("tidemark_query_running", "statements that hold a place")?)?,
            rows: kept(registry, IntCounter::new("tidemark_query_rows_total", "rows answered")?)?,
            cancelled: kept(
                registry,
                IntCounter::new("tidemark_query_cancelled_total", "answers dropped before their end")?,
            )?,
            caches: kept(registry, IntCounterVec::new(caches, &["cache", "outcome"])?)?,
            extended: kept(
                registry,
                IntCounter::new("tidemark_query_overlays_extended_total", "overlays extended instead of built")?,
            )?,
            tail_rows: kept(
                registry,
                IntCounter::new("tidemark_query_tail_rows_total", "rows of the live tail scanned as events")?,
            )?,
        })
    }

    /// A statement ended: `ok`, or the code of its error.
    pub(crate) fn ended(&self, outcome: &str) {
        self.statements.with_label_values(&[outcome]).inc();
    }

    /// A phase (`wait`, `plan`, `run`) took this long.
    pub(crate) fn phase(&self, phase: &str, took: Duration) {
        self.phases.with_label_values(&[phase]).observe(took.as_secs_f64());
    }

    /// A statement holds a place, until the guard goes.
    pub(crate) fn running(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }

    /// Rows were answered.
    pub(crate) fn answered(&self, rows: usize) {
        self.rows.inc_by(rows as u64);
    }

    /// An answer was dropped before its end.
    pub(crate) fn cancelled(&self) {
        self.cancelled.inc();
    }

    /// Something was found in a cache.
    pub(crate) fn cache_hit(&self, cache: &str) {
        self.caches.with_label_values(&[cache, "hit"]).inc();
    }

    /// Something had to be built.
    pub(crate) fn cache_missed(&self, cache: &str) {
        self.caches.with_label_values(&[cache, "miss"]).inc();
    }

    /// An overlay was extended.
    pub(crate) fn overlay_extended(&self) {
        self.extended.inc();
    }

    /// Rows of the tail were scanned as events.
    pub(crate) fn tail_rows(&self, rows: usize) {
        self.tail_rows.inc_by(rows as u64);
    }
}

/// Counts a statement as running while it lives.
#[derive(Debug)]
pub(crate) struct Running(IntGauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
