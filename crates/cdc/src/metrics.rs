//! Measurements of the room, one function each.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pending: IntGauge,
    files: IntCounterVec,
    rows: IntCounterVec,
    bytes: IntCounterVec,
    kept: IntCounter,
    held: IntGauge,
    steps: IntCounterVec,
    deleted: IntCounter,
}

/// Which step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Delta,
    Fold,
    Snapshot,
    Checkpoint,
    CleanUp,
    RollUp,
    Retention,
    Erase,
}

impl Step {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Fold => "fold",
            Self::Snapshot => "snapshot",
            Self::Checkpoint => "checkpoint",
            Self::CleanUp => "cleanup",
            Self::RollUp => "rollup",
            Self::Retention => "retention",
            Self::Erase => "erase",
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let vector = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vector.clone()))?;
            prometheus::Result::Ok(vector)
        };
        let pending = IntGauge::new("tidemark_cdc_pending_rows", "Changes in events files that no delta holds yet.")?;
        registry.register(Box::new(pending.clone()))?;
        let kept = IntCounter::new("tidemark_cdc_parts_kept_total", "State parts that a fold took over as they were.")?;
        registry.register(Box::new(kept.clone()))?;
        let held = IntGauge::new(
            "tidemark_cdc_fold_held_bytes",
            "Most bytes of changes that the last fold held in memory at once.",
        )?;
        registry.register(Box::new(held.clone()))?;
        let deleted = IntCounter::new("tidemark_cdc_deleted_total", "Files and manifests that clean-up deleted.")?;
        registry.register(Box::new(deleted.clone()))?;
        Ok(Self {
            deleted,
            pending,
            kept,
            held,
            files: vector("tidemark_cdc_files_total", "Files written by kind.", &["kind"])?,
            rows: vector("tidemark_cdc_rows_total", "Rows written by kind of file.", &["kind"])?,
            bytes: vector("tidemark_cdc_bytes_total", "Bytes written by kind of file.", &["kind"])?,
            steps: vector("tidemark_cdc_steps_total", "Steps by outcome.", &["step", "outcome"])?,
        })
    }

    /// How many changes lie in events files that no delta holds, over all collections.
    pub(crate) fn pending(&self, rows: u64) {
        self.pending.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A file was written.
    pub(crate) fn wrote(&self, kind: &str, rows: u64, bytes: u64) {
        self.files.with_label_values(&[kind]).inc();
        self.rows.with_label_values(&[kind]).inc_by(rows);
        self.bytes.with_label_values(&[kind]).inc_by(bytes);
    }

    /// State parts were taken over by reference.
    pub(crate) fn kept_parts(&self, parts: u64) {
        self.kept.inc_by(parts);
    }

    /// The most bytes of changes that a fold held at once.
    pub(crate) fn fold_held(&self, bytes: usize) {
        self.held.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What the last fold held.
    #[cfg(test)]
    pub(crate) fn last_fold_held(&self) -> i64 {
        self.held.get()
    }

    /// Clean-up deleted files.
    pub(crate) fn deleted(&self, files: u64) {
        self.deleted.inc_by(files);
    }

    /// A step was committed.
    pub(crate) fn committed(&self, step: Step) {
        self.steps.with_label_values(&[step.as_str(), "committed"]).inc();
    }

    /// How many commits of any step were lost.
    #[cfg(test)]
    pub(crate) fn lost_so_far(&self) -> u64 {
        [Step::Delta, Step::Fold].map(|step| self.steps.with_label_values(&[step.as_str(), "lost"]).get()).iter().sum()
    }

    /// A step lost the race for its commit and is planned again.
    pub(crate) fn lost(&self, step: Step) {
        self.steps.with_label_values(&[step.as_str(), "lost"]).inc();
    }

    /// A step failed.
    pub(crate) fn failed(&self, step: Step) {
        self.steps.with_label_values(&[step.as_str(), "failed"]).inc();
    }
}
