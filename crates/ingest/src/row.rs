//! One accepted record, before it becomes columns. Borrows from the body wherever the body has the text as it is.

use std::borrow::Cow;

use tidemark_model::{Instant, Op, Shard};
use ulid::{ULID_LEN, Ulid};

/// Text that is borrowed from the body unless it had to be unescaped.
pub(crate) type Text<'a> = Cow<'a, str>;

/// The id of an event.
#[derive(Debug)]
pub(crate) enum RowId<'a> {
    /// The sender's; deduplicated.
    Given(Text<'a>),
    /// Ours, where the sender gave none: the text of a ULID.
    Made([u8; ULID_LEN]),
}

impl RowId<'_> {
    /// An id of ours.
    pub(crate) fn made(ulid: Ulid) -> Self {
        let mut text = [0; ULID_LEN];
        ulid.array_to_str(&mut text);
        Self::Made(text)
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Given(text) => text,
            Self::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
        }
    }
}

/// Whether a row is a plain event or a change.
#[derive(Debug)]
pub(crate) enum RowKind<'a> {
    /// Something that happened.
    Event {
        /// Its type.
        event_type: Text<'a>,
    },
    /// What happened to one document.
    Change {
        /// The number of the collection among those of the request.
        collection: usize,
        /// The key of the document.
        document_id: Text<'a>,
        /// What it does.
        op: Op,
        /// The image before it, JSON text.
        prev: Option<Text<'a>>,
        /// The source's order inside one instant.
        bookmark: Option<Text<'a>>,
    },
    /// What happened to all documents of a collection. Such a row is never stored: it divides its request.
    Truncate {
        /// The number of the collection among those of the request.
        collection: usize,
        /// The source's order inside one instant.
        bookmark: Option<Text<'a>>,
    },
}

/// One record.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Its index in the request.
    pub(crate) index: u32,
    /// The shard it goes to.
    pub(crate) shard: Shard,
    pub(crate) id: RowId<'a>,
    pub(crate) kind: RowKind<'a>,
    /// Source time, if the sender gave one.
    pub(crate) ts: Option<Instant>,
    pub(crate) source: Option<Text<'a>>,
    pub(crate) subject: Option<Text<'a>>,
    pub(crate) actor: Option<Text<'a>>,
    /// The payload or the document, JSON text.
    pub(crate) data: Option<Text<'a>>,
    /// JSON text.
    pub(crate) meta: Option<Text<'a>>,
}

impl Row<'_> {
    /// The number of the collection among those of the request; plain events have none.
    pub(crate) const fn collection(&self) -> Option<usize> {
        match self.kind {
            RowKind::Event { .. } => None,
            RowKind::Change { collection, .. } | RowKind::Truncate { collection, .. } => Some(collection),
        }
    }
}
