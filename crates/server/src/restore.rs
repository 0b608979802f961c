//! Restore: a collection becomes again what it was, by changes that win; nothing is rewritten.
//!
//! Two rooms are composed: query compares then with now and streams what differs, ingest appends a compensating change for
//! each (source `tidemark.restore`, meta the instants). Appends are bounded, and each is whole or not at all; between
//! them somebody may read half a restore. One that was interrupted is asked for again and does the rest, because the rest
//! is what differs. What others write to a document after it was compared may win or lose by its time, as ever.
//!
//! 1. [`Restorer::begin`] checks what is wanted and starts the comparison.
//! 2. [`Run::step`] appends once; [`Run::report`] counts. [`door`] says it over HTTP, [`call`] in SQL.

pub mod call;
pub mod door;

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tidemark_catalog::{Catalog, LiveTail as _};
use tidemark_ingest::{Format, Ingest, RawBatch, Request, Target};
use tidemark_model::{Kind, Principal};
use tidemark_proto::Problem;
use tidemark_query::{Becomes, CollectionRef, Difference, Differences, Differing, Query, Then};

/// Most changes of one append.
const CHANGES_MAX: usize = 5_000;
/// Bytes of changes from which on they are appended; one document may lie above.
const BYTES_MAX: usize = 4 << 20;
/// The most bytes of a condition that every change repeats.
const TOLD_BYTES_MAX: usize = 256;
/// How many ids a report names.
const IDS_MAX: usize = 20;
/// How often an append is tried while ingest is under pressure, and the pause between.
const TRIES_MAX: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// Whether changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only counted.
    Dry,
    /// Made.
    Real,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The collection whose past is wanted.
    pub source: CollectionRef,
    /// The collection that becomes it; none is the same.
    pub into: Option<CollectionRef>,
    /// The instants; without any, the snapshot's.
    pub then: Then,
    /// The name of a snapshot.
    pub snapshot: Option<String>,
    /// Which documents count: a condition as behind WHERE.
    pub predicate: Option<String>,
    /// Whether changes are made.
    pub mode: Mode,
    /// Who asks: the condition reaches no further than they do.
    pub principal: Principal,
    /// As whom the changes say they were made.
    pub actor: String,
}

/// What was found, and done so far.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Whether nothing is written.
    pub dry_run: bool,
    /// The system time it goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The source time it goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_as_of: Option<String>,
    /// Documents that were and are not.
    pub added: u64,
    /// Documents that were others.
    pub changed: u64,
    /// Documents that are and were not.
    pub removed: u64,
    /// Documents that are what they were.
    pub unchanged: u64,
    /// Changes that were appended.
    pub appended: u64,
    /// The system time of the last append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_time: Option<String>,
    /// The first ids, in order, of documents that differ.
    pub ids: BTreeSet<String>,
}

/// Restores collections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Restorer {
    /// Which snapshots there are.
    pub catalog: Catalog,
    /// Appends.
    pub ingest: Ingest,
    /// Compares.
    pub query: Query,
}

/// A restore on its way. Dropping it ends it between two appends.
#[derive(Debug)]
pub struct Run {
    ingest: Ingest,
    differences: Differences,
    /// Compared, and not yet looked at.
    found: std::vec::IntoIter<Differing>,
    target: CollectionRef,
    /// What every change carries besides its document, as the rest of a JSON object.
    carried: String,
    mode: Mode,
    report: Report,
    changes: String,
    waiting: usize,
}

impl Restorer {
    /// Starts the comparison.
    ///
    /// # Errors
    /// What is wrong with what is wanted.
    pub async fn begin(&self, wanted: Wanted) -> Result<Run, Problem> {
        let Wanted { source, into, snapshot, predicate, mode, principal, actor, .. } = wanted.clone();
        let then = self.then(&wanted).await?;
        let meta = json!({
            "source": format!("{}.{}", source.namespace, source.collection),
            "as_of": then.as_of.map(|at| at.to_string()),
            "valid_as_of": then.valid_as_of.map(|at| at.to_string()),
            "snapshot": snapshot,
            "where": predicate.as_deref().map(shortened),
        });
        let carried = format!("\"source\":\"tidemark.restore\",\"actor\":{},\"meta\":{meta}", json!(actor));
        let target = into.unwrap_or_else(|| source.clone());
        let difference = Difference { principal, source, then, target: target.clone(), predicate };
        let differences = self.query.difference(&difference).await.map_err(|error| asked(&error))?;
        let report = Report {
            dry_run: mode == Mode::Dry,
            as_of: then.as_of.map(|at| at.to_string()),
            valid_as_of: then.valid_as_of.map(|at| at.to_string()),
            ..Report::default()
        };
        let ingest = self.ingest.clone();
        let (found, changes) = (Vec::new().into_iter(), String::new());
        Ok(Run { ingest, differences, found, target, carried, mode, report, changes, waiting: 0 })
    }

