//! What SQL can call: the seam to whoever does it, and the rows that tell what came of it.
//!
//! This room reads only; the server, which knows the other rooms, implements [`Procedures`].

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use tidemark_model::{Denied, Instant, Kind, Principal, Retention, Scope};

use crate::{CollectionRef, Then, sql::procedure::Procedure};

/// A call with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Keep the state as of an instant, by default of now.
    Snapshot {
        /// Of which collection.
        of: CollectionRef,
        /// Under which name.
        name: Option<String>,
        /// As of when.
        as_of: Option<Instant>,
    },
    /// Drop a snapshot.
    DropSnapshot {
        /// Of which collection.
        of: CollectionRef,
        /// Its name.
        name: String,
    },
    /// Go back.
    Restore {
        /// Of which collection the past is wanted.
        of: CollectionRef,
        /// Its instants.
        then: Then,
        /// The name of a snapshot.
        snapshot: Option<String>,
        /// Another collection that becomes it.
        into: Option<CollectionRef>,
        /// Which documents.
        predicate: Option<String>,
        /// Whether it is only counted.
        is_dry: bool,
    },
    /// Let go what lies beyond how long the past is kept.
    CleanUp {
        /// Of which collection.
        of: CollectionRef,
        /// How long; what is not said is as it is in force.
        retention: Retention,
        /// Whether it is only told.
        is_dry: bool,
    },
    /// Fold what waits, and make few files of many.
    Compact {
        /// Of which collection, and of the events of its namespace.
        of: CollectionRef,
    },
    /// Drop a collection.
    DropCollection {
        /// Which one.
        of: CollectionRef,
        /// How long it can be brought back, seconds; 0 erases it.
        grace_s: Option<u64>,
    },
    /// Bring a collection back.
    UndropCollection {
        /// Which one.
        of: CollectionRef,
    },
}

impl Call {
    /// The collections it is about, the one that it changes first.
    #[must_use]
    pub fn collections(&self) -> Vec<&CollectionRef> {
        match self {
            Self::Snapshot { of, .. }
            | Self::DropSnapshot { of, .. }
            | Self::CleanUp { of, .. }
            | Self::Compact { of }
            | Self::DropCollection { of, .. }
            | Self::UndropCollection { of } => vec![of],
            Self::Restore { of, into, .. } => into.iter().chain([of]).collect(),
        }
    }

    /// Lets on who administers all of them.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Denied> {
        self.collections().into_iter().try_for_each(|of| principal.check(Scope::Admin, &of.namespace))
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A snapshot that is kept.
    Kept {
        /// Its name.
        name: String,
        /// Its instant.
        instant: Instant,
        /// Its documents.
        rows: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// The name of a snapshot that was dropped.
    Dropped(String),
    /// A restore: documents added, changed, removed, left as they are; changes appended.
    Restored([u64; 5]),
    /// A clean-up.
    CleanedUp {
        /// From where on every instant is exact.
        exact_from: Option<Instant>,
        /// Names of snapshots that went.
        snapshots: Vec<String>,
        /// Changes that went; files that nothing names, their bytes; files deleted; files that wait.
        counts: [u64; 5],
    },
    /// A collection that was dropped.
    DroppedUntil {
        /// `{namespace}.{collection}`.
        name: String,
        /// Until when it can be brought back.
        until: Instant,
    },
    /// A collection that is there again, `{namespace}.{collection}`.
    BroughtBack(String),
    /// A compaction of each table: its name, and commits, files before and after, bytes before and after.
    Compacted(Vec<(String, [u64; 5])>),
}

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it means to the caller.
    pub kind: Kind,
    /// A stable word.
    pub code: &'static str,
    /// What happened and what to do.
    pub detail: String,
}

/// Whoever does what is called.
#[async_trait]
pub trait Procedures: std::fmt::Debug + Send + Sync {
    /// Does it for somebody who may; whoever stops waiting ends it where that is harmless.
    async fn call(&self, principal: Principal, call: Call) -> Result<Outcome, Refused>;
}

/// The columns that tell what came of a procedure.
pub(crate) fn columns(procedure: Procedure) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(match procedure {
        Procedure::Snapshot => vec![text("name"), text("instant"), int("rows"), int("bytes")],
        Procedure::DropSnapshot => vec![text("dropped")],
        Procedure::DropCollection => vec![text("dropped"), text("until")],
        Procedure::UndropCollection => vec![text("brought_back")],
        Procedure::CleanUp => {
            let counts = ["changes", "files", "bytes", "deleted", "waiting"].map(int);
            [Field::new("exact_from", DataType::Utf8, true), text("snapshots")].into_iter().chain(counts).collect()
        }
        Procedure::Compact => {
            let counts = ["commits", "files_before", "files_after", "bytes_before", "bytes_after"].map(int);
            std::iter::once(text("table")).chain(counts).collect()
        }
        Procedure::Restore => ["added", "changed", "removed", "unchanged", "appended"].map(int).into(),
    }))
}

/// The rows that tell what came of it.
pub(crate) fn row(outcome: Outcome, columns: SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let int = |n: u64| Arc::new(Int64Array::from(vec![i64::try_from(n).unwrap_or(i64::MAX)])) as ArrayRef;
    let cells = match outcome {
        Outcome::Kept { name, instant, rows, bytes } => {
            vec![text(name), text(instant.to_string()), int(rows), int(bytes)]
        }
        Outcome::Dropped(name) | Outcome::BroughtBack(name) => vec![text(name)],
        Outcome::DroppedUntil { name, until } => vec![text(name), text(until.to_string())],
        Outcome::Restored(counts) => counts.map(int).into(),
        Outcome::Compacted(tables) => {
            let column = |nth: usize| {
                let counts = tables.iter().map(|(_, counts)| i64::try_from(counts[nth]).unwrap_or(i64::MAX));
                Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
            };
            let names = Arc::new(StringArray::from_iter_values(tables.iter().map(|(name, _)| name))) as ArrayRef;
            std::iter::once(names).chain((0..5).map(column)).collect()
        }
        Outcome::CleanedUp { exact_from, snapshots, counts } => {
            let from = Arc::new(StringArray::from(vec![exact_from.map(|at| at.to_string())])) as ArrayRef;
            [from, text(snapshots.join(" "))].into_iter().chain(counts.map(int)).collect()
        }
    };
    RecordBatch::try_new(columns, cells)
}
