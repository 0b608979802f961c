//! The envelope of plain events: `type, ts, id, source, subject, actor, data, meta`; other fields go into `data`.

use std::borrow::Cow;

use tidemark_model::{EventType, json};

use super::{Common, Context, common, event_id, missing, shard_of};
use crate::{
    fields::{Fields, Slot},
    refusal::{Code, Refusal},
    row::{Row, RowKind, Text},
};

const ENVELOPE: &[Slot] =
    &[Slot::Type, Slot::Ts, Slot::Id, Slot::Source, Slot::Subject, Slot::Actor, Slot::Data, Slot::Meta];

/// Reads one event.
pub(super) fn read<'a>(index: u32, fields: &Fields<'a>, context: &Context<'_>) -> Result<Row<'a>, Refusal> {
    let event_type = fields.text(Slot::Type)?.ok_or_else(|| missing(Slot::Type))?;
    check_type(&event_type)?;
    let id = event_id(fields, Slot::Id, context)?;
    let shard = shard_of(id.as_str(), context.shards);
    let Common { ts, source, subject, actor, meta } = common(fields, context)?;
    let data = data(fields)?;
    Ok(Row { index, shard, id, kind: RowKind::Event { event_type }, ts, source, subject, actor, data, meta })
}

/// The rule of event types.
pub(super) fn check_type(event_type: &str) -> Result<(), Refusal> {
    // The rule is checked without making a name of it: that would allocate for every event.
    let clean = event_type.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if clean && (1..=tidemark_model::name::EVENT_TYPE_BYTES_MAX).contains(&event_type.len()) {
        return Ok(());
    }
    let refuse = |error: tidemark_model::name::NameError| {
        Refusal::new(Code::InvalidType, Slot::Type.pointer(), error.to_string())
    };
    EventType::parse(event_type).map(|_parsed| ()).map_err(refuse)
}

/// The payload, with the fields that the envelope does not know merged in untouched.
fn data<'a>(fields: &Fields<'a>) -> Result<Option<Text<'a>>, Refusal> {
    let sent = fields.get(Slot::Data);
    let mut unknown = fields.unknown(ENVELOPE).peekable();
    let Some((first, _)) = unknown.peek() else { return Ok(sent.map(Cow::Borrowed)) };
    let clash = |name: &str, message: String| Refusal::new(Code::FieldClash, pointer(name), message);
    if sent.is_some_and(|value| !value.starts_with('{')) {
        let message = "data is no object, so fields beside the envelope have no place: put them into data";
        return Err(clash(first, message.to_owned()));
    }
    let mut taken = names(sent)?;
    taken.sort_unstable();
    let mut merged = String::with_capacity(fields.bytes() + 2);
    merged.push_str(open(sent));
    for (name, raw) in unknown {
        if taken.binary_search_by(|known| known.as_ref().cmp(name)).is_ok() {
            return Err(clash(name, format!("{:?} stands beside data and in data", crate::error::shown(name))));
        }
        if merged.len() > 1 {
            merged.push(',');
        }
        merged.push_str(&serde_json::to_string(name).unwrap_or_default());
        merged.push(':');
        merged.push_str(raw);
    }
    merged.push('}');
    Ok(Some(Cow::Owned(merged)))
}

/// The text of an object up to its last field, without the closing brace; `{` of an empty or absent one.
fn open(object: Option<&str>) -> &str {
    let inner = object.and_then(|object| object.strip_suffix('}')).unwrap_or("{").trim_ascii_end();
    if inner.len() <= 1 { "{" } else { inner }
}

fn names(object: Option<&str>) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let mut names = Vec::new();
    let read = object.map_or(Ok(()), |object| json::for_each_field(object, |name, _| names.push(name)));
    let refuse = |error: serde_json::Error| {
        Refusal::new(Code::InvalidField, Slot::Data.pointer(), format!("data cannot be read: {error}"))
    };
    read.map(|()| names).map_err(refuse)
}

/// A JSON pointer to a name (RFC 6901).
fn pointer(name: &str) -> String {
    format!("/{}", crate::error::shown(name).replace('~', "~0").replace('/', "~1"))
}
