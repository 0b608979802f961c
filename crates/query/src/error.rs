//! What a query could not do.

use datafusion::error::DataFusionError;
use tidemark_model::{Denied, Instant, Kind};

/// Why a statement was refused or failed. Messages are for the person who wrote the SQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no statement we read, or asks for something that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// What SQL has and we have not.
    #[error("{0}")]
    Unsupported(String),
    /// A statement that writes, or more than one statement.
    #[error("{0}")]
    ReadOnly(String),
    /// Whoever asks may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No such table.
    #[error("table {0} does not exist")]
    UnknownTable(String),
    /// No such snapshot.
    #[error("there is no snapshot {0:?}: the snapshots of a collection tell their names")]
    UnknownSnapshot(String),
    /// A procedure was not done.
    #[error("{detail}")]
    Refused {
        /// What it means to the caller.
        kind: Kind,
        /// A stable word.
        code: &'static str,
        /// What happened and what to do.
        detail: String,
    },
    /// The text, its tokens or its nesting are past a limit.
    #[error("{0}")]
    TooLarge(String),
    /// An instant above the owner's present.
    #[error("{asked} lies in the future: the present is {now}")]
    Future {
        /// The instant in the clause.
        asked: Instant,
        /// The owner's present.
        now: Instant,
    },
    /// An instant before the collection was created.
    #[error("{table} did not exist at {asked}: it was created at {created}")]
    BeforeCreation {
        /// The table.
        table: String,
        /// The instant in the clause.
        asked: Instant,
        /// Its first change.
        created: Instant,
    },
    /// A manifest version that is not there.
    #[error("{table} has no version {asked}: {reason}")]
    UnknownVersion {
        /// The table.
        table: String,
        /// The version in the clause.
        asked: u64,
        /// Which ones there are.
        reason: String,
    },
    /// The history of the instant was dropped.
    #[error(transparent)]
    OutsideWindow(#[from] tidemark_catalog::manifest::Outside),
    /// The instant could not be closed, or the view not be read, before the deadline.
    #[error("{0}")]
    Unavailable(String),
    /// The query needed more memory than it may use.
    #[error("the query needs more memory than it may use: {0}")]
    Memory(String),
    /// The query ran longer than it may.
    #[error("the query was cancelled after {0} s: narrow it, or raise query.timeout_s")]
    TimedOut(u64),
    /// Too many queries at once.
    #[error("too many queries are running: try again")]
    TooMany,
    /// Too many streams of events at once.
    #[error("too many streams of events are open: close one, or raise query.followers_max")]
    TooManyFollowers,
    /// Too many exports and restores at once.
    #[error("too many exports and restores are running: try again when one is done, or raise query.bulk_concurrency")]
    TooManyBulk,
    /// The engine refused the statement or failed.
    #[error("{0}")]
    Engine(String, #[source] Box<DataFusionError>),
    /// A defect or an unreadable file.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The kind that doors translate.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_)
            | Self::Unsupported(_)
            | Self::ReadOnly(_)
            | Self::Future { .. }
            | Self::BeforeCreation { .. }
            | Self::UnknownVersion { .. }
            | Self::OutsideWindow(_) => Kind::Invalid,
            Self::UnknownTable(_) | Self::UnknownSnapshot(_) => Kind::NotFound,
            Self::Denied(denied) => denied.kind(),
            Self::Refused { kind, .. } => *kind,
            Self::TooLarge(_) => Kind::TooLarge,
            Self::Unavailable(_) | Self::TimedOut(_) => Kind::Unavailable,
            Self::Memory(_) | Self::TooMany | Self::TooManyBulk | Self::TooManyFollowers => Kind::TooMany,
            Self::Engine(..) => Kind::Invalid,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_sql",
            Self::Unsupported(_) => "unsupported_sql",
            Self::ReadOnly(_) => "read_only",
            Self::Denied(denied) => denied.code(),
            Self::UnknownTable(_) => "unknown_table",
            Self::UnknownSnapshot(_) => "unknown_snapshot",
            Self::Refused { code, .. } => code,
            Self::TooLarge(_) => "sql_too_large",
            Self::Future { .. } => "instant_in_future",
            Self::BeforeCreation { .. } => "before_creation",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::OutsideWindow(_) => "outside_window",
            Self::Unavailable(_) => "unavailable",
            Self::Memory(_) => "memory_exceeded",
            Self::TimedOut(_) => "timed_out",
            Self::TooMany => "too_many_queries",
            Self::TooManyBulk => "too_many_bulk",
            Self::TooManyFollowers => "too_many_followers",
            Self::Engine(..) => "engine",
            Self::Internal(_) => "internal",
        }
    }

    /// The word for an error of the engine, without taking it.
    pub(crate) fn code_of(error: &DataFusionError) -> &'static str {
        let root = error.find_root();
        if is_of_store(root) {
            return "unavailable";
        }
        match root {
            DataFusionError::External(inner) => inner.downcast_ref::<Self>().map_or("internal", Self::code),
            DataFusionError::ResourcesExhausted(_) => "memory_exceeded",
            DataFusionError::Internal(_) | DataFusionError::ParquetError(_) | DataFusionError::ExecutionJoin(_) => {
                "internal"
            }
            _ => "engine",
        }
    }
}

