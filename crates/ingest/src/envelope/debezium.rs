//! Debezium's change events, in every dress they come in.
//!
//! ```text
//! {"key":…,"value":…}  →  {"schema":…,"payload":…}  →  {"before","after","source","op","ts_ms"}     plain
//!                                                   →  {"id":1,…,"__op":"u","__deleted":"false"}    flattened (`flat`)
//!                                                   →  transactions, DDL, heartbeats                `notice`
//! ```
//!
//! Both outer wraps may be missing. What a message says becomes an [`Event`]; [`row`] makes a change of it: the key
//! (`key`), time, order and names from the source block (`origin`). What is no change of a document is kept as a plain
//! event, so nothing is lost; a truncate divides its request (`crate::truncate`); what cannot be told truly (values that the
//! source left out) is refused.

mod flat;
mod key;
mod notice;
mod origin;

use std::borrow::Cow;

use tidemark_model::{Op, json};

use self::origin::Origin;
use super::{BOOKMARK_BYTES_MAX, Collections, Context, object::Object, shard_of};
use crate::{
    fields::{Fields, Slot},
    hash,
    refusal::{Code, Refusal},
    request::Target,
    row::{Row, RowId, RowKind, Text},
};

/// What Debezium writes where PostgreSQL did not send an unchanged large value.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// What a message says of one document, whatever its dress.
#[derive(Debug)]
struct Event<'a> {
    op: Op,
    doc: Option<Text<'a>>,
    /// The image before, or no more of it than the key.
    before: Option<Text<'a>>,
    /// The event key, raw.
    key: Option<&'a str>,
    origin: Origin<'a>,
    meta: Option<Text<'a>>,
}

/// Whether a record that has no type is Debezium's.
pub(super) fn is_worn(fields: &Fields<'_>, context: &Context<'_>) -> bool {
    if !fields.has_others() {
        return is_letter(fields.get(Slot::Op)) && fields.get(Slot::Source).is_some_and(|raw| raw.starts_with('{'));
    }
    if flat::is_worn(|name| fields.other(name).is_some()) {
        return true;
    }
    let nests = |name| fields.raw_other(name).is_some_and(|raw| raw.starts_with('{') || raw == "null");
    match fields.get(Slot::Op) {
        Some(op) if is_letter(Some(op)) => {
            nests("after") || nests("before") || fields.get(Slot::Source).is_some_and(|raw| raw.starts_with('{'))
        }
        None if nests("payload") || (fields.raw_other("key").is_some() && nests("value")) => true,
        None if notice::is_worn(fields) => true,
        op => matches!(context.target, Target::Changes(_)) && !context.reading.key.is_empty() && !is_word(op),
    }
}

fn is_letter(op: Option<&str>) -> bool {
    op.is_some_and(|op| matches!(op, "\"c\"" | "\"u\"" | "\"d\"" | "\"r\"" | "\"t\"" | "\"m\""))
}

fn is_word(op: Option<&str>) -> bool {
    op.and_then(|raw| Op::parse(raw.trim_matches('"'))).is_some()
}

/// Reads one message.
pub(super) fn read<'a>(
    index: u32,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let (mut message, mut pointer, mut key) = (Object::of(fields), String::new(), None);
    for (wrap, beside) in [("value", "key"), ("payload", "schema")] {
        let is_wrapped = !message.has("op") && message.has(wrap) && (wrap == "payload" || message.has(beside));
        if !is_wrapped {
            continue;
        }
        pointer = format!("{pointer}/{wrap}");
        if wrap == "value" {
            key = message.get(beside);
        }
        let Some(inner) = message.get(wrap) else { return tombstone(index, key, context, collections) };
        message = Object::read(inner).ok_or_else(|| {
            Refusal::new(Code::InvalidField, pointer.clone(), format!("{wrap} must be a JSON object"))
        })?;
    }
    let row = if flat::is_worn(|name| message.has(name)) {
        flattened(index, &message, key, (context, collections))
    } else if message.has("op") && (message.has("source") || message.has("after") || message.has("before")) {
        plain(index, &message, key, (context, collections))
    } else if let Some(event_type) = notice::of(&message) {
        notice::row(index, event_type, &message, context)
    } else if !context.reading.key.is_empty() || key.is_some() {
        flat::event(&message, key, context).and_then(|event| row(index, event, context, collections))
    } else {
        let message = "the message has neither op and source nor __op or __deleted: name the key fields with ?key=… to \
                       send flattened rows without metadata";
        Err(Refusal::new(Code::MissingField, "/op", message))
    };
    row.map_err(|refusal| refusal.under(&pointer))
}

