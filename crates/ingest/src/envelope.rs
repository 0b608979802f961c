//! Fields → row: which envelope a record wears, and what both envelopes here have in common.
//!
//! [`recognise`] is the one place that tells envelopes apart; further ones (cdc, Debezium, CloudEvents) join there.

mod change;
mod event;

use std::collections::HashMap;

use tidemark_model::{CollectionName, Ids, Instant, json};

use crate::{
    fields::{self, Fields, Slot},
    hash,
    refusal::{Code, Refusal},
    request::Target,
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

    pub(crate) fn into_names(self) -> Vec<CollectionName> {
        self.names
    }
}

/// The envelopes that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Envelope {
    Event,
    Change,
}

/// Tells which envelope a record wears.
fn recognise(fields: &Fields<'_>, target: &Target) -> Envelope {
    let names_a_change = !fields.has(Slot::Type) && fields.has(Slot::Collection) && fields.has(Slot::Op);
    match target {
        Target::Changes(_) => Envelope::Change,
        Target::Events if names_a_change => Envelope::Change,
        Target::Events => Envelope::Event,
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
    match recognise(fields, context.target) {
        Envelope::Event => event::read(index, fields, context),
        Envelope::Change => change::read(index, fields, context, collections).and_then(checked),
    }
}

/// A change whose documents are text throughout: columns are derived from them for ever.
fn checked(change: Row<'_>) -> Result<Row<'_>, Refusal> {
    let prev = if let RowKind::Change { prev, .. } = &change.kind { *prev } else { None };
    for (slot, document) in [(Slot::Doc, change.data.as_deref()), (Slot::Prev, prev)] {
        if document.is_some_and(|document| !json::is_text(document)) {
            let message = format!("{} escapes half a surrogate pair, which is no character", slot.name());
            return Err(Refusal::new(Code::InvalidDoc, slot.pointer(), message));
        }
    }
    Ok(change)
}

/// The id that a record gives in `slot`, for an error message.
pub(crate) fn shown_id(fields: &Fields<'_>, target: &Target) -> Option<String> {
    let slot = match recognise(fields, target) {
        Envelope::Event => Slot::Id,
        Envelope::Change => Slot::EventId,
    };
    fields.text(slot).ok().flatten().map(|id| crate::error::shown(&id))
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
    meta: Option<&'a str>,
}

fn common<'a>(fields: &Fields<'a>, context: &Context<'_>) -> Result<Common<'a>, Refusal> {
    Ok(Common {
        ts: fields.ts(context.latest_ts)?,
        source: fields.text(Slot::Source)?,
        subject: fields.text(Slot::Subject)?,
        actor: fields.text_or_object(Slot::Actor)?,
        meta: fields.get(Slot::Meta),
    })
}

fn missing(slot: Slot) -> Refusal {
    Refusal::new(Code::MissingField, slot.pointer(), format!("{} is required", slot.name()))
}

/// The shard of a text: a plain event's by its id, a new collection's by its name.
pub(crate) fn shard_of(text: &str, shards: u16) -> tidemark_model::Shard {
    hash::shard(text.as_bytes(), shards)
}
