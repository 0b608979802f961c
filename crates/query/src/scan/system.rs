//! The schema `system`: what the lake holds and does, as tables.
//!
//! [`VIEWS`] is the list; a further view is a further entry. Every row is about a namespace, and who asks sees the rows of
//! namespaces that [`Seen`] shows them, and no others. Rows are made of what is in memory when a scan begins: views have a
//! present and no past.

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
use tidemark_catalog::Rejects;
use tidemark_fold::columns::timestamp;

use super::provider::Wanted;
use crate::plan::names::{CATALOG, Seen};

/// The name of the schema; no namespace may have it.
pub(crate) const SYSTEM: &str = "system";

/// Who tells of what is not in the catalog; the server says who does.
#[derive(Debug, Default)]
pub(crate) struct Tellers {
    /// Keeps refused records.
    pub(crate) rejects: OnceLock<Arc<dyn Rejects>>,
}

/// The type of a column.
#[derive(Debug, Clone, Copy)]
enum Of {
    Text,
    Int,
    Time,
}

/// One table of the schema.
#[derive(Debug)]
pub(crate) struct View {
    /// Its name.
    pub(crate) name: &'static str,
    columns: &'static [(&'static str, Of)],
    /// Its columns for whoever looks.
    rows: fn(&Seen, &Tellers) -> Vec<ArrayRef>,
}

use Of::{Int, Text, Time};

/// Every view.
pub(crate) const VIEWS: &[View] = &[
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
        rows: rows::collections,
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
        rows: rows::files,
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
        rows: rows::namespaces,
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
        rows: rows::rejected,
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
        rows: rows::snapshots,
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
        rows: rows::time_travel,
    },
];

impl View {
    /// The columns of the view.
    pub(crate) fn columns(&self) -> SchemaRef {
        let field = |(name, of): &(&str, Of)| {
            let of = match of {
                Text => DataType::Utf8,
                Int => DataType::Int64,
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
        let rows = RecordBatch::try_new(self.schema(), (self.view.rows)(&self.seen, &self.tellers))?;
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
