//! What SQL can call, done: `CALL snapshot(…)`, `drop_snapshot(…)`, `restore(…)`, `clean_up(…)`, `compact(…)`,
//! `drop_collection(…)`, `undrop_collection(…)`.
//!
//! The calls run on the server's own runtime; whoever stops waiting ends a restore between two appends.

use std::sync::Arc;

use async_trait::async_trait;
use tidemark_catalog::{Audit, audit::Deed};
use tidemark_model::{Kind, Principal};
use tidemark_proto::Problem;
use tidemark_query::{
    CollectionRef,
    procedure::{Call, Outcome, Procedures, Refused},
};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{Mode, Restorer, Wanted};
use crate::{
    administration::Administration,
    audit::Begun,
    compaction::{Compactor, Done},
};

/// Calls at once: each may hold a place among the queries, and a restore asks for another.
const CALLS_MAX: usize = 2;

/// Does what is called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    restorer: Restorer,
    administration: Administration,
    audit: Audit,
    handle: Handle,
    places: Arc<Semaphore>,
}

impl Caller {
    /// One that works on this runtime.
    #[must_use]
    pub fn new(restorer: Restorer, administration: Administration, audit: Audit, handle: Handle) -> Self {
        Self { restorer, administration, audit, handle, places: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    async fn done(&self, principal: Principal, call: Call) -> Result<Outcome, Problem> {
        match call {
            Call::Snapshot { of: CollectionRef { namespace, collection }, name, as_of } => {
                let taken =
                    self.administration.take_snapshot((&namespace, &collection), name.as_deref(), as_of).await?;
                let (rows, bytes) = (taken.base.rows, taken.base.bytes());
                Ok(Outcome::Kept { name: taken.name, instant: taken.instant, rows, bytes })
            }
            Call::DropSnapshot { of: CollectionRef { namespace, collection }, name } => {
                self.administration.drop_snapshot((&namespace, &collection), &name).await?;
                Ok(Outcome::Dropped(name))
            }
            Call::CleanUp { of: CollectionRef { namespace, collection }, retention, is_dry } => {
                let mode = if is_dry { tidemark_cdc::Mode::Dry } else { tidemark_cdc::Mode::Real };
                let cdc = &self.administration.cdc;
                let done = cdc.clean_up((&namespace, &collection), retention, mode).await.map_err(refused)?;
                let counts = [done.changes, done.files, done.bytes, done.deleted, done.waiting];
                Ok(Outcome::CleanedUp { exact_from: done.exact_from, snapshots: done.snapshots, counts })
            }
            Call::Compact { of: CollectionRef { namespace, collection } } => {
                let Administration { catalog, ingest, cdc, .. } = self.administration.clone();
                let compactor = Compactor { catalog, ingest, cdc };
                let done = compactor.compact(&namespace, Some(&collection)).await?.into_iter();
                let counts = |done: &Done| {
                    [done.commits, done.files_before, done.files_after, done.bytes_before, done.bytes_after]
                };
                Ok(Outcome::Compacted(done.map(|done| (done.table.clone(), counts(&done))).collect()))
            }
            Call::DropCollection { of: CollectionRef { namespace, collection }, grace_s } => {
                let dropped = self.administration.drop((&namespace, Some(&collection)), grace_s).await?;
                Ok(Outcome::DroppedUntil { name: format!("{namespace}.{collection}"), until: dropped.until })
            }
            Call::UndropCollection { of: CollectionRef { namespace, collection } } => {
                self.administration.undrop((&namespace, Some(&collection))).await?;
                Ok(Outcome::BroughtBack(format!("{namespace}.{collection}")))
            }
            Call::Restore { of: source, then, snapshot, into, predicate, is_dry } => {
                let mode = if is_dry { Mode::Dry } else { Mode::Real };
                let actor = principal.id().to_owned();
                let wanted = Wanted { source, into, then, snapshot, predicate, mode, principal, actor };
                let mut run = self.restorer.begin(wanted).await?;
                while run.step().await? {}
                let report = run.report();
                let counts = [report.added, report.changed, report.removed, report.unchanged, report.appended];
                Ok(Outcome::Restored(counts))
            }
        }
    }
}

fn refused(error: tidemark_cdc::Error) -> Problem {
    Problem::new(error.kind(), error.code(), error.to_string())
}

#[async_trait]
impl Procedures for Caller {
    async fn call(&self, principal: Principal, call: Call) -> Result<Outcome, Refused> {
        let busy = |_full| Refused {
            kind: Kind::TooMany,
            code: "too_many_calls",
            detail: format!("{CALLS_MAX} calls are running: try again when they are done"),
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(busy)?;
        let caller = self.clone();
        let work = async move {
            let begun = Begun::new(caller.audit.clone(), deed(&principal, &call));
            let done = caller.done(principal, call).await;
            drop(place);
            begun.ended(done.as_ref().map_or_else(|problem| problem.code, |_outcome| "ok")).await?;
            done
        };
        let ended = AbortOnDropHandle::new(TaskTracker::new().spawn_on(work, &self.handle)).await;
        let done = ended.map_err(|error| Refused {
            kind: Kind::Internal,
            code: "internal",
            detail: format!("the call ended early: {error}"),
        })?;
        done.map_err(|problem| Refused { kind: problem.kind(), code: problem.code, detail: problem.detail })
    }
}

/// What a call is to the audit trail; its words are those of the routes that do the same.
fn deed(principal: &Principal, call: &Call) -> Deed {
    let (action, name) = match call {
        Call::Snapshot { name, .. } => ("take_snapshot", name.clone()),
        Call::DropSnapshot { name, .. } => ("drop_snapshot", Some(name.clone())),
        Call::CleanUp { .. } => ("clean_up", None),
        Call::Compact { .. } => ("compact", None),
        Call::Restore { .. } => ("restore", None),
        Call::DropCollection { .. } => ("drop_collection", None),
        Call::UndropCollection { .. } => ("undrop_collection", None),
    };
    let of = call.collections().first().copied();
    let object =
        of.map(|of| [Some(of.collection.to_string()), name].into_iter().flatten().collect::<Vec<_>>().join("/"));
    let (who, namespace) = (principal.id().to_owned(), of.map(|of| of.namespace.clone()));
    Deed { who, action, namespace, object, door: "sql", request: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document that a declared schema refuses, say, is no defect of ours because SQL asked for it.
    #[test]
    fn a_problem_keeps_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(Problem::new(kind, "code", "detail").kind(), kind);
        }
    }
}
