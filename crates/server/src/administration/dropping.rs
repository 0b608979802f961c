//! Dropping namespaces and collections, with a grace in which it is undone, and erasing them after it.
//!
//! 1. [`Administration::drop`]: from its answer on nobody sees it and nothing is added to it; nothing else happens.
//! 2. [`Administration::undrop`], within the grace: it is there again, as it was.
//! 3. [`Administration::erase_due`], a job: what is over its grace is said to be erased, which cannot be undone, flushed,
//!    and emptied by one commit of each of its tables; then its name is free. Cut off anywhere, the next tick goes on.

use tidemark_catalog::LiveTail as _;
use tidemark_model::{CollectionName, Denied, Instant, Kind, Namespace, Standing, standing::GRACE_S_MAX};
use tidemark_proto::Problem;
use tokio_util::task::TaskTracker;

use super::Administration;
use crate::reply::problem;

/// How long what is dropped can be brought back where nobody says: a week, in seconds.
const GRACE_S: u64 = 7 * 86_400;

/// What was dropped and can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The namespace.
    pub namespace: Namespace,
    /// The collection; none is the namespace with all that is in it.
    pub collection: Option<CollectionName>,
    /// When.
    pub at: Instant,
    /// Until when it can be brought back.
    pub until: Instant,
}

/// A namespace, or a collection of it.
type Of<'a> = (&'a Namespace, Option<&'a CollectionName>);

impl Administration {
    /// Drops a namespace or a collection; one that is dropped gets a new grace. A grace of 0 erases it before the answer.
    ///
    /// # Errors
    /// 404; 400 for a grace that is too long; 409 `erasing`; what the rooms say.
    pub async fn drop(&self, (namespace, collection): Of<'_>, grace_s: Option<u64>) -> Result<Dropped, Problem> {
        let (this, namespace, collection) = (self.clone(), namespace.clone(), collection.cloned());
        to_its_end(async move { this.drop_now((&namespace, collection.as_ref()), grace_s).await }).await
    }

