//! What a door asks and what it gets.

use datafusion::{arrow::datatypes::SchemaRef, common::ScalarValue, execution::SendableRecordBatchStream};
use tidemark_model::{Instant, Mark, Namespace, Principal};

/// Settings of whoever asks; a clause in the statement is more specific and wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// The schema unqualified names are looked up in.
    pub namespace: Option<Namespace>,
    /// Default of `FOR SYSTEM_TIME AS OF`.
    pub as_of: Option<Instant>,
    /// Default of `FOR VALID_TIME AS OF`.
    pub valid_as_of: Option<Instant>,
    /// Whether an instant whose history was dropped is read as the nearest one before it that is kept.
    pub nearest: bool,
    /// Which columns a collection has in a question about the past.
    pub schema: SchemaOf,
    /// Positions that have to be there first, as receipts tell them; of one call, no session keeps it.
    pub after: Option<Mark>,
}

/// Which columns a collection has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaOf {
    /// Those it has now: one that did not exist at the instant reads NULL.
    #[default]
    Present,
    /// Those it had at the instant of system time.
    Instant,
}

impl SchemaOf {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Instant => "as_of",
        }
    }
}

/// A setting of a session; `None` is its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// [`Session::as_of`].
    AsOf(Option<Instant>),
    /// [`Session::valid_as_of`].
    ValidAsOf(Option<Instant>),
    /// [`Session::nearest`].
    Nearest(bool),
    /// [`Session::schema`].
    Schema(SchemaOf),
}

impl Session {
    /// Whether it asks for another instant than the present.
    #[must_use]
    pub const fn is_of_the_past(&self) -> bool {
        self.as_of.is_some() || self.valid_as_of.is_some()
    }

    /// Takes a setting.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::AsOf(at) => self.as_of = at,
            Setting::ValidAsOf(at) => self.valid_as_of = at,
            Setting::Nearest(is_on) => self.nearest = is_on,
            Setting::Schema(of) => self.schema = of,
        }
    }
}

/// The instants a statement is fixed at, so that a retry, a ticket or a late DoGet reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// S: the last closed system time when the statement began; tables without a clause are read at it.
    pub system_time: Instant,
    /// What `now()` means everywhere in the statement.
    pub now: Instant,
}

/// One SQL statement with its parameters.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text as it came; `?` and `$n` are parameters.
    pub sql: String,
    /// Values of the parameters, by position.
    pub params: Vec<ScalarValue>,
    /// Who asks: only its namespaces are there for the statement.
    pub principal: Principal,
    /// The settings of whoever asks.
    pub session: Session,
    /// Fixed instants; `None` fixes them now.
    pub pin: Option<Pin>,
}

/// What a statement will answer, without running it.
#[derive(Debug, Clone)]
pub struct Description {
    /// Columns of the answer exactly as its batches will have them (no view types).
    pub schema: SchemaRef,
    /// One field per parameter, Utf8 where its type cannot be told.
    pub params: SchemaRef,
    /// The instants it was planned at.
    pub pin: Pin,
    /// Of a statement that only sets: what is for the session of whoever keeps one.
    pub settings: Vec<Setting>,
    /// Whether it only sets, also when its settings cannot be told yet for want of parameters.
    pub sets: bool,
}

/// The instants an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The system time; where all tables share one clause it is that clause's.
    pub system_time: Instant,
    /// The valid time, where all tables with a clause share one.
    pub valid_time: Option<Instant>,
}

/// A running answer. Dropping the stream cancels the query and gives its memory back.
pub struct Answer {
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The instants it is about.
    pub as_of: AsOf,
    /// Of a statement that only sets: what is for the session of whoever keeps one.
    pub settings: Vec<Setting>,
    /// The rows; memory, time and cancellation are governed inside.
    pub stream: SendableRecordBatchStream,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).field("as_of", &self.as_of).finish_non_exhaustive()
    }
}

/// A table as metadata calls show it.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Its schema in SQL: the namespace, `information_schema` or `system`.
    pub schema_name: String,
    /// Its name.
    pub name: String,
    /// `BASE TABLE` or `VIEW`.
    pub table_type: &'static str,
    /// Its columns exactly as `SELECT *` answers them.
    pub columns: SchemaRef,
}