    /// The instants that are meant.
    async fn then(&self, wanted: &Wanted) -> Result<Then, Problem> {
        let Wanted { source, then, snapshot, .. } = wanted;
        let invalid = |detail: &str| Problem::new(Kind::Invalid, "invalid_restore", detail);
        match (snapshot, then.as_of) {
            (Some(_), Some(_)) => Err(invalid("a snapshot has an instant of its own: leave as_of out")),
            (Some(name), None) => {
                let at = self.query.instant_of(source, name).await.map_err(|error| asked(&error))?;
                Ok(Then { as_of: Some(at), ..*then })
            }
            (None, None) if then.valid_as_of.is_none() => {
                Err(invalid("nothing says which past is wanted: name as_of, valid_as_of or snapshot"))
            }
            _ => Ok(*then),
        }
    }
}

impl Run {
    /// Goes on until something was appended, or to the end; false at the end.
    ///
    /// # Errors
    /// What went wrong; what was appended stays, and asking again does the rest.
    pub async fn step(&mut self) -> Result<bool, Problem> {
        while self.waiting < CHANGES_MAX && self.changes.len() < BYTES_MAX {
            if let Some(differing) = self.found.next() {
                self.take(&differing);
            } else if let Some(found) = self.differences.more().await.map_err(|error| asked(&error))? {
                self.found = found.into_iter();
            } else {
                self.append().await?;
                return Ok(false);
            }
        }
        self.append().await?;
        Ok(true)
    }

    /// What was found and done so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn take(&mut self, differing: &Differing) {
        let count = match differing.becomes {
            Becomes::Added => &mut self.report.added,
            Becomes::Changed => &mut self.report.changed,
            Becomes::Removed => &mut self.report.removed,
            Becomes::Unchanged => &mut self.report.unchanged,
        };
        *count += 1;
        if differing.becomes == Becomes::Unchanged {
            return;
        }
        self.report.ids.insert(differing.id.clone());
        if self.report.ids.len() > IDS_MAX {
            self.report.ids.pop_last();
        }
        if self.mode == Mode::Real {
            // An array, not lines: a document may have been sent over several lines, and stays as it was sent.
            let change = self.change(differing);
            self.changes.push(if self.waiting == 0 { '[' } else { ',' });
            self.changes.push_str(&change);
            self.waiting += 1;
        }
    }

    /// The change that makes a document what it was. Without a `ts` it gets the system time, which lies above every closed
    /// instant; where what won so far lies above that, the change lies just above it.
    fn change(&self, differing: &Differing) -> String {
        let (op, document) = match (differing.becomes, &differing.document) {
            (Becomes::Added, Some(document)) => ("insert", format!(",\"doc\":{document}")),
            (_, Some(document)) => ("update", format!(",\"doc\":{document}")),
            (_, None) => ("delete", String::new()),
        };
        let ahead = differing.ts.filter(|won| *won > self.ingest.closed());
        let ts = ahead.map(|won| format!(",\"ts\":\"{}\"", won.plus_micros(1).max(self.ingest.now())));
        let (id, ts) = (json!(differing.id), ts.unwrap_or_default());
        format!("{{\"op\":\"{op}\",\"id\":{id}{document}{ts},{}}}", self.carried)
    }

    async fn append(&mut self) -> Result<(), Problem> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.changes.push(']');
        let changes = bytes::Bytes::from(std::mem::take(&mut self.changes));
        self.waiting = 0;
        let mut tries = 0;
        loop {
            let target = Target::Changes(self.target.collection.clone());
            let request = Request::new(target, RawBatch::plain(Format::Json, changes.clone())).of_lake();
            match self.ingest.append(&self.target.namespace, request).await {
                Ok(receipt) => {
                    self.report.appended += receipt.accepted;
                    self.report.system_time = Some(receipt.system_time.to_string());
                    return Ok(());
                }
                Err(error) if error.kind() == Kind::TooMany && tries < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Problem::from(error)),
            }
        }
    }
}

/// A condition as each change tells it: of a long one the beginning.
fn shortened(predicate: &str) -> String {
    if predicate.len() <= TOLD_BYTES_MAX {
        return predicate.to_owned();
    }
    let beginning = &predicate[..predicate.floor_char_boundary(TOLD_BYTES_MAX)];
    format!("{beginning}… ({} bytes)", predicate.len())
}

fn asked(error: &tidemark_query::Error) -> Problem {
    if error.kind() == Kind::Internal {
        tracing::error!(%error, "the comparison of a restore failed by a defect");
    }
    Problem::new(error.kind(), error.code(), error.to_string())
}
