//! The schema `system`: what the lake holds and does, as tables.
//!
//! [`VIEWS`] is the list; a further view is a further entry. Most rows are about a namespace, and who asks sees the rows of
//! namespaces that [`Seen`] shows them, and no others; tokens and the audit trail are shown to who administers what they
//! are about, jobs to who may ask the whole lake, statements to who said them. Rows are made of what is known when a scan
//! begins: views have a present and no past.

mod rows;

use std::sync::{Arc, OnceLock};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use futures::future::BoxFuture;
use tidemark_catalog::{Audit, Jobs, Rejects, Tokens};
use tidemark_fold::columns::timestamp;
use tidemark_model::Clock;

use super::provider::Wanted;
use crate::{
    plan::names::{CATALOG, Seen},
    run::log::Log,
};

/// The name of the schema; no namespace may have it.
pub(crate) const SYSTEM: &str = "system";

/// Who tells of what the catalog does not hold.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Keeps refused records.
    pub rejects: Arc<dyn Rejects>,
    /// Runs the background jobs.
    pub jobs: Arc<dyn Jobs>,
    /// Who may ask.
    pub tokens: Tokens,
    /// Who did what.
    pub audit: Audit,
}

/// Who tells the rows of views besides the catalog.
#[derive(Debug)]
pub(crate) struct Tellers {
    /// The server says who does.
    pub(crate) shown: OnceLock<Shown>,
    /// Which statements run.
    pub(crate) log: Arc<Log>,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Tellers {
    /// Those of a room.
    pub(crate) const fn new(clock: Arc<dyn Clock>, log: Arc<Log>) -> Self {
        Self { shown: OnceLock::new(), log, clock }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy)]
enum Of {
    Text,
    Int,
    Bool,
    Time,
}

/// One table of the schema.
#[derive(Debug)]
pub(crate) struct View {
    /// Its name.
    pub(crate) name: &'static str,
    columns: &'static [(&'static str, Of)],
    rows: Rows,
}

/// The columns of a view for whoever looks.
enum Rows {
    /// Of what is in memory.
    Held(fn(&Seen, &Tellers) -> Vec<ArrayRef>),
    /// Of what has to be read.
    Read(for<'a> fn(&'a Seen, &'a Tellers) -> BoxFuture<'a, Result<Vec<ArrayRef>>>),
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Held(_)) { "Held" } else { "Read" })
    }
}

use Of::{Bool, Int, Text, Time};

