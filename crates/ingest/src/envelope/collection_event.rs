//! Changes that come as events: `collection.insert|update|delete` and `cdc`.
//!
//! - `{"type":"collection.update","collection","docId","doc","prev","bookmark"}`
//! - `{"type":"cdc","event":"<noun>.created|updated|deleted","data":{"id",…},"meta":{"prev","bookmark",…}}`: the document
//!   is `data` as it is, its key is `data.id`, its collection is the noun unless the path names one.
//!
//! `id` is the id of the event; `ts`, `source`, `subject` and `actor` are as in events.

use std::borrow::Cow;

use tidemark_model::Op;

use super::{
    Collections, Context, bookmark,
    change::{Change, row},
    collection_of, key_text, missing,
    object::Object,
    unknown_field,
};
use crate::{
    fields::{Fields, Slot},
    refusal::{Code, Refusal},
    request::Target,
    row::{Row, Text},
};

const DOC_ID: &str = "docId";
const EVENT: &str = "event";

const COMMON: [Slot; 7] = [Slot::Type, Slot::Id, Slot::Ts, Slot::Source, Slot::Subject, Slot::Actor, Slot::Meta];
const COLLECTION: &[Slot] = &[
    COMMON[0],
    COMMON[1],
    COMMON[2],
    COMMON[3],
    COMMON[4],
    COMMON[5],
    COMMON[6],
    Slot::Collection,
    Slot::Doc,
    Slot::Prev,
    Slot::Bookmark,
];
const CDC: &[Slot] =
    &[COMMON[0], COMMON[1], COMMON[2], COMMON[3], COMMON[4], COMMON[5], COMMON[6], Slot::Data, Slot::Bookmark];

/// What the type of an event says it does to a document.
pub(super) fn op_of(raw_type: &str) -> Option<Op> {
    Op::parse(raw_type.strip_prefix("\"collection.")?.strip_suffix('"')?)
}

/// Whether the type is that of cdc events.
pub(super) fn is_cdc(raw_type: &str) -> bool {
    raw_type == "\"cdc\""
}

/// Reads a `collection.*` event.
pub(super) fn read<'a>(
    index: u32,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    if let Some((name, _)) = fields.unknown(COLLECTION).find(|(name, _)| *name != DOC_ID) {
        return Err(unknown_field("a collection event", name));
    }
    let op = fields.get(Slot::Type).and_then(op_of).ok_or_else(|| missing(Slot::Type))?;
    let key = fields.other(DOC_ID).ok_or_else(|| required("/docId", "docId"))?;
    let change = Change {
        collection: collection_of(fields, context.target)?,
        document_id: key_text(key, "/docId")?,
        op,
        doc: fields.object(Slot::Doc)?.map(Cow::Borrowed),
        prev: fields.object(Slot::Prev)?.map(Cow::Borrowed),
        bookmark: bookmark(fields)?,
    };
    row((index, Slot::Id), change, (fields, context), collections)
}

/// Reads a `cdc` event.
pub(super) fn read_cdc<'a>(
    index: u32,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    if let Some((name, _)) = fields.unknown(CDC).find(|(name, _)| *name != EVENT) {
        return Err(unknown_field("a cdc event", name));
    }
    let (noun, op) = what_happened(fields.other(EVENT).ok_or_else(|| required("/event", EVENT))?)?;
    let data = fields.object(Slot::Data)?.ok_or_else(|| missing(Slot::Data))?;
    let key = Object::read(data).and_then(|data| data.get("id")).ok_or_else(|| required("/data/id", "data.id"))?;
    let meta = fields.get(Slot::Meta).and_then(Object::read).unwrap_or_default();
    let prev = meta.get("prev");
    if prev.is_some_and(|prev| !prev.starts_with('{')) {
        return Err(Refusal::new(Code::InvalidField, "/meta/prev", "meta.prev must be a JSON object"));
    }
    let bookmark = match meta.text("bookmark") {
        Some(text) if text.len() > super::BOOKMARK_BYTES_MAX => {
            let message = format!("meta.bookmark has {} bytes: use at most {}", text.len(), super::BOOKMARK_BYTES_MAX);
            return Err(Refusal::new(Code::InvalidField, "/meta/bookmark", message));
        }
        Some(text) => Some(text),
        None => bookmark(fields)?,
    };
    let collection = match context.target {
        Target::Changes(path) => path.as_str().to_owned().into(),
        Target::Events => noun,
    };
    let (document_id, prev) = (key_text(key, "/data/id")?, prev.map(Cow::Borrowed));
    let change = Change { collection, document_id, op, doc: Some(data.into()), prev, bookmark };
    row((index, Slot::Id), change, (fields, context), collections)
}

/// `contact.created` → the noun and the operation.
fn what_happened(raw: &str) -> Result<(Text<'_>, Op), Refusal> {
    let refuse = || {
        let message =
            format!("{} is not what happened: use <noun>.created, .updated or .deleted", crate::error::shown(raw));
        Refusal::new(Code::InvalidField, "/event", message)
    };
    let text = super::object::scalar_text(raw).filter(|_| raw.starts_with('"')).ok_or_else(refuse)?;
    let (noun, verb) = text.rsplit_once('.').ok_or_else(refuse)?;
    let op = match verb {
        "created" => Op::Insert,
        "updated" => Op::Update,
        "deleted" => Op::Delete,
        _ => return Err(refuse()),
    };
    Ok((noun.to_ascii_lowercase().into(), op))
}

fn required(pointer: &'static str, name: &str) -> Refusal {
    Refusal::new(Code::MissingField, pointer, format!("{name} is required"))
}
