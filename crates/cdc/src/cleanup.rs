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

/// Deletes what may go of one collection.
pub(crate) async fn step(job: &Job<'_>) -> Result<More, Error> {
    let (tools, table) = (job.tools, Table::Collection(job.collection.name.clone()));
    let Swept { cleaned, trimmed, .. } = tools.cleaner.run(job.namespace, &table).await?;
    tools.metrics.deleted(trimmed);
    match cleaned {
        Cleaned::Nothing => return Ok(More::No),
        Cleaned::Lost => tools.metrics.lost(Step::CleanUp),
        Cleaned::Deleted(files) => {
            tools.metrics.committed(Step::CleanUp);
            tools.metrics.deleted(files);
        }
    }
    Ok(More::Yes)
}
