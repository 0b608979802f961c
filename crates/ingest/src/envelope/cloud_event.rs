//! CloudEvents 1.0 (structured; the door makes a structured one of binary mode).
//!
//! An event becomes a plain event: `type`, `source`, `subject` and `data` as they are, `ts` = `time`, `id` =
//! `{source}#{id}`, because only both together are unique; extension attributes, `dataschema` and `datacontenttype` go
//! into `meta`. `data_base64` stays base64 text, told by `meta.dataencoding`. Change events of Debezium's converter, and
//! events whose type is `collection.*` or `cdc` with an object as `data`, become changes.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tidemark_model::Instant;

use super::{
    Collections, Context, EVENT_ID_BYTES_MAX, collection_event, debezium, event,
    object::{Object, written},
    shard_of,
};
use crate::{
    fields::Fields,
    refusal::{Code, Refusal},
    request::Target,
    row::{Row, RowId, RowKind, Text},
};

const DATA_BASE64: &str = "data_base64";
/// What the specification defines; every other attribute is an extension.
const KNOWN: [&str; 7] = ["id", "source", "type", "subject", "time", "data", DATA_BASE64];

/// Reads one CloudEvent.
pub(super) fn read<'a>(
    index: u32,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let event = Object::of(fields);
    check(&event)?;
    let event_type = required(&event, "type")?;
    let debezium = event_type.starts_with("io.debezium.connector.") && event_type.ends_with(".DataChangeEvent");
    if debezium || event.has("iodebeziumop") {
        return debezium::of_cloud_event(index, &event, context, collections);
    }
    let raw_type = event.get("type").unwrap_or_default();
    if collection_event::op_of(raw_type).is_some() || collection_event::is_cdc(raw_type) {
        return change(index, &event, context, collections);
    }
    if let Target::Changes(_) = context.target {
        let message = "the event is no change: send changes as collection.insert|update|delete, cdc, or Debezium's";
        return Err(Refusal::new(Code::InvalidType, "/type", message));
    }
    event::check_type(&event_type)?;
    let source = required(&event, "source")?;
    let id = id(&source, &required(&event, "id")?)?;
    let shard = shard_of(id.as_str(), context.shards);
    let (kind, ts) = (RowKind::Event { event_type }, time(&event, context.latest_ts)?);
    let (subject, data) = (attribute(&event, "subject")?, data(&event)?);
    Ok(Row { index, shard, id, kind, ts, source: Some(source), subject, actor: None, data, meta: extensions(&event) })
}

/// A change that travels in `data`; the fields of the event stand around it.
fn change<'a>(
    index: u32,
    event: &Object<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let refuse = || Refusal::new(Code::InvalidField, "/data", "data of a change must be a JSON object");
    let data = event.get("data").and_then(Object::read).ok_or_else(refuse)?;
    let mut fields = Fields::default();
    data.iter().for_each(|(name, raw)| fields.put(name.clone(), raw));
    for (name, attribute) in [("type", "type"), ("ts", "time"), ("source", "source"), ("subject", "subject")] {
        if let Some(raw) = event.get(attribute) {
            fields.put(name.into(), raw);
        }
    }
    let is_cdc = fields.other("event").is_some();
    let read = if is_cdc { collection_event::read_cdc } else { collection_event::read };
    let mut row = read(index, &fields, context, collections).map_err(|refusal| match refusal.pointer.as_ref() {
        "/ts" => Refusal { pointer: "/time".into(), ..refusal },
        "/type" | "/source" | "/subject" => refusal,
        _ => refusal.under("/data"),
    })?;
    row.id = id(&required(event, "source")?, &required(event, "id")?)?;
    Ok(row)
}

