//! The front of the room: a handle whose verbs are tick, settle, and upkeep of the past (`past`).
//!
//! One step at a time runs per process: whoever ticks takes the turn. A pass goes over all collections and lets each
//! make one delta and one fold, so that a busy collection does not starve a quiet one; a collection that fails does not
//! hold up the others.

mod clean_up;
mod compact;
mod erase;
mod past;

use std::{collections::BTreeMap, sync::Arc};

use tidemark_catalog::{Catalog, LiveTail};
use tidemark_model::{Clock, CollectionName, Ids, Namespace, Standing};
use tokio::sync::Mutex;

pub use self::{
    clean_up::{CleanedUp, Mode},
    compact::Compacted,
};
use crate::{
    Config, Error, cleanup, delta, fold,
    job::{Job, Tools},
    metrics::{Metrics, Step},
    point::Points,
    rollup::Bulky,
};

/// Passes after which settling gives up: each either makes a bounded step for some collection or is the last.
const SETTLE_PASSES_MAX: usize = 10_000;

/// What the room is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Who exists, manifests, commits, the lake's bytes.
    pub catalog: Catalog,
    /// What is durable but in no file, and which instants are closed.
    pub live: Arc<dyn LiveTail>,
    /// The wall clock: the age of what is pending, names of files.
    pub clock: Arc<dyn Clock>,
    /// Unique ends of file names.
    pub ids: Arc<Ids>,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
    /// Where tests let the process die; none by default.
    pub points: Points,
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

impl More {
    fn or(self, other: Self) -> Self {
        if self == Self::Yes { Self::Yes } else { other }
    }
}

/// What is done to keep the past exact and cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Daily and monthly snapshots whose instant has passed.
    Snapshots,
    /// States bounded in source time, where many changes lie between two bases.
    Checkpoints,
    /// Small deltas into larger ones.
    RollUp,
    /// Changes beyond the history window.
    Retention,
    /// Files that nothing names any more, and manifests that are long past.
    CleanUp,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 5] = [Self::Snapshots, Self::Checkpoints, Self::RollUp, Self::Retention, Self::CleanUp];
}

/// What a pass does with every collection.
#[derive(Debug, Clone, Copy)]
enum Work {
    Changes(Urgency),
    Upkeep(Duty),
}

impl Work {
    /// Whether it is done of a collection. What was dropped is kept as if it were there, so that it can be brought back; of
    /// what was erased the files have to go.
    const fn is_of(self, standing: &Standing) -> bool {
        match standing {
            Standing::Live | Standing::Dropped { .. } => true,
            Standing::Erasing => false,
            Standing::Erased { .. } => matches!(self, Self::Upkeep(Duty::CleanUp)),
        }
    }
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// What the thresholds call due.
    Due,
    /// Every pending change into deltas; states as due by thresholds are left for later.
    Deltas,
    /// Every pending change into deltas and states.
    All,
}

/// The handle of the room. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cdc {
    tools: Arc<Tools>,
    turn: Arc<Mutex<()>>,
}

impl Cdc {
    /// Opens the room. It has no loop of its own: the runner of the process ticks it, woken by the bell of ingest.
    ///
    /// # Errors
    /// [`Error::Metrics`] when a measurement's name is taken.
    pub fn new(config: Config, deps: &Deps) -> Result<Self, Error> {
        let metrics = Metrics::register(&deps.metrics)?;
        let (catalog, clock, ids) = (deps.catalog.clone(), Arc::clone(&deps.clock), Arc::clone(&deps.ids));
        let live = Arc::clone(&deps.live);
        let (cleaner, points) = (cleanup::cleaner(&config, &catalog, &deps.points), deps.points.clone());
        let bulky = Bulky::default();
        let tools = Tools { config, catalog, live, clock, ids, metrics, cleaner, bulky, points };
        Ok(Self { tools: Arc::new(tools), turn: Arc::default() })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.tools.config
    }

