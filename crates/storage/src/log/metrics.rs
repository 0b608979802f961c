//! What the log measures, one function per measurement: `tidemark_log_…`.

use super::{LogDeps, LogError};
use prometheus::{Histogram, HistogramOpts, HistogramTimer, IntCounter, IntGauge, Registry, core::Collector};

/// Sync times: 0.1 ms to 3.3 s.
const SYNC_BUCKETS: (f64, f64, usize) = (0.0001, 2.0, 16);
/// Group sizes: 256 B to 64 MiB.
const BYTES_BUCKETS: (f64, f64, usize) = (256.0, 4.0, 10);
/// Appends of a group: 1 to 2048.
const APPENDS_BUCKETS: (f64, f64, usize) = (1.0, 2.0, 12);

/// The log's instruments. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogMetrics {
    group_bytes: Histogram,
    group_appends: Histogram,
    sync_seconds: Histogram,
    segments: IntGauge,
    segment_bytes: IntGauge,
    in_flight_bytes: IntGauge,
    refused: IntCounter,
}

impl LogMetrics {
    /// Makes and registers them. A registry that has them already (a log opened again in one process) keeps the first.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            group_bytes: histogram(registry, "group_bytes", "Bytes of a group.", BYTES_BUCKETS)?,
            group_appends: histogram(registry, "group_appends", "Appends that share a group.", APPENDS_BUCKETS)?,
            sync_seconds: histogram(registry, "sync_seconds", "Time one sync takes.", SYNC_BUCKETS)?,
            segments: gauge(registry, "segments", "Segments not yet deleted.")?,
            segment_bytes: gauge(registry, "segment_bytes", "Bytes of segments on the medium.")?,
            in_flight_bytes: gauge(registry, "in_flight_bytes", "Encoded bytes of appends not yet durable.")?,
            refused: registered(
                registry,
                IntCounter::new("tidemark_log_out_of_space_total", "Appends refused for want of space.")?,
            ),
        })
    }

    /// The instruments of a log that is given this.
    pub(crate) fn of(deps: &LogDeps) -> Result<Self, LogError> {
        Self::new(&deps.metrics).map_err(|error| LogError::Io {
            what: "make its metrics".to_owned(),
            source: std::io::Error::other(error.to_string()),
        })
    }

    /// A group is durable.
    pub(crate) fn group(&self, bytes: usize, appends: usize) {
        self.group_bytes.observe(bytes as f64);
        self.group_appends.observe(appends as f64);
    }

    /// A sync begins; it is measured when the timer is dropped.
    pub(crate) fn syncing(&self) -> HistogramTimer {
        self.sync_seconds.start_timer()
    }

    /// So much is not deleted yet.
    pub(crate) fn kept(&self, segments: usize, bytes: u64) {
        self.segments.set(i64::try_from(segments).unwrap_or(i64::MAX));
        self.segment_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An append of so many encoded bytes is on its way.
    pub(crate) fn queued(&self, bytes: usize) {
        self.in_flight_bytes.add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Appends of so many encoded bytes are on their way no more.
    pub(crate) fn settled(&self, bytes: usize) {
        self.in_flight_bytes.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An append was refused for want of space.
    pub(crate) fn out_of_space(&self) {
        self.refused.inc();
    }
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: (f64, f64, usize)) -> prometheus::Result<Histogram> {
    let (start, factor, count) = buckets;
    let buckets = prometheus::exponential_buckets(start, factor, count)?;
    let options = HistogramOpts::new(format!("tidemark_log_{name}"), help).buckets(buckets);
    Ok(registered(registry, Histogram::with_opts(options)?))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    Ok(registered(registry, IntGauge::new(format!("tidemark_log_{name}"), help)?))
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    if let Err(error) = registry.register(Box::new(collector.clone())) {
        tracing::debug!(%error, "a metric of the log was registered before");
    }
    collector
}
