//! Measurements of the process, its ports and its jobs; rooms register their own in the same registry. What is only read
//! when somebody asks is in [`moment`].

mod allocator;
mod moment;

use std::{sync::Arc, time::Duration};

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tidemark_catalog::{CatalogError, allowance::Counted};
use tidemark_model::Instant;

use moment::Moment;
pub(crate) use moment::Sources;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A tick of a job left nothing to do.
pub(crate) const DONE: &str = "done";
/// A tick of a job left something to do.
pub(crate) const AGAIN: &str = "again";
/// A tick of a job, or a renewal of the lease, will be tried again.
pub(crate) const FAILED: &str = "failed";
/// The lease was renewed.
const RENEWED: &str = "renewed";
/// Somebody else owns the lake.
const LOST: &str = "lost";

/// Bounds of request latencies, seconds.
const LATENCY_BOUNDS_S: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The server's measurements. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    under_way: IntGauge,
    jobs: IntCounterVec,
    job_rests: GaugeVec,
    job_successes: IntGaugeVec,
    rate_limited: IntCounterVec,
    unfinished_refused: IntCounter,
    tokens_refused: IntCounter,
    lease_renewals: IntCounterVec,
    maintenance: IntGauge,
    reloads: IntCounterVec,
    ready: IntGauge,
    stands_by: IntGauge,
    moment: Arc<Moment>,
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
            jobs: IntCounterVec::new(
                Opts::new("tidemark_job_ticks_total", "Ticks of background jobs by outcome"),
                &["task", "outcome"],
            )?,
            job_rests: GaugeVec::new(
                Opts::new("tidemark_job_interval_seconds", "How long a background job rests when nothing is to do"),
                &["task"],
            )?,
            job_successes: IntGaugeVec::new(
                Opts::new(
                    "tidemark_job_last_success_timestamp_seconds",
                    "When a background job last ticked without a failure, or when it began, seconds since 1970",
                ),
                &["task"],
            )?,
            rate_limited: IntCounterVec::new(
                Opts::new("tidemark_rate_limited_total", "Refusals because a client spent what it may do in a minute"),
                &["counted"],
            )?,
            unfinished_refused: unfinished_refused(registry)?,
            tokens_refused: tokens_refused(registry)?,
            lease_renewals: IntCounterVec::new(
                Opts::new("tidemark_lease_renewals_total", "Renewals of the lease on the lake by outcome"),
                &["outcome"],
            )?,
            maintenance: IntGauge::new(
                "tidemark_maintenance",
                "1 while an operator has switched ingest off, 0 while everything is taken in",
            )?,
            reloads: reloads(registry)?,
            ready: IntGauge::new("tidemark_ready", "1 while the process takes work, as far as it knows")?,
            stands_by: IntGauge::new(
                "tidemark_standby",
                "1 while the process stands by and another one owns the lake",
            )?,
            moment: Arc::new(Moment::register(registry)?),
        };
        for counted in Counted::ALL {
            metrics.rate_limited.with_label_values(&[counted.as_str()]);
        }
        for outcome in [RENEWED, LOST, FAILED] {
            metrics.lease_renewals.with_label_values(&[outcome]);
        }
        let build = IntGaugeVec::new(Opts::new("tidemark_build_info", "1, labelled with the version"), &["version"])?;
        build.with_label_values(&[VERSION]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.latency.clone()))?;
        registry.register(Box::new(metrics.under_way.clone()))?;
        registry.register(Box::new(metrics.jobs.clone()))?;
        registry.register(Box::new(metrics.job_rests.clone()))?;
        registry.register(Box::new(metrics.job_successes.clone()))?;
        registry.register(Box::new(metrics.rate_limited.clone()))?;
        registry.register(Box::new(metrics.lease_renewals.clone()))?;
        registry.register(Box::new(metrics.maintenance.clone()))?;
        registry.register(Box::new(metrics.ready.clone()))?;
        registry.register(Box::new(metrics.stands_by.clone()))?;
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

    /// A background job begins to tick, at every `rest` or so.
    pub fn job_begins(&self, job: &str, rest: Duration, now: Instant) {
        for outcome in [DONE, AGAIN, FAILED] {
            self.jobs.with_label_values(&[job, outcome]);
        }
        self.job_rests.with_label_values(&[job]).set(rest.as_secs_f64());
        self.job_successes.with_label_values(&[job]).set(seconds(now));
    }

    /// A background job ticked: [`DONE`], [`AGAIN`] or [`FAILED`].
    pub fn job_ticked(&self, job: &str, outcome: &str, now: Instant) {
        self.jobs.with_label_values(&[job, outcome]).inc();
        if outcome != FAILED {
            self.job_successes.with_label_values(&[job]).set(seconds(now));
        }
    }

    /// The lease was renewed, or not.
    pub fn lease_renewed(&self, renewed: &Result<(), CatalogError>) {
        let outcome = match renewed {
            Ok(()) => RENEWED,
            Err(CatalogError::Fenced { .. }) => LOST,
            Err(_) => FAILED,
        };
        self.lease_renewals.with_label_values(&[outcome]).inc();
    }

    /// Whether the process takes work.
    pub(crate) fn ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// Whether the process stands by.
    pub(crate) fn stands_by(&self, does: bool) {
        self.stands_by.set(i64::from(does));
    }

    /// Whom to ask for what is only read when somebody asks.
    pub(crate) fn ask(&self, sources: Sources) {
        self.moment.ask(sources);
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

    /// Counts messages of gRPC that found no room while they came.
    #[must_use]
    pub fn unfinished_refused(&self) -> IntCounter {
        self.unfinished_refused.clone()
    }

    /// Counts tokens that were refused at any door.
    #[must_use]
    pub fn tokens_refused(&self) -> IntCounter {
        self.tokens_refused.clone()
    }

    /// Everything measured, as Prometheus text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.moment.look();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}

fn unfinished_refused(registry: &Registry) -> Result<IntCounter, prometheus::Error> {
    let refused = IntCounter::new(
        "tidemark_grpc_unfinished_refused_total",
        "Messages of gRPC that were given up because too much had come of messages that were not whole",
    )?;
    registry.register(Box::new(refused.clone()))?;
    Ok(refused)
}

fn tokens_refused(registry: &Registry) -> Result<IntCounter, prometheus::Error> {
    let what = "Tokens that were refused at any door: wrong, revoked, expired, or one too many of an address";
    let refused = IntCounter::new("tidemark_tokens_refused_total", what)?;
    registry.register(Box::new(refused.clone()))?;
    Ok(refused)
}

/// How often settings were read anew, each outcome from 0 on.
fn reloads(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let told = Opts::new("tidemark_config_reloads_total", "Readings of the settings while the server ran, by outcome");
    let reloads = IntCounterVec::new(told, &["outcome"])?;
    for outcome in ["changed", "unchanged", "restart_needed", "invalid"] {
        reloads.with_label_values(&[outcome]);
    }
    registry.register(Box::new(reloads.clone()))?;
    Ok(reloads)
}

/// A request under way.
#[derive(Debug)]
pub struct UnderWay(IntGauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds(instant: Instant) -> i64 {
    instant.micros().div_euclid(1_000_000)
}
