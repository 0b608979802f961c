//! What a client sends: the types that go in at the front of the room.

use bytes::Bytes;
use tidemark_model::{CollectionName, Principal};
use tidemark_storage::log::LogPlace;

use crate::{budget::Reservation, transcode::binary::Attributes};

/// Where the records of a request go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `{ns}.events`: plain events, or changes that name their collection.
    Events,
    /// Changes of one collection.
    Changes(CollectionName),
}

impl Target {
    /// The collection that the request names.
    #[must_use]
    pub const fn collection(&self) -> Option<&CollectionName> {
        match self {
            Self::Changes(collection) => Some(collection),
            Self::Events => None,
        }
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object, an array of objects, or `{"events":[…],"batchId":"…"}`.
    Json,
    /// One object per line.
    Ndjson,
    /// A CloudEvent, or an array of CloudEvents.
    CloudEvents,
    /// An array of CloudEvents.
    CloudEventsBatch,
    /// The data of one CloudEvent, whose attributes came as headers.
    CloudEventBinary,
    /// An Arrow IPC stream: a row is a record.
    ArrowStream,
}

/// How envelopes that do not tell everything themselves are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The fields that are a document's key, where the message has no key of its own.
    pub key: Vec<String>,
    /// What a message without a value does to the document of its key.
    pub tombstones: Tombstones,
}

/// What a message with a key and without a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tombstones {
    /// Nothing: the delete came before it. It is kept as an event.
    #[default]
    Keep,
    /// The document is deleted.
    Delete,
}

impl Reading {
    pub(crate) const fn tombstones_delete(&self) -> bool {
        matches!(self.tombstones, Tombstones::Delete)
    }
}

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, also several members one after the other.
    Gzip,
    /// RFC 8878 with a window of at most 8 MiB (RFC 9659).
    Zstd,
}

/// What happens to a request of which some records are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// One bad record refuses all.
    #[default]
    Reject,
    /// The good ones are taken, the refused ones are listed in the receipt.
    Partial,
}

/// What an ack promises, the weaker first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Synced on the owner's disk.
    #[default]
    Local,
    /// In the bucket.
    Object,
}

impl Durability {
    /// What a log of this kind gives.
    pub(crate) const fn of(log: &LogPlace) -> Self {
        match log {
            LogPlace::Directory(_) => Self::Local,
            LogPlace::Objects(_) => Self::Object,
        }
    }
}

/// A body as it came: nothing about it has been checked but its size on the wire.
#[derive(Debug)]
pub struct RawBatch {
    /// The bytes of the body.
    pub bytes: Bytes,
    /// How they are compressed.
    pub encoding: Encoding,
    /// How the records are written.
    pub format: Format,
    /// The attributes of a CloudEvent in binary mode.
    pub(crate) attributes: Attributes,
    /// The place the body takes of the bytes in flight, if it was read by the door.
    pub(crate) place: Option<Reservation>,
}

impl RawBatch {
    /// An uncompressed body.
    #[must_use]
    pub fn plain(format: Format, bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), encoding: Encoding::Identity, format, attributes: Attributes::new(), place: None }
    }
}

/// Who made the records of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// A client: its source times lie at most a little ahead, its records keep to the limits.
    #[default]
    Client,
    /// This process, from what it had taken before: a change that must win may lie just above one that lies ahead, and a
    /// document that came at the limit still fits its new envelope.
    Lake,
}

/// A place in what a producer sends.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequenced {
    /// The producer, 1 to [`PRODUCER_BYTES_MAX`] bytes.
    pub id: String,
    /// Which of its instances: the greatest one that was seen writes.
    pub epoch: u64,
    /// The number of the request, from 1 without gaps.
    pub sequence: u64,
}

/// The longest id of a producer, in bytes.
pub const PRODUCER_BYTES_MAX: usize = 128;

impl Sequenced {
    /// The id as messages repeat it.
    pub(crate) fn shown(&self) -> String {
        crate::error::shown(&self.id)
    }
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// Where its records go.
    pub target: Target,
    /// The body.
    pub batch: RawBatch,
    /// The idempotency key, at most [`KEY_BYTES_MAX`] bytes; a `batchId` in the body stands in for an absent one.
    pub key: Option<String>,
    /// What happens if some records are bad.
    pub on_error: OnError,
    /// What the ack shall promise.
    pub durability: Durability,
    /// How foreign envelopes are read.
    pub reading: Reading,
    /// Who made its records.
    pub origin: Origin,
    /// What it came through, as `system.rejected` tells it.
    pub door: &'static str,
    /// Who sends it, if its records are counted.
    pub by: Option<Principal>,
}

/// The longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

impl Request {
    /// A request without a key that is refused as a whole if a record is bad.
    #[must_use]
    pub fn new(target: Target, batch: RawBatch) -> Self {
        Self {
            target,
            batch,
            key: None,
            on_error: OnError::default(),
            durability: Durability::default(),
            reading: Reading::default(),
            origin: Origin::default(),
            door: "process",
            by: None,
        }
    }

    /// The same, made by this process.
    #[must_use]
    pub const fn of_lake(mut self) -> Self {
        self.origin = Origin::Lake;
        self
    }

    /// The same, come through a door.
    #[must_use]
    pub const fn through(mut self, door: &'static str) -> Self {
        self.door = door;
        self
    }

    /// The same, sent by somebody whose records are counted.
    #[must_use]
    pub fn sent_by(mut self, by: &Principal) -> Self {
        self.by = Some(by.clone());
        self
    }

    /// The same with an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, taking the good records and listing the bad ones.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.on_error = OnError::Partial;
        self
    }
}
