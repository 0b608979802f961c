//! The key of a document: from the event key, from the fields that are configured, else from `id` or `_id`.
//!
//! One field gives its text; several give the JSON array of their values, in order. MongoDB writes ids in Extended JSON,
//! also as text inside the event key: `{"$oid":"596e…"}` is told as `596e…`.

use crate::{
    envelope::{
        DOCUMENT_ID_BYTES_MAX,
        object::{Object, scalar_text},
    },
    refusal::{Code, Refusal},
};

/// Fields that are the key where nobody says another.
const DEFAULTS: [&str; 2] = ["id", "_id"];

/// The key as text.
pub(super) fn of(event_key: Option<&str>, names: &[String], image: Option<&str>) -> Result<String, Refusal> {
    let text = match event_key {
        Some(raw) => of_event_key(raw)?,
        None => of_image(names, image)?,
    };
    if (1..=DOCUMENT_ID_BYTES_MAX).contains(&text.len()) {
        return Ok(text);
    }
    let message = format!("the key has {} bytes: use 1 to {DOCUMENT_ID_BYTES_MAX}", text.len());
    Err(Refusal::new(Code::InvalidId, "", message))
}

fn of_event_key(raw: &str) -> Result<String, Refusal> {
    let refuse = || Refusal::new(Code::InvalidId, "", "the event key is no object with fields and no scalar");
    if !raw.starts_with('{') {
        return value_text(raw).ok_or_else(refuse);
    }
    let key = Object::read(raw).ok_or_else(refuse)?;
    if key.has("payload") {
        return of_event_key(key.get("payload").ok_or_else(refuse)?);
    }
    let values: Vec<&str> = key.iter().map(|(_, raw)| raw).collect();
    joined(&values).ok_or_else(refuse)
}

fn of_image(names: &[String], image: Option<&str>) -> Result<String, Refusal> {
    let missing = |what: &str| {
        let message = format!(
            "the message does not tell the key of its document ({what}): name the key fields with ?key=… or \
             ingest.document_keys, or send it as {{\"key\":…,\"value\":…}}"
        );
        Refusal::new(Code::MissingField, "", message)
    };
    let image = image.and_then(Object::read).ok_or_else(|| missing("it has no image"))?;
    if names.is_empty() {
        let found = DEFAULTS.into_iter().find_map(|name| image.get(name));
        return found.and_then(value_text).ok_or_else(|| missing("its image has neither id nor _id"));
    }
    let values: Result<Vec<&str>, &String> = names.iter().map(|name| image.get(name).ok_or(name)).collect();
    let values = values.map_err(|name| missing(&format!("its image has no {:?}", crate::error::shown(name))))?;
    joined(&values).ok_or_else(|| missing("its key fields are empty"))
}

fn joined(values: &[&str]) -> Option<String> {
    match values {
        [] => None,
        [one] => value_text(one),
        several => Some(format!("[{}]", several.join(","))),
    }
}

/// The text of one value of a key.
fn value_text(raw: &str) -> Option<String> {
    if raw == "null" {
        return None;
    }
    match scalar_text(raw) {
        // An id of MongoDB inside an event key: JSON written into a string.
        Some(text) if raw.starts_with('"') && text.starts_with(['{', '"']) => {
            let inner = serde_json::from_str::<&serde_json::value::RawValue>(&text).ok();
            inner.and_then(|inner| extended(inner.get())).or_else(|| Some(text.into_owned()))
        }
        Some(text) => Some(text.into_owned()),
        None => extended(raw),
    }
}

/// Extended JSON of MongoDB, as far as ids are written in it; anything else stays JSON.
fn extended(raw: &str) -> Option<String> {
    if !raw.starts_with('{') {
        return scalar_text(raw).map_or_else(|| Some(raw.to_owned()), |text| Some(text.into_owned()));
    }
    let object = Object::read(raw)?;
    let known = ["$oid", "$numberLong", "$numberInt"].into_iter().find_map(|name| object.text(name));
    Some(known.map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned))
}

/// Whether an image before the change tells more than the key: PostgreSQL sends no more unless a table has
/// `REPLICA IDENTITY FULL`, and half an image must not pass for one.
pub(super) fn is_more_than_key(before: &str, event_key: Option<&str>, names: &[String]) -> bool {
    let Some(before) = Object::read(before) else { return false };
    let event_key = event_key.and_then(Object::read).unwrap_or_default();
    let event_key = event_key.get("payload").and_then(Object::read).unwrap_or(event_key);
    let is_key = |name: &str| {
        event_key.has(name) || names.iter().any(|key| key == name) || (names.is_empty() && DEFAULTS.contains(&name))
    };
    before.iter().any(|(name, raw)| raw != "null" && !is_key(name))
}
