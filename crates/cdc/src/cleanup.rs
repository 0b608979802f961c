//! Clean-up of a collection: files that its manifest does not name, and manifests that are long past, as the catalog does it
//! for every table ([`tidemark_catalog::cleanup`]).

use std::time::Duration;

use tidemark_catalog::{
    Catalog,
    cleanup::{Cleaned, Cleaner, Limits, Swept},
    point::Points,
};
use tidemark_model::Table;

use crate::{Config, Error, job::Job, metrics::Step, room::More};

/// What cleans the collections.
pub(crate) fn cleaner(config: &Config, catalog: &Catalog, points: &Points) -> Cleaner {
    let limits = Limits {
        grace: Duration::from_secs(config.grace_s),
        external_retention: Duration::from_secs(config.external_retention_s),
        manifests_max: config.manifests_max,
    };
    Cleaner::new(catalog.clone(), limits, (Step::CleanUp.as_str(), points.clone()))
}

/// Deletes what may go of one collection, where something may have changed since the last time.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    let swept = job.tools.cleaner.run(job.namespace, &table(job)).await?;
    Ok(noted(job, &swept))
}

/// Deletes what may go of one collection.
pub(crate) async fn sweep(job: &Job<'_>) -> Result<(Swept, More), Error> {
    let swept = job.tools.cleaner.sweep(job.namespace, &table(job)).await?;
    let more = noted(job, &swept);
    Ok((swept, more))
}

/// How many data files of a collection its newest manifest does not name.
pub(crate) async fn unnamed(job: &Job<'_>) -> Result<u64, Error> {
    Ok(job.tools.cleaner.unnamed(job.namespace, &table(job)).await?.len() as u64)
}

fn table(job: &Job<'_>) -> Table {
    Table::Collection(job.collection.name.clone())
}

/// Counts what a run did; whether there may be more to do at once.
fn noted(job: &Job<'_>, swept: &Swept) -> More {
    let metrics = &job.tools.metrics;
    metrics.deleted(swept.trimmed);
    match swept.cleaned {
        Cleaned::Nothing => return More::No,
        Cleaned::Lost => metrics.lost(Step::CleanUp),
        Cleaned::Deleted(files) => {
            metrics.committed(Step::CleanUp);
            metrics.deleted(files);
        }
    }
    More::Yes
}