/// Reads an error of the engine, also one that came out of the stream of an answer.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        // Around the cause the engine says in which of its steps it was met.
        let root = error.find_root();
        let text = if matches!(error, DataFusionError::Context(..)) {
            root.strip_backtrace()
        } else {
            error.strip_backtrace()
        };
        if is_of_store(root) {
            return Self::Unavailable(format!("the store could not be read: {}", first_line(&text)));
        }
        match root {
            DataFusionError::ResourcesExhausted(reason) => Self::Memory(first_line(reason)),
            DataFusionError::Plan(reason) if reason.starts_with("table '") && reason.contains("not found") => {
                Self::UnknownTable(reason.split('\'').nth(1).unwrap_or_default().to_owned())
            }
            DataFusionError::NotImplemented(reason) => Self::Unsupported(unsupported(reason)),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::Configuration(_)
            | DataFusionError::SchemaError(..) => Self::Invalid(first_line(&text)),
            DataFusionError::External(inner) => external(inner.as_ref(), &text),
            DataFusionError::Internal(_) | DataFusionError::ParquetError(_) | DataFusionError::ExecutionJoin(_) => {
                Self::Internal(first_line(&text))
            }
            _ => Self::Engine(first_line(&text), Box::new(error)),
        }
    }
}

/// Whether an error began in the store, however many readers it went through.
fn is_of_store(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<object_store::Error>()
            || error.is::<std::io::Error>()
            || error.is::<tidemark_storage::StoreError>()
        {
            return true;
        }
        next = error.source();
    }
    false
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// What the engine says it cannot do, without the syntax tree that it prints into its words.
fn unsupported(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let words = line.split_once('{').map_or(line, |(before, _tree)| before.split('(').next().unwrap_or(before));
    format!("this SQL is not served: {}", words.trim_end_matches(['.', ' ', ':']))
}

/// An error of ours that travelled through the engine.
fn external(inner: &(dyn std::error::Error + Send + Sync + 'static), text: &str) -> Error {
    match inner.downcast_ref::<Error>() {
        Some(Error::TimedOut(seconds)) => Error::TimedOut(*seconds),
        Some(Error::TooMany) => Error::TooMany,
        Some(Error::TooManyBulk) => Error::TooManyBulk,
        Some(Error::Refused { kind, code, detail }) => Error::Refused { kind: *kind, code, detail: detail.clone() },
        Some(Error::OutsideWindow(outside)) => Error::OutsideWindow(*outside),
        Some(Error::Unavailable(reason)) => Error::Unavailable(reason.clone()),
        Some(Error::Memory(reason)) => Error::Memory(reason.clone()),
        Some(Error::Invalid(reason)) => Error::Invalid(reason.clone()),
        Some(other) => Error::Internal(other.to_string()),
        None => Error::Internal(first_line(text)),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn a_store_that_is_away_is_no_defect_whoever_read_from_it() {
        let away = || object_store::Error::Generic { store: "S3", source: "connection refused".into() };
        let read = |error: ParquetError| DataFusionError::ParquetError(Box::new(error));
        for (error, expected) in [
            (DataFusionError::ObjectStore(Box::new(away())), Kind::Unavailable),
            (read(ParquetError::External(Box::new(away()))), Kind::Unavailable),
            (read(ParquetError::External(Box::new(std::io::Error::other("gone")))), Kind::Unavailable),
            (read(ParquetError::General("no footer".to_owned())), Kind::Internal),
        ] {
            let text = error.to_string();
            assert_eq!(Error::from(error).kind(), expected, "{text}");
        }
    }
}