fn check(event: &Object<'_>) -> Result<(), Refusal> {
    if required(event, "specversion")? != "1.0" {
        return Err(Refusal::new(Code::InvalidField, "/specversion", "specversion must be \"1.0\""));
    }
    for name in ["id", "source", "type"] {
        required(event, name)?;
    }
    for (name, raw) in event.iter().filter(|(name, _)| !KNOWN.contains(&name.as_ref())) {
        let pointer = || format!("/{}", crate::error::shown(name));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            let message = "names of attributes are lower-case letters and digits: payload belongs into data";
            return Err(Refusal::new(Code::UnknownField, pointer(), message));
        }
        if raw.starts_with(['{', '[']) {
            return Err(Refusal::new(
                Code::InvalidField,
                pointer(),
                "an attribute is a string, an integer or a boolean",
            ));
        }
    }
    Ok(())
}

/// A text attribute that is not empty.
fn attribute<'a>(event: &Object<'a>, name: &'static str) -> Result<Option<Text<'a>>, Refusal> {
    let Some(raw) = event.get(name) else { return Ok(None) };
    let text = event.text(name).filter(|text| raw.starts_with('"') && !text.is_empty());
    let code = match name {
        "id" => Code::InvalidId,
        "type" => Code::InvalidType,
        _ => Code::InvalidField,
    };
    let refuse = || Refusal::new(code, format!("/{name}"), format!("{name} must be a string that is not empty"));
    text.map(Some).ok_or_else(refuse)
}

fn required<'a>(event: &Object<'a>, name: &'static str) -> Result<Text<'a>, Refusal> {
    let missing = || Refusal::new(Code::MissingField, format!("/{name}"), format!("{name} is required"));
    attribute(event, name)?.ok_or_else(missing)
}

fn id(source: &str, id: &str) -> Result<RowId<'static>, Refusal> {
    let text = format!("{source}#{id}");
    if text.len() <= EVENT_ID_BYTES_MAX {
        return Ok(RowId::Given(text.into()));
    }
    let message = format!("source and id have {} bytes together: use at most {EVENT_ID_BYTES_MAX}", text.len() - 1);
    Err(Refusal::new(Code::InvalidId, "/id", message))
}

fn time(event: &Object<'_>, latest: Instant) -> Result<Option<Instant>, Refusal> {
    let Some(text) = attribute(event, "time")? else { return Ok(None) };
    let refuse = |message: String| Refusal::new(Code::InvalidTs, "/time", message);
    let at = Instant::parse(&text).map_err(|error| refuse(error.to_string()))?;
    if at > latest {
        return Err(refuse(format!("{at} lies too far ahead: at most {latest} is taken now")));
    }
    Ok(Some(at))
}

fn data<'a>(event: &Object<'a>) -> Result<Option<Text<'a>>, Refusal> {
    let refuse = |message: &str| Refusal::new(Code::InvalidField, "/data_base64", message);
    match (event.get("data"), event.get(DATA_BASE64)) {
        (Some(_), Some(_)) => Err(refuse("data and data_base64 exclude each other")),
        (None, Some(raw)) => {
            let text = event.text(DATA_BASE64).filter(|_| raw.starts_with('"'));
            let text = text.ok_or_else(|| refuse("data_base64 must be a string"))?;
            if STANDARD.decode(text.as_bytes()).is_ok() {
                Ok(Some(raw.into()))
            } else {
                Err(refuse("data_base64 is no base64 (RFC 4648)"))
            }
        }
        (data, None) => Ok(data.map(Cow::Borrowed)),
    }
}

/// What has no column of its own, as an object.
pub(super) fn extensions<'a>(event: &Object<'_>) -> Option<Text<'a>> {
    let is_known = |name: &str| KNOWN.contains(&name) || name == "specversion";
    let others = event.iter().filter(|(name, raw)| !is_known(name) && *raw != "null");
    let encoding = event.get(DATA_BASE64).map(|_| ("dataencoding", "\"base64\""));
    written(others.map(|(name, raw)| (name.as_ref(), raw)).chain(encoding)).map(Cow::Owned)
}