fn flattened<'a>(
    index: u32,
    message: &Object<'a>,
    key: Option<&'a str>,
    (context, collections): (&Context<'_>, &mut Collections),
) -> Result<Row<'a>, Refusal> {
    if context.can_truncate && flat::is_truncate(message) {
        return truncate(index, flat::truncate(message)?, context, collections);
    }
    flat::event(message, key, context).and_then(|event| row(index, event, context, collections))
}

fn plain<'a>(
    index: u32,
    message: &Object<'a>,
    key: Option<&'a str>,
    (context, collections): (&Context<'_>, &mut Collections),
) -> Result<Row<'a>, Refusal> {
    let letter = message.get("op").unwrap_or_default();
    if letter == "\"m\"" {
        return notice::row(index, "debezium.message", message, context);
    }
    let source = message.get("source");
    if letter == "\"t\"" && context.can_truncate {
        return truncate(index, (Origin::of_message(message), source.map(Cow::Borrowed)), context, collections);
    }
    let event = Event {
        op: op(letter, "/op")?,
        doc: message.get("after").map(|raw| image(raw, "/after", context)).transpose()?,
        before: message.get("before").map(|raw| image(raw, "/before", context)).transpose()?,
        key,
        origin: Origin::of_message(message),
        meta: source.map(Cow::Borrowed),
    };
    row(index, event, context, collections)
}

/// Every document of a collection is deleted; which ones that are is found where the request is stored.
fn truncate<'a>(
    index: u32,
    (origin, meta): (Origin<'a>, Option<Text<'a>>),
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let name = match context.target {
        Target::Changes(path) => path.as_str().to_owned(),
        Target::Events => origin.collection()?,
    };
    let collection = collections.number(&name, Slot::Collection)?;
    let (ts, bookmark) = (origin.ts(context.latest_ts)?, origin.bookmark());
    let kind = RowKind::Truncate { collection, bookmark: bookmark.map(Cow::Owned) };
    let (id, shard) = (RowId::made(context.ids.ulid(context.now)), shard_of(&name, context.shards));
    let (source, subject) = (origin.source(), origin.subject());
    Ok(Row { index, shard, id, kind, ts, source, subject, actor: None, data: None, meta })
}

/// The change event that a CloudEvent of Debezium's converter carries.
pub(super) fn of_cloud_event<'a>(
    index: u32,
    attributes: &Object<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let letter = attributes.get("iodebeziumop").unwrap_or_default();
    if letter == "\"t\"" && context.can_truncate {
        let meta = super::cloud_event::extensions(attributes);
        return truncate(index, (Origin::of_attributes(attributes), meta), context, collections);
    }
    let data = attributes.get("data").and_then(Object::read);
    let data = data.ok_or_else(|| {
        let message = "data of a change event must be a JSON object: set the converter's data.serializer.type=json";
        Refusal::new(Code::InvalidField, "/data", message)
    })?;
    let (data, pointer) = match data.get("payload").and_then(Object::read) {
        Some(payload) => (payload, "/data/payload"),
        None => (data, "/data"),
    };
    let under = |refusal: Refusal| refusal.under(pointer);
    let event = Event {
        op: op(letter, "/iodebeziumop")?,
        doc: data.get("after").map(|raw| image(raw, "/after", context)).transpose().map_err(under)?,
        before: data.get("before").map(|raw| image(raw, "/before", context)).transpose().map_err(under)?,
        key: None,
        origin: Origin::of_attributes(attributes),
        meta: super::cloud_event::extensions(attributes),
    };
    row(index, event, context, collections).map_err(|refusal| match refusal.pointer.as_ref() {
        "/after" | "/before" => under(refusal),
        _ => refusal,
    })
}

fn op(letter: &str, pointer: &'static str) -> Result<Op, Refusal> {
    match letter.trim_matches('"') {
        "c" | "r" => Ok(Op::Insert),
        "u" => Ok(Op::Update),
        "d" => Ok(Op::Delete),
        "t" => {
            let message = "a truncate names no documents, and nobody here knows which ones live: set skipped.operations=t \
                           (the connector's default) and delete the documents one by one";
            Err(Refusal::new(Code::UnsupportedOp, pointer, message))
        }
        other => {
            let message =
                format!("op {:?} is not known: Debezium sends c, u, d, r, t or m", crate::error::shown(other));
            Err(Refusal::new(Code::InvalidOp, pointer, message))
        }
    }
}