    /// One pass over all collections: of each at most one delta and one fold that is due.
    ///
    /// # Errors
    /// The first error, once no other collection has more to do; one that ends the process at once.
    pub async fn tick(&self) -> Result<More, Error> {
        self.pass(&self.tools.catalog.every_namespace(), Work::Changes(Urgency::Due)).await
    }

    /// Puts everything that lies in events files of all namespaces into deltas, due or not.
    ///
    /// # Errors
    /// The first error of a pass.
    pub async fn drain(&self) -> Result<(), Error> {
        self.finish(&self.tools.catalog.every_namespace(), Urgency::Deltas).await
    }

    /// Puts everything that lies in events files of a namespace into deltas and states, due or not.
    ///
    /// # Errors
    /// The first error of a pass.
    pub async fn settle(&self, namespace: &Namespace) -> Result<(), Error> {
        self.finish(std::slice::from_ref(namespace), Urgency::All).await
    }

    async fn finish(&self, namespaces: &[Namespace], urgency: Urgency) -> Result<(), Error> {
        for _pass in 0..SETTLE_PASSES_MAX {
            if self.pass(namespaces, Work::Changes(urgency)).await? == More::No {
                return Ok(());
            }
        }
        let namespace = namespaces.iter().map(Namespace::as_str).collect::<Vec<_>>().join(", ");
        Err(Error::Unsettled { namespace, passes: SETTLE_PASSES_MAX })
    }

    async fn pass(&self, namespaces: &[Namespace], work: Work) -> Result<More, Error> {
        let _turn = self.turn.lock().await;
        let (mut more, mut failed, mut pending) = (More::No, None, 0);
        for namespace in namespaces {
            let events = self.tools.catalog.events(namespace);
            let mut collections = self.tools.catalog.every_collection(namespace);
            collections.retain(|collection| work.is_of(&collection.standing));
            let manifests: BTreeMap<CollectionName, _> = collections
                .iter()
                .map(|collection| (collection.name.clone(), self.tools.catalog.manifest(namespace, &collection.name)))
                .collect();
            let backlogs = delta::pick::backlogs(&events, |name| manifests.get(name).map(|manifest| manifest.mark));
            pending += backlogs.values().map(|backlog| backlog.rows).sum::<u64>();
            for collection in collections {
                let Some(manifest) = manifests.get(&collection.name).map(Arc::clone) else { continue };
                let (tools, events) = (self.tools.as_ref(), Arc::clone(&events));
                let job = Job { tools, namespace, events, collection, manifest };
                let done = match work {
                    Work::Changes(urgency) => self.collection(job, &backlogs, urgency).await,
                    Work::Upkeep(duty) => self.upkeep_of(job, duty).await,
                };
                match done {
                    Ok(found) => more = more.or(found),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        self.tools.metrics.pending(pending);
        match failed {
            // While the others have more to do, one that fails does not make them wait: it is tried again beside them.
            Some(error) if more == More::No => Err(error),
            _ => Ok(more),
        }
    }

    async fn collection(
        &self,
        mut job: Job<'_>,
        backlogs: &delta::pick::Backlogs<'_>,
        urgency: Urgency,
    ) -> Result<More, Error> {
        let mut more = More::No;
        if let Some(backlog) = backlogs.get(&job.collection.name) {
            more = self.noted(&job, Step::Delta, delta::step(&job, backlog, urgency).await)?;
            job.manifest = self.tools.catalog.manifest(job.namespace, &job.collection.name);
        }
        Ok(more.or(self.noted(&job, Step::Fold, fold::step(&job, urgency).await)?))
    }

    /// Counts and tells a failure where its place is known.
    fn noted(&self, job: &Job<'_>, step: Step, done: Result<More, Error>) -> Result<More, Error> {
        done.inspect_err(|error| {
            self.tools.metrics.failed(step);
            let (namespace, collection) = (job.namespace.as_str(), job.collection.name.as_str());
            tracing::warn!(namespace, collection, step = step.as_str(), %error, "a step failed and will be tried again");
        })
    }
}

#[cfg(test)]
mod tests;
