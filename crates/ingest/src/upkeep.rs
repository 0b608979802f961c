//! Upkeep of the events table, which the jobs of the process call: compaction and clean-up. One step at a time.

use std::time::Duration;

use tidemark_catalog::{
    Catalog,
    cleanup::{Cleaned, Cleaner, Limits, Swept},
    point::Points,
};
use tidemark_model::{Namespace, Table};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    compact,
    config::Config,
    error::Error,
    front::{Ingest, Room},
    metrics::Step,
};

/// What is done to keep the events table small in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Small files of closed hours and days become few.
    Compaction,
    /// Files that nothing names any more, and manifests that are long past.
    CleanUp,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 2] = [Self::Compaction, Self::CleanUp];

    const fn step(self) -> Step {
        match self {
            Self::Compaction => Step::Compact,
            Self::CleanUp => Step::CleanUp,
        }
    }
}

/// Whether there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum More {
    /// Something was done: tick again.
    Yes,
    /// Nothing is due.
    No,
}

/// What the room keeps for its upkeep.
#[derive(Debug)]
pub(crate) struct Upkeep {
    cleaner: Cleaner,
    points: Points,
    turn: Mutex<()>,
}

impl Upkeep {
    pub(crate) fn new(config: &Config, catalog: &Catalog, points: Points) -> Self {
        let limits = Limits {
            grace: Duration::from_secs(config.grace_s),
            external_retention: Duration::from_secs(config.external_retention_s),
            manifests_max: config.manifests_max,
        };
        let cleaner = Cleaner::new(catalog.clone(), limits, (Step::CleanUp.as_str(), points.clone()));
        Self { cleaner, points, turn: Mutex::default() }
    }

    /// One step at a time.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Passes a fail point.
    pub(crate) async fn point(&self, step: Step, moment: &str) {
        self.points.pass(step.as_str(), moment).await;
    }
}

impl Ingest {
    /// One pass over all namespaces: of each one bounded step, if it is due.
    ///
    /// # Errors
    /// The first error, once no other namespace has more to do; one after which the process must end at once.
    pub async fn upkeep(&self, duty: Duty) -> Result<More, Error> {
        let room = &self.room;
        let _turn = room.upkeep.turn().await;
        let (mut more, mut failed) = (More::No, None);
        for namespace in room.catalog.every_namespace() {
            let done = match duty {
                Duty::Compaction => compact::step(room, &namespace).await,
                Duty::CleanUp => clean_up(room, &namespace).await,
            };
            match done {
                Ok(More::Yes) => more = More::Yes,
                Ok(More::No) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    room.metrics.step(duty.step(), "failed");
                    let step = duty.step().as_str();
                    tracing::warn!(%namespace, step, %error, "a step failed and will be tried again");
                    failed = failed.or(Some(error));
                }
            }
        }
        match failed {
            // While the others have more to do, one that fails does not make them wait: it is tried again beside them.
            Some(error) if more == More::No => Err(error),
            _ => Ok(more),
        }
    }
}

async fn clean_up(room: &Room, namespace: &Namespace) -> Result<More, Error> {
    // The first commit is a flush: it brings the namespace into the catalog.
    if room.catalog.events(namespace).head.version == 0 {
        return Ok(More::No);
    }
    let Swept { cleaned, trimmed, .. } = room.upkeep.cleaner.run(namespace, &Table::Events).await?;
    room.metrics.deleted(trimmed);
    match cleaned {
        Cleaned::Nothing => return Ok(More::No),
        Cleaned::Lost => room.metrics.step(Step::CleanUp, "lost"),
        Cleaned::Deleted(files) => {
            room.metrics.step(Step::CleanUp, "committed");
            room.metrics.deleted(files);
        }
    }
    Ok(More::Yes)
}
