//! One commit: the new base, and which older ones stay.

use tidemark_catalog::{Base, CollectionManifest};

use crate::{Error, job::Job, metrics::Step, retain::retain, room::More};

/// Commits a fold step. Files of bases that do not stay are unreferenced then and left to clean-up.
pub(crate) async fn publish(job: &Job<'_>, base: Base) -> Result<More, Error> {
    let mut next = CollectionManifest::clone(&job.manifest);
    next.bases.push(base);
    let config = &job.tools.config;
    let horizon = next.window.map(|window| window.mark);
    next.bases = retain(next.bases, (config.bases_bytes_max, config.bases_max), horizon);
    job.publish(Step::Fold, next).await
}
