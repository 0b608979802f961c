//! Fields → row: which envelope a record wears, and what both envelopes here have in common.
//!
//! [`recognise`] is the one place that tells envelopes apart. Plain events and native changes come first and pay for
//! none of the others.

mod change;
mod cloud_event;
mod collection_event;
mod debezium;
mod event;
mod object;

use std::{borrow::Cow, collections::BTreeMap, collections::HashMap};

use tidemark_model::{CollectionName, Ids, Instant, json};

use crate::{
    fields::{self, Fields, Slot, within},
    hash,
    refusal::{Code, Refusal},
    request::{Reading, Target},
    row::{Row, RowId, RowKind, Text},
};

/// The longest event id, in bytes.
pub(crate) const EVENT_ID_BYTES_MAX: usize = 256;
/// The longest key of a document, in bytes.
pub(crate) const DOCUMENT_ID_BYTES_MAX: usize = 1024;
/// The longest bookmark, in bytes.
pub(crate) const BOOKMARK_BYTES_MAX: usize = 1024;

/// What reading a record needs besides the record.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    pub(crate) target: &'c Target,
    pub(crate) ids: &'c Ids,
    /// The present.
    pub(crate) now: Instant,
    /// The latest source time that is taken.
    pub(crate) latest_ts: Instant,
    pub(crate) shards: u16,
    pub(crate) event_bytes_max: usize,
    pub(crate) depth_max: usize,
    /// How foreign envelopes are read.
    pub(crate) reading: &'c Reading,
    /// Key fields of collections of this namespace, as they are configured.
    pub(crate) document_keys: Option<&'c BTreeMap<String, Vec<String>>>,
    /// Whether a truncate can be taken.
    pub(crate) can_truncate: bool,
    /// Whether every record is a CloudEvent.
    pub(crate) is_cloud: bool,
}

impl Context<'_> {
    /// The fields that are the key of a collection's documents where a message tells none; empty where nobody said.
    fn key_fields(&self, collection: &str) -> &[String] {
        if !self.reading.key.is_empty() {
            return &self.reading.key;
        }
        self.document_keys.and_then(|keys| keys.get(collection)).map_or(&[], Vec::as_slice)
    }
}

/// The collections of one request, in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    names: Vec<CollectionName>,
    index: HashMap<String, usize>,
}

impl Collections {
    /// The number of a collection.
    fn number(&mut self, name: &str, from: Slot) -> Result<usize, Refusal> {
        // Runs of one collection are the rule, so the last one is looked at first.
        if self.names.last().is_some_and(|last| last.as_str() == name) {
            return Ok(self.names.len() - 1);
        }
        if let Some(at) = self.index.get(name) {
            return Ok(*at);
        }
        let parsed = CollectionName::parse(name)
            .map_err(|error| Refusal::new(Code::InvalidCollection, from.pointer(), error.to_string()))?;
        self.index.insert(name.to_owned(), self.names.len());
        self.names.push(parsed);
        Ok(self.names.len() - 1)
    }

    /// The collection of a number.
    pub(crate) fn name(&self, at: usize) -> Option<&CollectionName> {
        self.names.get(at)
    }

    pub(crate) fn into_names(self) -> Vec<CollectionName> {
        self.names
    }
}

/// The envelopes that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Envelope {
    Event,
    Change,
    CollectionEvent,
    Cdc,
    Debezium,
    CloudEvent,
}

/// Tells which envelope a record wears.
fn recognise(fields: &Fields<'_>, context: &Context<'_>) -> Envelope {
    if context.is_cloud {
        return Envelope::CloudEvent;
    }
    let is_event = *context.target == Target::Events;
    match fields.get(Slot::Type) {
        Some(raw) if collection_event::op_of(raw).is_some() => Envelope::CollectionEvent,
        Some(raw) if collection_event::is_cdc(raw) => Envelope::Cdc,
        Some(_) if is_event => Envelope::Event,
        _ if debezium::is_worn(fields, context) => Envelope::Debezium,
        _ if !is_event || (fields.has(Slot::Collection) && fields.has(Slot::Op)) => Envelope::Change,
        _ => Envelope::Event,
    }
}

/// Reads one record.
pub(crate) fn read<'a>(
    index: usize,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    if fields.bytes() > context.event_bytes_max {
        let message =
            format!("the record takes {} bytes: at most {} are taken", fields.bytes(), context.event_bytes_max);
        return Err(Refusal::new(Code::EventTooLarge, "", message));
    }
    if fields.is_crowded() {
        let message = format!("the record has more than {} fields: put them into an object", fields::OTHERS_MAX);
        return Err(Refusal::new(Code::EventTooLarge, "", message));
    }
    if fields.is_deeper_than(context.depth_max) {
        let message = format!("the record nests deeper than {}", context.depth_max);
        return Err(Refusal::new(Code::TooDeep, "", message));
    }
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let (change, doc, prev) = match recognise(fields, context) {
        Envelope::Event => return event::read(index, fields, context),
        Envelope::Change => (change::read(index, fields, context, collections), "/doc", "/prev"),
        Envelope::CollectionEvent => (collection_event::read(index, fields, context, collections), "/doc", "/prev"),
        Envelope::Cdc => (collection_event::read_cdc(index, fields, context, collections), "/data", "/meta/prev"),
        Envelope::Debezium => (debezium::read(index, fields, context, collections), "", ""),
        Envelope::CloudEvent => (cloud_event::read(index, fields, context, collections), "/data", "/data"),
    };
    checked(change?, doc, prev)
}

