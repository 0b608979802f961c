//! What the room could not do, and how a door tells it.

use tidemark_catalog::{CatalogError, allowance::Spent};
use tidemark_model::{Denied, Instant, Kind, Namespace, Seq, Shard, name::NameError};
use tidemark_proto::{Problem, problem::RecordError};
use tidemark_storage::{StoreError, files::FileError, log::LogError};

use crate::refusal::{self, Refusal};

/// Seconds after which a client under back-pressure should try again: about one flush.
const RETRY_AFTER_S: u32 = 2;
/// Seconds after which to try again while an operator has closed the room: that takes minutes.
const MAINTENANCE_RETRY_AFTER_S: u32 = 30;

/// Why a request was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of a namespace or a collection breaks the rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Whoever sends may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request passed no authoriser.
    #[error("the request passed no authoriser")]
    Nobody,
    /// A header or a parameter makes no sense.
    #[error("{what} {value:?} is not understood: {allowed}")]
    Parameter {
        /// Which header or parameter.
        what: &'static str,
        /// What was sent, cut.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A content type or encoding that is not spoken here.
    #[error("{what} {value:?} is not spoken here: use {allowed}")]
    Unsupported {
        /// `content type` or `content encoding`.
        what: &'static str,
        /// What was sent, cut.
        value: String,
        /// What is spoken.
        allowed: &'static str,
    },
    /// The body is larger than a limit, on the wire or inflated.
    #[error("the body takes more than {limit} bytes {where_}: send it in parts")]
    BodyTooLarge {
        /// The limit, bytes.
        limit: usize,
        /// `on the wire` or `inflated`.
        where_: &'static str,
    },
    /// The body cannot be read: broken compression, invalid UTF-8, broken JSON, a connection that ended early.
    #[error("{detail}")]
    Body {
        /// A stable word.
        code: &'static str,
        /// What is wrong, and where.
        detail: String,
    },
    /// More records than one request may carry.
    #[error("the request carries more than {limit} events: send them in parts")]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// A lake would get more namespaces than it may have.
    #[error("the lake may have {limit} namespaces and has them: drop one, or raise ingest.namespaces_max")]
    TooManyNamespaces {
        /// The limit.
        limit: usize,
    },
    /// A namespace would get more collections than it may have.
    #[error("the namespace may have {limit} collections: the request brings more")]
    TooManyCollections {
        /// The limit.
        limit: usize,
    },
    /// The documents of a request have more names than may be looked at.
    #[error("the documents of the request have more than {limit} different fields: send them in parts")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// The request changes too much of what is known of documents.
    #[error("the request changes schemas of more than {limit} columns together: send it in parts, by collection")]
    TooMuchSchema {
        /// The limit.
        limit: usize,
    },
    /// Some records are bad, and `on_error` is `reject`: nothing was stored.
    #[error("{count} of {total} records are refused, nothing was stored: {first}")]
    Records {
        /// How many are bad.
        count: usize,
        /// How many came.
        total: usize,
        /// What is wrong with the first.
        first: Refusal,
        /// One entry per bad record, for the first of them.
        errors: Vec<RecordError>,
    },
    /// The idempotency key was used with another body.
    #[error("idempotency key {key:?} was used with another body within 24 hours: use a new key for a new request")]
    KeyMismatch {
        /// The key, cut.
        key: String,
    },
    /// A newer instance of a producer writes now.
    #[error(
        "producer {id:?} writes in epoch {epoch} now, {sent} is over: another instance has taken its place; to take it \
         back, begin a newer epoch"
    )]
    Fenced {
        /// The producer, cut.
        id: String,
        /// The epoch that was sent.
        sent: u64,
        /// The epoch that writes.
        epoch: u64,
    },
    /// A producer's request is not the next one.
    #[error(
        "sequence {sent} of producer {id:?} does not come next, {expected} does: send what lies between, or go on behind \
         what GetProducer tells"
    )]
    SequenceGap {
        /// The producer, cut.
        id: String,
        /// The sequence that was sent.
        sent: u64,
        /// The one that comes next.
        expected: u64,
    },
    /// A producer's sequence was used for something else.
    #[error(
        "sequence {sequence} of producer {id:?} was stored with other records: a sequence is sent again as it was, \
         something new gets the next one"
    )]
    SequenceMismatch {
        /// The producer, cut.
        id: String,
        /// The sequence.
        sequence: u64,
    },
    /// `durability=object` where the log is on a disk.
    #[error(
        "durability \"object\" is not offered by this server: its log is local; ask for durability=local, or start it \
         with --log object"
    )]
    Durability,
    /// A cap of bytes or entries is reached.
    #[error("{what} reached its limit of {limit}: try again later")]
    Pressure {
        /// What is full.
        what: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// The client sent more than it may in a minute.
    #[error(transparent)]
    Spent(#[from] Spent),
    /// No schema, or no such version of it, is declared for a collection.
    #[error(
        "collection {collection:?} has no such declared schema: declare one with PUT /v1/{{namespace}}/{{collection}}/schema"
    )]
    NoSchema {
        /// The collection.
        collection: String,
    },
    /// Which documents live is not known now: what stands before the truncate is stored.
    #[error("which documents a truncate deletes could not be found: {0}: send the request again")]
    Documents(#[from] tidemark_catalog::documents::Unanswered),
    /// What a request adds to was dropped.
    #[error(
        "{what} was dropped: bring it back before {until} (undrop), or drop it again with a grace of 0, which erases it and \
         frees the name"
    )]
    Dropped {
        /// The namespace or the collection.
        what: String,
        /// From when on it may be erased.
        until: Instant,
    },
    /// What a request adds to is being dropped, brought back or erased.
    #[error("{what} is being dropped, brought back or erased: send the request again in a moment")]
    Changing {
        /// The namespace or the collection.
        what: String,
    },
    /// An operator has closed the room.
    #[error("ingest is switched off for maintenance{0}: send it again later; queries are answered")]
    Maintenance(std::sync::Arc<str>),
    /// The server is draining.
    #[error("the server is draining: send to another one, or again later")]
    Draining,
    /// At start: another log's owner took the lake over before this log was in files.
    #[error(
        "the log holds acknowledged appends of {namespace} (from {from} on) that are not in the lake, and a server with \
         another log has written to {namespace} since (epoch {epoch}): start with that log; or move this one away, which \
         loses what only it holds"
    )]
    Overtaken {
        /// The namespace.
        namespace: Namespace,
        /// System time of the first such append.
        from: Instant,
        /// The epoch of the other owner.
        epoch: u64,
    },
    /// At start: log and lake do not meet.
    #[error(
        "{namespace} goes on at {log} in shard {shard} of the log, but the lake needs {lake} next: a segment of the log \
         is missing, or log and lake are not of the same moment; restore both from one copy"
    )]
    Gap {
        /// The namespace.
        namespace: Namespace,
        /// The shard.
        shard: Shard,
        /// The position after the last one that is in files.
        lake: Seq,
        /// The first position of the log behind it.
        log: Seq,
    },
    /// The log could not append.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The catalog could not commit.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows that are not as they should be: a defect of ours.
    #[error("rows could not be {0}")]
    Rows(&'static str, #[source] arrow::error::ArrowError),
    /// A defect of ours.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The kind that doors translate.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Name(_) | Self::Parameter { .. } | Self::Body { .. } => Kind::Invalid,
            Self::Denied(denied) => denied.kind(),
            Self::Nobody => Kind::Unauthorized,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::BodyTooLarge { .. } | Self::TooManyEvents { .. } => Kind::TooLarge,
            Self::Records { first, .. } => first.code.kind(),
            Self::Fenced { .. } | Self::SequenceGap { .. } | Self::SequenceMismatch { .. } | Self::Dropped { .. } => {
                Kind::Conflict
            }
            Self::Changing { .. } => Kind::Unavailable,
            Self::KeyMismatch { .. }
            | Self::Durability
            | Self::TooManyNamespaces { .. }
            | Self::TooManyCollections { .. }
            | Self::TooManyFields { .. }
            | Self::TooMuchSchema { .. } => Kind::Unprocessable,
            Self::Pressure { .. } => Kind::TooMany,
            Self::Spent(spent) => spent.kind(),
            Self::NoSchema { .. } => Kind::NotFound,
            Self::Documents(unanswered) if unanswered.kind == Kind::TooMany => Kind::TooMany,
            Self::Maintenance(_) | Self::Draining | Self::Documents(_) => Kind::Unavailable,
            Self::Log(error) => log_kind(error),
            Self::Catalog(CatalogError::Store(error)) | Self::File(FileError::Store(error)) => store_kind(error),
            Self::Catalog(CatalogError::Fenced { .. } | CatalogError::Lapsed) => Kind::Unavailable,
            Self::Catalog(_)
            | Self::File(_)
            | Self::Rows(..)
            | Self::Internal(_)
            | Self::Overtaken { .. }
            | Self::Gap { .. } => Kind::Internal,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "invalid_name",
            Self::Denied(denied) => denied.code(),
            Self::Nobody => "unauthorized",
            Self::Parameter { .. } => "invalid_parameter",
            Self::Unsupported { what: "content type", .. } => "unsupported_content_type",
            Self::Unsupported { .. } => "unsupported_content_encoding",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::Body { code, .. } => code,
            Self::TooManyEvents { .. } => "too_many_events",
            Self::TooManyNamespaces { .. } => "too_many_namespaces",
            Self::TooManyCollections { .. } => "too_many_collections",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TooMuchSchema { .. } => "too_much_schema",
            Self::Records { first, .. } => first.code.as_str(),
            Self::KeyMismatch { .. } => "idempotency_mismatch",
            Self::Fenced { .. } => "old_epoch",
            Self::SequenceGap { .. } => "sequence_gap",
            Self::SequenceMismatch { .. } => "sequence_mismatch",
            Self::Durability => "unsupported_durability",
            Self::Pressure { .. } => "back_pressure",
            Self::Spent(_) => Spent::CODE,
            Self::NoSchema { .. } => "no_schema",
            Self::Dropped { .. } => "dropped",
            Self::Changing { .. } => "changing",
            Self::Maintenance(_) => "maintenance",
            Self::Draining => "draining",
            _ => match self.kind() {
                Kind::OutOfSpace => "out_of_space",
                Kind::Unavailable => "unavailable",
                Kind::TooLarge => "append_too_large",
                Kind::TooMany => "back_pressure",
                _ => "internal",
            },
        }
    }

    /// Whether the process must end: what is durable is unknown, or another owner has taken over.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Log(LogError::Unknown | LogError::Fenced) | Self::Catalog(CatalogError::Fenced { .. }))
    }
}

fn log_kind(error: &LogError) -> Kind {
    match error {
        LogError::OutOfSpace => Kind::OutOfSpace,
        LogError::TooLarge { .. } => Kind::TooLarge,
        LogError::Unknown
        | LogError::Fenced
        | LogError::Closed
        | LogError::NotClosed(_)
        | LogError::Store(_)
        | LogError::Io { .. } => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn store_kind(error: &StoreError) -> Kind {
    match error {
        StoreError::OutOfSpace { .. } => Kind::OutOfSpace,
        _ => Kind::Unavailable,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(error.kind(), error.code(), error.to_string());
        if problem.retry_after.is_some() {
            let is_long = matches!(error, Error::Maintenance(_));
            problem.retry_after = Some(if is_long { MAINTENANCE_RETRY_AFTER_S } else { RETRY_AFTER_S });
        }
        if let Error::Spent(spent) = &error {
            problem.retry_after = spent.retry_after();
        }
        match error {
            Error::Records { errors, .. } => problem.with_errors(errors),
            _ => problem,
        }
    }
}

/// The text of a client, cut to what a message may repeat.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(refusal::SHOWN_CHARS_MAX).collect()
}