    async fn drop_now(&self, (namespace, collection): Of<'_>, grace_s: Option<u64>) -> Result<Dropped, Problem> {
        let _turn = self.standings.lock().await;
        let grace_s = grace_s.unwrap_or(GRACE_S);
        if grace_s > GRACE_S_MAX {
            let said = format!("grace_s = {grace_s} is too much: at most {GRACE_S_MAX}, and 0 erases at once");
            return Err(Problem::new(Kind::Invalid, "invalid_grace", said));
        }
        self.ingest.settle().await.map_err(Problem::from)?;
        match self.standing((namespace, collection))? {
            Standing::Erasing => return Err(erasing((namespace, collection))),
            Standing::Live | Standing::Dropped { .. } | Standing::Erased { .. } => {}
        }
        let at = self.ingest.now();
        let until = at.plus_micros(i64::try_from(grace_s).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        let standing = Standing::Dropped { at, until };
        self.ingest.stand(namespace, collection, standing).await.map_err(Problem::from)?;
        let name = collection.map(CollectionName::as_str);
        tracing::info!(%namespace, collection = name, %until, "dropped");
        if grace_s == 0 {
            self.erase((namespace, collection)).await?;
        }
        Ok(Dropped { namespace: namespace.clone(), collection: collection.cloned(), at, until })
    }

    /// Brings back what was dropped.
    ///
    /// # Errors
    /// 404; 409 `not_dropped`, `erasing`; what the rooms say.
    pub async fn undrop(&self, (namespace, collection): Of<'_>) -> Result<(), Problem> {
        let (this, namespace, collection) = (self.clone(), namespace.clone(), collection.cloned());
        to_its_end(async move { this.undrop_now((&namespace, collection.as_ref())).await }).await
    }

    async fn undrop_now(&self, (namespace, collection): Of<'_>) -> Result<(), Problem> {
        let _turn = self.standings.lock().await;
        self.ingest.settle().await.map_err(Problem::from)?;
        match self.standing((namespace, collection))? {
            Standing::Dropped { .. } => {}
            Standing::Erasing => return Err(erasing((namespace, collection))),
            Standing::Live | Standing::Erased { .. } => {
                let said = format!("{} is there: nothing is to be brought back", shown((namespace, collection)));
                return Err(Problem::new(Kind::Conflict, "not_dropped", said));
            }
        }
        self.ingest.stand(namespace, collection, Standing::Live).await.map_err(Problem::from)?;
        let name = collection.map(CollectionName::as_str);
        tracing::info!(%namespace, collection = name, "brought back");
        Ok(())
    }

    /// All that was dropped and can be brought back, in order.
    #[must_use]
    pub fn dropped(&self) -> Vec<Dropped> {
        let dropped = self.catalog.away().into_iter().filter_map(|(namespace, collection, standing)| match standing {
            Standing::Dropped { at, until } => Some(Dropped { namespace, collection, at, until }),
            Standing::Live | Standing::Erasing | Standing::Erased { .. } => None,
        });
        dropped.collect()
    }

    /// Erases the namespaces and collections whose grace is over, and goes on with those that are being erased; whether there
    /// were any.
    ///
    /// # Errors
    /// The first that the rooms say, once the others had their turn; the next call goes on.
    pub async fn erase_due(&self) -> Result<bool, Problem> {
        let _turn = self.standings.lock().await;
        self.ingest.settle().await.map_err(Problem::from)?;
        let now = self.ingest.now();
        let is_due = |standing: &Standing| standing.is_due(now) || *standing == Standing::Erasing;
        let (mut any, mut failed) = (false, None);
        for (namespace, collection, _) in self.catalog.away().into_iter().filter(|(_, _, standing)| is_due(standing)) {
            any = true;
            if let Err(problem) = self.erase((&namespace, collection.as_ref())).await {
                failed = failed.or(Some(problem));
            }
        }
        failed.map_or(Ok(any), Err)
    }

    /// Erases what was dropped, in whoever's turn it is. From its first step on it cannot be brought back; each of the others
    /// may be repeated.
    async fn erase(&self, (namespace, collection): Of<'_>) -> Result<(), Problem> {
        let cdc = |error: tidemark_cdc::Error| problem(&error);
        self.ingest.stand(namespace, collection, Standing::Erasing).await.map_err(Problem::from)?;
        self.ingest.flush(namespace).await.map_err(Problem::from)?;
        match collection {
            Some(name) => self.cdc.erase(namespace, name).await.map_err(cdc)?,
            None => {
                for known in self.catalog.every_collection(namespace) {
                    self.cdc.erase(namespace, &known.name).await.map_err(cdc)?;
                }
                self.ingest.erase_events(namespace).await.map_err(Problem::from)?;
            }
        }
        self.ingest.erase_rejected(namespace, collection).await.map_err(Problem::from)?;
        let at = self.catalog.events(namespace).system_time;
        self.ingest.stand(namespace, collection, Standing::Erased { at }).await.map_err(Problem::from)?;
        let name = collection.map(CollectionName::as_str);
        tracing::info!(%namespace, collection = name, up_to = %at, "erased");
        Ok(())
    }

    /// What became of a namespace or a collection that somebody may speak of: of an erased one nobody knows.
    fn standing(&self, (namespace, collection): Of<'_>) -> Result<Standing, Problem> {
        let of_namespace = self.catalog.standing(namespace, None);
        let of_namespace = of_namespace.filter(|standing| !matches!(standing, Standing::Erased { .. }));
        let hidden = || Problem::from(Denied::Hidden(namespace.clone()));
        let of_namespace = of_namespace.ok_or_else(hidden)?;
        let Some(name) = collection else { return Ok(of_namespace) };
        if !of_namespace.is_live() {
            return Err(hidden());
        }
        let standing = self.catalog.standing(namespace, collection);
        let unknown = || problem(&tidemark_cdc::Error::UnknownCollection(format!("{namespace}.{name}")));
        standing.filter(|standing| !matches!(standing, Standing::Erased { .. })).ok_or_else(unknown)
    }
}

/// Runs work to its end, also when whoever asked goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let ended = TaskTracker::new().spawn(work).await;
    let early = |error| Err(Problem::new(Kind::Internal, "internal", format!("the work ended early: {error}")));
    ended.unwrap_or_else(early)
}

fn shown((namespace, collection): Of<'_>) -> String {
    collection.map_or_else(|| namespace.to_string(), |name| format!("{namespace}.{name}"))
}

fn erasing(of: Of<'_>) -> Problem {
    Problem::new(Kind::Conflict, "erasing", format!("{} is being erased and cannot be brought back", shown(of)))
}
