//! Why one record is refused: a stable word, where in the record, and what is allowed.

use std::{borrow::Cow, fmt};

use tidemark_model::Kind;
use tidemark_proto::problem::RecordError;

use crate::rejected::{NOTED_BYTES_MAX, NOTED_MAX, Noted};

/// How much of a client's text a message repeats, characters.
pub(crate) const SHOWN_CHARS_MAX: usize = 80;

/// How many refused records a receipt or problem document lists; the others are only counted.
pub(crate) const LISTED_MAX: usize = 100;

/// The refused records of a request: how many, and the first of them.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) count: usize,
    /// At most [`LISTED_MAX`].
    pub(crate) listed: Vec<RecordError>,
    /// Those that are kept.
    pub(crate) noted: Vec<Noted>,
    noted_bytes: usize,
}

impl Refused {
    /// Counts a record, and lists it while there is room.
    pub(crate) fn add(&mut self, record: impl FnOnce() -> RecordError) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(record());
        }
    }

    /// Notes a record that shall be kept, while there is room: what it is is written only then, at most so many bytes of it.
    pub(crate) fn note(&mut self, error: RecordError, bytes_max: usize, written: impl FnOnce() -> Option<String>) {
        if self.noted.len() == NOTED_MAX {
            return;
        }
        let mut record = written();
        let record_bytes = record.as_ref().map_or(0, String::len);
        if let Some(text) = &mut record {
            text.truncate(text.floor_char_boundary(bytes_max));
            text.shrink_to_fit();
        }
        let record = record.filter(|text| !text.is_empty() && self.noted_bytes + text.len() <= NOTED_BYTES_MAX);
        self.noted_bytes += record.as_ref().map_or(0, String::len);
        self.noted.push(Noted { error, record, record_bytes });
    }
}

/// The stable words. `code` in receipts and problem documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each word says it; `as_str` is the list")]
pub enum Code {
    InvalidJson,
    TooDeep,
    EventTooLarge,
    NotAnObject,
    MissingField,
    UnknownField,
    FieldClash,
    InvalidType,
    InvalidTs,
    InvalidId,
    InvalidOp,
    UnsupportedOp,
    InvalidDoc,
    InvalidCollection,
    InvalidField,
    IdConflict,
    SchemaMismatch,
}

impl Code {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::EventTooLarge => "event_too_large",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::FieldClash => "field_clash",
            Self::InvalidType => "invalid_type",
            Self::InvalidTs => "invalid_ts",
            Self::InvalidId => "invalid_id",
            Self::InvalidOp => "invalid_op",
            Self::UnsupportedOp => "unsupported_op",
            Self::InvalidDoc => "invalid_doc",
            Self::InvalidCollection => "invalid_collection",
            Self::InvalidField => "invalid_field",
            Self::IdConflict => "id_conflict",
            Self::SchemaMismatch => "schema_mismatch",
        }
    }

    /// What a whole request is told as when such a record refuses it.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::InvalidJson | Self::TooDeep => Kind::Invalid,
            Self::EventTooLarge => Kind::TooLarge,
            Self::IdConflict => Kind::Conflict,
            _ => Kind::Unprocessable,
        }
    }
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable word.
    pub code: Code,
    /// JSON pointer into the record; empty for the record itself.
    pub pointer: Cow<'static, str>,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

impl Refusal {
    pub(crate) fn new(code: Code, pointer: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code, pointer: pointer.into(), message: message.into() }
    }

    /// The same of a value that lies deeper in the record.
    pub(crate) fn under(self, pointer: &str) -> Self {
        if pointer.is_empty() {
            return self;
        }
        let pointer = format!("{pointer}{}", self.pointer).into();
        Self { pointer, ..self }
    }

    /// The entry of a receipt or problem document.
    pub(crate) fn of_record(&self, index: usize, id: Option<&str>) -> RecordError {
        RecordError {
            index,
            id: id.map(ToOwned::to_owned),
            code: self.code.as_str().to_owned(),
            pointer: self.pointer.clone().into_owned(),
            message: self.message.clone(),
        }
    }
}