/// Every view.
pub(crate) const VIEWS: &[View] = &[
    View {
        name: "audit",
        columns: &[
            ("at", Time),
            ("who", Text),
            ("action", Text),
            ("namespace", Text),
            ("object", Text),
            ("door", Text),
            ("request", Text),
            ("outcome", Text),
        ],
        rows: Rows::Read(rows::audit),
    },
    View {
        name: "collections",
        columns: &[
            ("namespace", Text),
            ("collection", Text),
            ("shard", Int),
            ("created_at", Time),
            ("schema_id", Int),
            ("columns", Int),
            ("version", Int),
            ("mark", Int),
            ("system_time", Time),
            ("documents", Int),
            ("changes", Int),
            ("files", Int),
            ("bytes", Int),
            ("declared_version", Int),
        ],
        rows: Rows::Held(rows::collections),
    },
    View {
        name: "dropped",
        columns: &[("namespace", Text), ("collection", Text), ("dropped_at", Time), ("until", Time)],
        rows: Rows::Held(rows::dropped),
    },
    View {
        name: "files",
        columns: &[
            ("namespace", Text),
            ("table_name", Text),
            ("kind", Text),
            ("path", Text),
            ("rows", Int),
            ("bytes", Int),
            ("sha256", Text),
        ],
        rows: Rows::Held(rows::files),
    },
    View {
        name: "jobs",
        columns: &[
            ("job", Text),
            ("interval_ms", Int),
            ("is_running", Bool),
            ("ticks", Int),
            ("failures", Int),
            ("began_at", Time),
            ("ended_at", Time),
            ("outcome", Text),
            ("error", Text),
        ],
        rows: Rows::Held(rows::jobs),
    },
    View {
        name: "leases",
        columns: &[
            ("epoch", Int),
            ("holder", Text),
            ("taken_at", Time),
            ("lease_ms", Int),
            ("is_held", Bool),
            ("log", Text),
            ("log_id", Text),
            ("inherited_logs", Int),
        ],
        rows: Rows::Held(rows::leases),
    },
    View {
        name: "namespaces",
        columns: &[
            ("namespace", Text),
            ("collections", Int),
            ("version", Int),
            ("system_time", Time),
            ("events", Int),
            ("files", Int),
            ("bytes", Int),
        ],
        rows: Rows::Held(rows::namespaces),
    },
    View {
        name: "queries",
        columns: &[
            ("id", Int),
            ("who", Text),
            ("namespace", Text),
            ("sql", Text),
            ("state", Text),
            ("began_at", Time),
            ("ended_at", Time),
            ("waited_us", Int),
            ("planned_us", Int),
            ("rows", Int),
            ("outcome", Text),
        ],
        rows: Rows::Held(rows::queries),
    },
    View {
        name: "rejected",
        columns: &[
            ("id", Text),
            ("rejected_at", Time),
            ("namespace", Text),
            ("collection", Text),
            ("door", Text),
            ("record_index", Int),
            ("event_id", Text),
            ("code", Text),
            ("pointer", Text),
            ("message", Text),
            ("record", Text),
            ("record_bytes", Int),
        ],
        rows: Rows::Held(rows::rejected),
    },
    View {
        name: "snapshots",
        columns: &[
            ("namespace", Text),
            ("collection", Text),
            ("name", Text),
            ("kind", Text),
            ("system_time", Time),
            ("taken_at", Time),
            ("rows", Int),
            ("files", Int),
            ("bytes", Int),
        ],
        rows: Rows::Held(rows::snapshots),
    },
    View {
        name: "time_travel",
        columns: &[
            ("namespace", Text),
            ("collection", Text),
            ("created_at", Time),
            ("exact_from", Time),
            ("valid_exact_from", Time),
            ("in_files_up_to", Time),
            ("version", Int),
            ("changes_kept", Int),
            ("bases", Int),
            ("checkpoints", Int),
            ("snapshots", Int),
            ("oldest_snapshot", Time),
            ("newest_snapshot", Time),
        ],
        rows: Rows::Held(rows::time_travel),
    },
    View {
        name: "tokens",
        columns: &[
            ("id", Text),
            ("name", Text),
            ("scopes", Text),
            ("namespaces", Text),
            ("standing", Text),
            ("created_at", Time),
            ("created_by", Text),
            ("expires_at", Time),
            ("revoked_at", Time),
            ("last_used_at", Time),
        ],
        rows: Rows::Held(rows::tokens),
    },
];

impl View {
    /// The columns of the view.
    pub(crate) fn columns(&self) -> SchemaRef {
        let field = |(name, of): &(&str, Of)| {
            let of = match of {
                Text => DataType::Utf8,
                Int => DataType::Int64,
                Bool => DataType::Boolean,
                Time => timestamp(),
            };
            Field::new(*name, of, true)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// The view that a table's name means, if it is one of this schema.
pub(crate) fn view(words: &[String]) -> Option<&'static View> {
    let name = match words {
        [schema, name] if schema == SYSTEM => name,
        [of, schema, name] if of == CATALOG && schema == SYSTEM => name,
        _ => return None,
    };
    named(name)
}

/// The view of a name.
pub(crate) fn named(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name)
}

/// A view for whoever asks.
#[derive(Debug)]
pub(crate) struct SystemTable {
    /// Which one.
    pub(crate) view: &'static View,
    /// What they see of the catalog.
    pub(crate) seen: Seen,
    /// Who tells the rest.
    pub(crate) tellers: Arc<Tellers>,
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.view.columns()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted { columns: self.schema(), projection: projection.cloned() };
        let columns = match self.view.rows {
            Rows::Held(of) => of(&self.seen, &self.tellers),
            Rows::Read(of) => of(&self.seen, &self.tellers).await?,
        };
        let rows = RecordBatch::try_new(self.schema(), columns)?;
        wanted.united(wanted.memory(&[rows], Vec::new())?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_this_schema_only() {
        let words = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        for (name, is_view) in [
            ("system.files", true),
            ("tidemark.system.rejected", true),
            ("files", false),
            ("system.nothing", false),
            ("shop.files", false),
            ("other.system.files", false),
        ] {
            assert_eq!(view(&words(name)).is_some(), is_view, "{name}");
        }
        assert!(VIEWS.is_sorted_by_key(|view| view.name), "lists are in order");
    }
}
