//! The seam to who runs the background jobs of the process: how each of them is doing.

use std::{fmt::Debug, time::Duration};

use tidemark_model::Instant;

/// How a job is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// Its name, as in logs and metrics.
    pub name: &'static str,
    /// How long it rests when nothing is to do.
    pub interval: Duration,
    /// Whether a tick is under way.
    pub is_running: bool,
    /// Ticks since the process began.
    pub ticks: u64,
    /// Ticks that failed, one after another up to now.
    pub failures: u32,
    /// When the last tick began.
    pub began_at: Option<Instant>,
    /// When the last one that has ended did.
    pub ended_at: Option<Instant>,
    /// How that one ended: `done`, `again` (there was more to do) or `failed`.
    pub outcome: Option<&'static str>,
    /// What the last failed one said, while there was none that did not fail.
    pub error: Option<String>,
}

/// Who runs them.
pub trait Jobs: Send + Sync + Debug {
    /// All jobs, in the order in which they were begun.
    fn jobs(&self) -> Vec<JobState>;
}