/// A row or document: an object, or (MongoDB) a string that holds one.
fn image<'a>(raw: &'a str, pointer: &'static str, context: &Context<'_>) -> Result<Text<'a>, Refusal> {
    if raw.starts_with('{') {
        return Ok(raw.into());
    }
    let refuse = |message: &str| Refusal::new(Code::InvalidDoc, pointer, message);
    let text = serde_json::from_str::<String>(raw)
        .map_err(|_other| refuse("the image must be a JSON object, or a string that holds one"))?;
    if json::depth(text.as_bytes()) >= context.depth_max {
        return Err(Refusal::new(Code::TooDeep, pointer, format!("the image nests deeper than {}", context.depth_max)));
    }
    json::for_each_field(&text, |_, _| {}).map_err(|_bad| refuse("the string holds no JSON object"))?;
    Ok(text.trim_ascii().to_owned().into())
}

/// A message becomes a change.
fn row<'a>(
    index: u32,
    event: Event<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let Event { op, doc, before, key, origin, meta } = event;
    let name = match context.target {
        Target::Changes(path) => path.as_str().to_owned(),
        Target::Events => origin.collection()?,
    };
    let collection = collections.number(&name, Slot::Collection)?;
    let names = context.key_fields(&name);
    let image = if op == Op::Delete { before.as_deref() } else { doc.as_deref() };
    let document_id = key::of(key, names, image)?;
    let data = doc.filter(|_| op != Op::Delete);
    let is_left_out = data.as_deref().is_some_and(|doc| doc.contains(UNAVAILABLE));
    if (data.is_none() && op != Op::Delete) || is_left_out {
        return Err(not_whole(is_left_out));
    }
    let prev = before.filter(|before| key::is_more_than_key(before, key, names));
    let (ts, bookmark) = (origin.ts(context.latest_ts)?, origin.bookmark());
    if bookmark.as_ref().is_some_and(|bookmark| bookmark.len() > BOOKMARK_BYTES_MAX) {
        return Err(Refusal::new(Code::InvalidField, "/source", "the position in the source's log is too long"));
    }
    let id = match &bookmark {
        Some(at) => delivered(&[&name, at, op.as_str(), &document_id, text(&data), text(&prev), text(&meta)]),
        None => RowId::made(context.ids.ulid(context.now)),
    };
    let kind =
        RowKind::Change { collection, document_id: document_id.into(), op, prev, bookmark: bookmark.map(Cow::Owned) };
    let (source, subject) = (origin.source(), origin.subject());
    Ok(Row { index, shard: shard_of(&name, context.shards), id, kind, ts, source, subject, actor: None, data, meta })
}

fn text<'t>(part: &'t Option<Text<'_>>) -> &'t str {
    part.as_deref().unwrap_or_default()
}

/// Debezium delivers at least once: a message that says the same of the same position has the same id, so the door's
/// deduplication drops it; one that differs in anything has another.
fn delivered(parts: &[&str]) -> RowId<'static> {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        all.extend_from_slice(part.as_bytes());
        all.push(0);
    }
    RowId::Given(format!("debezium-{:032x}", hash::delivery(&all)).into())
}

fn not_whole(is_left_out: bool) -> Refusal {
    let message = if is_left_out {
        "the source left an unchanged large value out (__debezium_unavailable_value): set REPLICA IDENTITY FULL for the table"
    } else {
        "an insert or update needs the whole document: set capture.mode=change_streams_update_full at the MongoDB connector"
    };
    Refusal::new(if is_left_out { Code::InvalidDoc } else { Code::MissingField }, "/after", message)
}

/// The `null` that lets Kafka forget a key. The delete itself came before it, so it is kept as an event; where deletes
/// come as nothing else (flattened with `tombstone`), `?tombstones=delete` makes it a delete.
fn tombstone<'a>(
    index: u32,
    key: Option<&'a str>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    if !context.reading.tombstones_delete() || key.is_none() {
        return Ok(notice::tombstone(index, key, context));
    }
    let (doc, before, origin, meta) = (None, None, Origin::default(), None);
    row(index, Event { op: Op::Delete, doc, before, key, origin, meta }, context, collections)
}
