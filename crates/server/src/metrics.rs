//! Measurements of the process and its ports; rooms register their own in the same registry.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tidemark_catalog::CatalogError;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Bounds of request latencies, seconds.
const LATENCY_BOUNDS_S: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The server's measurements. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    under_way: IntGauge,
    resident: IntGauge,
    open_files: IntGauge,
    jobs: IntCounterVec,
    rate_limited: IntCounterVec,
    lease_held: IntGauge,
    lease_renewals: IntCounterVec,
    maintenance: IntGauge,
    reloads: IntCounterVec,
}

impl Metrics {
    /// Registers everything in a registry.
    ///
    /// # Errors
    /// When a name is registered already: one process has one set.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: registry.clone(),
            requests: IntCounterVec::new(
                Opts::new("tidemark_http_requests_total", "Requests by route and status, of both ports"),
                &["route", "status"],
            )?,
            latency: HistogramVec::new(
                HistogramOpts::new("tidemark_http_request_seconds", "Seconds from a request to the head of its answer")
                    .buckets(LATENCY_BOUNDS_S.to_vec()),
                &["route"],
            )?,
            under_way: IntGauge::new("tidemark_http_requests_under_way", "Requests without the head of an answer")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Memory of the process that is in RAM, bytes")?,
            open_files: IntGauge::new("process_open_fds", "Files and sockets the process has open")?,
            jobs: IntCounterVec::new(
                Opts::new("tidemark_job_ticks_total", "Ticks of background jobs by outcome"),
                &["task", "outcome"],
            )?,
            rate_limited: IntCounterVec::new(
                Opts::new("tidemark_rate_limited_total", "Refusals because a client spent what it may do in a minute"),
                &["counted"],
            )?,
            lease_held: IntGauge::new(
                "tidemark_lease_held",
                "1 while nobody else can have taken the lake over, 0 when the lease has run out",
            )?,
            lease_renewals: IntCounterVec::new(
                Opts::new("tidemark_lease_renewals_total", "Renewals of the lease on the lake by outcome"),
                &["outcome"],
            )?,
            maintenance: IntGauge::new(
                "tidemark_maintenance",
                "1 while an operator has switched ingest off, 0 while everything is taken in",
            )?,
            reloads: IntCounterVec::new(
                Opts::new("tidemark_config_reloads_total", "Readings of the settings while the server ran, by outcome"),
                &["outcome"],
            )?,
        };
        let build = IntGaugeVec::new(Opts::new("tidemark_build_info", "1, labelled with the version"), &["version"])?;
        build.with_label_values(&[VERSION]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.latency.clone()))?;
        registry.register(Box::new(metrics.under_way.clone()))?;
        registry.register(Box::new(metrics.resident.clone()))?;
        registry.register(Box::new(metrics.open_files.clone()))?;
        registry.register(Box::new(metrics.jobs.clone()))?;
        registry.register(Box::new(metrics.rate_limited.clone()))?;
        registry.register(Box::new(metrics.lease_held.clone()))?;
        registry.register(Box::new(metrics.lease_renewals.clone()))?;
        registry.register(Box::new(metrics.maintenance.clone()))?;
        registry.register(Box::new(metrics.reloads.clone()))?;
        for outcome in ["changed", "unchanged", "restart_needed", "invalid"] {
            metrics.reloads.with_label_values(&[outcome]).reset();
        }
        Ok(metrics)
    }

    /// A request begins; it counts as under way until the value is dropped.
    #[must_use]
    pub fn request_begins(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// A request was answered.
    pub fn request_answered(&self, route: &str, status: u16, seconds: f64) {
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.latency.with_label_values(&[route]).observe(seconds);
    }

    /// A background job ticked: `done`, `again` or `failed`.
    pub fn job_ticked(&self, job: &str, outcome: &str) {
        self.jobs.with_label_values(&[job, outcome]).inc();
    }

    /// The lease was renewed, or not; whether it is held all the same.
    pub fn lease_renewed(&self, renewed: &Result<(), CatalogError>, is_held: bool) {
        let outcome = match renewed {
            Ok(()) => "renewed",
            Err(CatalogError::Fenced { .. }) => "lost",
            Err(_) => "failed",
        };
        self.lease_renewals.with_label_values(&[outcome]).inc();
        self.lease_held.set(i64::from(is_held));
    }

    /// Ingest is switched off, or on.
    pub fn set_maintenance(&self, is_off: bool) {
        self.maintenance.set(i64::from(is_off));
    }

    /// Whether ingest is switched off.
    #[must_use]
    pub fn is_maintenance(&self) -> bool {
        self.maintenance.get() == 1
    }

    /// The settings were read anew: `changed`, `unchanged`, `restart_needed` or `invalid`.
    pub fn settings_reloaded(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }

    /// Where refusals of clients that did too much in a minute are counted.
    #[must_use]
    pub fn rate_limited(&self) -> IntCounterVec {
        self.rate_limited.clone()
    }

    /// Everything measured, as Prometheus text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.look_at_process();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }

    /// Linux tells memory in `/proc/self/status`; elsewhere the gauges stay at zero.
    fn look_at_process(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let kilobytes = resident.and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0);
        self.resident.set(kilobytes.saturating_mul(1024));
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }
}

/// A request under way.
#[derive(Debug)]
pub struct UnderWay(IntGauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