/// A change whose documents are text throughout: columns are derived from them for ever.
fn checked<'a>(change: Row<'a>, doc: &'static str, before: &'static str) -> Result<Row<'a>, Refusal> {
    let RowKind::Change { prev, .. } = &change.kind else { return Ok(change) };
    for (pointer, document) in [(doc, change.data.as_deref()), (before, prev.as_deref())] {
        if document.is_some_and(|document| !json::is_text(document)) {
            let message = "the document escapes half a surrogate pair, which is no character";
            return Err(Refusal::new(Code::InvalidDoc, pointer, message));
        }
    }
    Ok(change)
}

/// The id that a record gives in `slot`, for an error message.
pub(crate) fn shown_id(fields: &Fields<'_>, context: &Context<'_>) -> Option<String> {
    let slot = match recognise(fields, context) {
        Envelope::Event | Envelope::CollectionEvent | Envelope::Cdc | Envelope::CloudEvent => Slot::Id,
        Envelope::Change => Slot::EventId,
        Envelope::Debezium => return None,
    };
    fields.text(slot).ok().flatten().map(|id| crate::error::shown(&id))
}

/// A record as JSON text: of a repeated name the last, fields that envelopes know first.
pub(crate) fn written(fields: &Fields<'_>) -> Option<String> {
    let all: Vec<_> = fields.all().collect();
    object::written(all.iter().map(|(name, raw)| (name.as_ref(), *raw)))
}

/// Where the document stands in a record, for an error message.
pub(crate) fn document_pointer(fields: &Fields<'_>, context: &Context<'_>) -> &'static str {
    match recognise(fields, context) {
        Envelope::Change | Envelope::CollectionEvent => "/doc",
        Envelope::Cdc | Envelope::CloudEvent | Envelope::Event => "/data",
        Envelope::Debezium if fields.has(Slot::Op) => "/after",
        Envelope::Debezium => "",
    }
}

/// The event id in `slot`, or one of ours.
fn event_id<'a>(fields: &Fields<'a>, slot: Slot, context: &Context<'_>) -> Result<RowId<'a>, Refusal> {
    let given = fields.short_text(slot, EVENT_ID_BYTES_MAX)?;
    Ok(given.map_or_else(|| RowId::made(context.ids.ulid(context.now)), RowId::Given))
}

/// What is in both envelopes.
struct Common<'a> {
    ts: Option<Instant>,
    source: Option<Text<'a>>,
    subject: Option<Text<'a>>,
    actor: Option<Text<'a>>,
    meta: Option<Text<'a>>,
}

fn common<'a>(fields: &Fields<'a>, context: &Context<'_>) -> Result<Common<'a>, Refusal> {
    Ok(Common {
        ts: fields.ts(context.latest_ts)?,
        source: fields.text(Slot::Source)?,
        subject: fields.text(Slot::Subject)?,
        actor: fields.text_or_object(Slot::Actor)?,
        meta: fields.get(Slot::Meta).map(Cow::Borrowed),
    })
}

fn missing(slot: Slot) -> Refusal {
    Refusal::new(Code::MissingField, slot.pointer(), format!("{} is required", slot.name()))
}

/// The collection from the path, or from the record; both must agree.
fn collection_of<'n>(fields: &Fields<'n>, target: &'n Target) -> Result<Cow<'n, str>, Refusal> {
    let named = fields.text(Slot::Collection)?;
    match (target, named) {
        (Target::Changes(path), Some(named)) if named != path.as_str() => {
            let message = format!("collection {:?} is not {path:?}, which the path names", crate::error::shown(&named));
            Err(Refusal::new(Code::InvalidCollection, Slot::Collection.pointer(), message))
        }
        (Target::Changes(path), _) => Ok(path.as_str().into()),
        (Target::Events, named) => named.ok_or_else(|| missing(Slot::Collection)),
    }
}

/// The key of a document: a string or an integer.
fn key_text<'a>(raw: &'a str, pointer: &'static str) -> Result<Text<'a>, Refusal> {
    let refuse = |message: String| Refusal::new(Code::InvalidId, pointer, message);
    let is_integer = raw.strip_prefix('-').unwrap_or(raw).bytes().all(|b| b.is_ascii_digit());
    let text = object::scalar_text(raw).filter(|_| is_integer || raw.starts_with('"'));
    let text = text.ok_or_else(|| refuse("the key must be a string or an integer".to_owned()))?;
    within(Slot::Id, text, DOCUMENT_ID_BYTES_MAX).map_err(|refusal| refuse(refusal.message))
}

/// May be empty: an empty bookmark stands above an absent one.
fn bookmark<'a>(fields: &Fields<'a>) -> Result<Option<Text<'a>>, Refusal> {
    let text = fields.text(Slot::Bookmark)?;
    match &text {
        Some(text) if text.len() > BOOKMARK_BYTES_MAX => {
            let message = format!("bookmark has {} bytes: use at most {BOOKMARK_BYTES_MAX}", text.len());
            Err(Refusal::new(Code::InvalidField, Slot::Bookmark.pointer(), message))
        }
        _ => Ok(text),
    }
}

/// A field that nobody knows is refused, not dropped.
fn unknown_field(what: &str, name: &str) -> Refusal {
    let shown = crate::error::shown(name);
    let message = format!("{what} has no field {shown:?}: put what belongs to the document into it");
    Refusal::new(Code::UnknownField, format!("/{shown}"), message)
}

/// The shard of a text: a plain event's by its id, a new collection's by its name.
pub(crate) fn shard_of(text: &str, shards: u16) -> tidemark_model::Shard {
    hash::shard(text.as_bytes(), shards)
}
