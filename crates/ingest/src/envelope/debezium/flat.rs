//! Flattened messages (`ExtractNewRecordState`): the row itself, metadata in fields that begin with `__`.

use std::borrow::Cow;

use tidemark_model::Op;

use super::{Event, Origin, op};
use crate::{
    envelope::{
        Context,
        object::{Object, written},
    },
    refusal::{Code, Refusal},
    row::Text,
};

/// What the transformation puts before the names of metadata.
const PREFIX: &str = "__";
const DELETED: &str = "__deleted";
const OP: &str = "__op";

/// Whether a record with such fields is flattened.
pub(super) fn is_worn(has: impl Fn(&str) -> bool) -> bool {
    has(OP) || has(DELETED)
}

/// Whether a flattened message is a truncate.
pub(super) fn is_truncate(message: &Object<'_>) -> bool {
    message.get(OP) == Some("\"t\"")
}

/// Where a flattened truncate comes from, and its metadata.
pub(super) fn truncate<'a>(message: &Object<'a>) -> Result<(Origin<'a>, Option<Text<'a>>), Refusal> {
    let (metadata, columns): (Vec<_>, Vec<_>) = message.iter().partition(|(name, _)| name.starts_with(PREFIX));
    if columns.iter().any(|(_, raw)| *raw != "null") {
        return Err(Refusal::new(Code::InvalidOp, "/__op", "a truncate holds no row: __op of a row is c, u, d or r"));
    }
    let meta = written(metadata.iter().map(|(name, raw)| (name.as_ref(), *raw))).map(Cow::Owned);
    Ok((Origin::of_metadata(&metadata), meta))
}

/// What a flattened message says. A deleted row comes as its last image (`delete.tombstone.handling.mode=rewrite`).
pub(super) fn event<'a>(
    message: &Object<'a>,
    key: Option<&'a str>,
    context: &Context<'_>,
) -> Result<Event<'a>, Refusal> {
    let is_deleted = message.text(DELETED).is_some_and(|text| text == "true");
    let op = match message.get(OP) {
        _ if is_deleted => Op::Delete,
        Some(letter) => op(letter, "/__op")?,
        None => Op::Update,
    };
    let (metadata, columns): (Vec<_>, Vec<_>) = message.iter().partition(|(name, _)| name.starts_with(PREFIX));
    let image = written(columns.iter().map(|(name, raw)| (name.as_ref(), *raw)));
    if image.as_ref().is_some_and(|image| image.len() > context.event_bytes_max) {
        return Err(Refusal::new(Code::EventTooLarge, "", "the row is too large"));
    }
    let meta = written(metadata.iter().map(|(name, raw)| (name.as_ref(), *raw))).map(Cow::Owned);
    let mut image = image.map(Cow::Owned);
    let before = if op == Op::Delete { image.take() } else { None };
    Ok(Event { op, doc: image, before, key, origin: Origin::of_metadata(&metadata), meta })
}
