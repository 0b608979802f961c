//! Measurements of the catalog, one function each.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

use crate::publish::Publication;

/// Counters; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    commits: Option<IntCounterVec>,
    entries: Option<IntCounter>,
    rebuilt: Option<IntCounter>,
    publications: Option<IntCounterVec>,
    published_files: Option<IntCounterVec>,
    publish_lag: Option<IntGauge>,
}

/// How a commit ended, for the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Lost,
    Failed,
}

impl Metrics {
    pub(crate) fn registered(registry: &Registry) -> Self {
        let commits = Opts::new("tidemark_catalog_commits_total", "Commits of manifests by kind of table and outcome.");
        let entries = Opts::new("tidemark_catalog_entries_total", "Entries written to the catalog register.");
        let rebuilt = Opts::new("tidemark_catalog_views_rebuilt_total", "Views read anew because the tail moved on.");
        let publications = Opts::new(
            "tidemark_publish_total",
            "Looks at a table to be published, by outcome; one that failed is tried again.",
        );
        let files = Opts::new("tidemark_published_files_total", "Files that published tables gained and lost.");
        Self {
            publications: register(registry, IntCounterVec::new(publications, &["outcome"])),
            published_files: register(registry, IntCounterVec::new(files, &["what"])),
            publish_lag: register(
                registry,
                IntGauge::new(
                    "tidemark_publish_lag_seconds",
                    "For how long the table that waits longest to be published has been behind its manifest.",
                ),
            ),
            commits: register(registry, IntCounterVec::new(commits, &["table", "outcome"])),
            entries: register(registry, IntCounter::with_opts(entries)),
            rebuilt: register(registry, IntCounter::with_opts(rebuilt)),
        }
    }

    /// A commit of a manifest ended.
    pub(crate) fn committed(&self, table: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Committed => "committed",
            Outcome::Lost => "lost",
            Outcome::Failed => "failed",
        };
        self.commits.iter().for_each(|counter| counter.with_label_values(&[table, outcome]).inc());
    }

    /// An entry was written to the catalog register.
    pub(crate) fn persisted(&self) {
        self.entries.iter().for_each(IntCounter::inc);
    }

    /// A table was looked at to be published: what came out, `None` for a failure.
    pub(crate) fn published(&self, publication: Option<Option<&Publication>>) {
        let done = publication.flatten().filter(|done| done.added + done.removed > 0);
        let outcome = match (publication, done) {
            (None, _) => "failed",
            (Some(_), None) => "unchanged",
            (Some(_), Some(_)) => "published",
        };
        self.publications.iter().for_each(|counter| counter.with_label_values(&[outcome]).inc());
        for (what, files) in done.into_iter().flat_map(|done| [("added", done.added), ("removed", done.removed)]) {
            self.published_files.iter().for_each(|counter| counter.with_label_values(&[what]).inc_by(files));
        }
    }

    /// How long the table that waits longest to be published has been waiting.
    pub(crate) fn publish_lag(&self, lag: Duration) {
        self.publish_lag.iter().for_each(|gauge| gauge.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX)));
    }

    /// A view was behind the live tail.
    pub(crate) fn view_rebuilt(&self) {
        self.rebuilt.iter().for_each(IntCounter::inc);
    }
}

/// A measurement that cannot be registered (its name is taken, as when a lake is opened twice) is left out.
fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> Option<C> {
    let registered = made.and_then(|counter| registry.register(Box::new(counter.clone())).map(|()| counter));
    registered.inspect_err(|error| tracing::debug!(%error, "a metric of the catalog is off")).ok()
}
