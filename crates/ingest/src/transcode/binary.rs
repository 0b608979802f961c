//! CloudEvents in binary mode (HTTP protocol binding, section 3.1): attributes are `ce-…` headers, the body is the data.

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::error::{Error, shown};

const PREFIX: &str = "ce-";
const CONTENT_TYPE: &str = "datacontenttype";

/// The attributes of an event, in order of their headers.
pub(crate) type Attributes = Vec<(String, String)>;

/// Whether the headers are those of an event in binary mode.
pub(crate) fn is_spoken(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// The attributes that the headers hold.
pub(crate) fn attributes(headers: &HeaderMap) -> Result<Attributes, Error> {
    let mut attributes = Attributes::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX).filter(|attribute| *attribute != CONTENT_TYPE) else {
            continue;
        };
        let text = value.to_str().ok().and_then(unescaped).ok_or_else(|| Error::Parameter {
            what: "header",
            value: name.to_string(),
            allowed: "its value must be visible ASCII, everything else percent-encoded UTF-8",
        })?;
        attributes.push((attribute.to_owned(), text));
    }
    if let Some(content_type) = crate::door::text(headers, &header::CONTENT_TYPE)? {
        attributes.push((CONTENT_TYPE.to_owned(), content_type.to_owned()));
    }
    Ok(attributes)
}

/// A header value: unquoted, then percent-decoded once.
fn unescaped(value: &str) -> Option<String> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let value = quoted.map_or_else(|| value.to_owned(), |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"));
    let (bytes, mut decoded, mut at) = (value.as_bytes(), Vec::with_capacity(value.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

/// The structured form of the event.
pub(crate) fn structured(attributes: &Attributes, body: &[u8]) -> Result<String, Error> {
    let mut event = serde_json::Map::new();
    attributes.iter().for_each(|(name, text)| drop(event.insert(name.clone(), text.as_str().into())));
    let mut text = serde_json::Value::Object(event).to_string();
    if body.is_empty() {
        return Ok(text);
    }
    let content_type = attributes.iter().find(|(name, _)| name == CONTENT_TYPE).map(|(_, value)| value.as_str());
    let (name, data) = match std::str::from_utf8(body) {
        Ok(json) if is_json(content_type) => ("data", checked(json)?.to_owned()),
        Ok(plain) if !plain.contains('\0') => ("data", serde_json::Value::from(plain).to_string()),
        _ => ("data_base64", serde_json::Value::from(STANDARD.encode(body)).to_string()),
    };
    text.truncate(text.len() - 1);
    text.push_str(&format!(",\"{name}\":{data}}}"));
    Ok(text)
}

/// Data without a content type is JSON.
fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.map_or("application/json", |text| text.split(';').next().unwrap_or_default().trim());
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

fn checked(json: &str) -> Result<&str, Error> {
    let read: Result<&RawValue, _> = serde_json::from_str(json);
    read.map(RawValue::get).map_err(|error| Error::Body {
        code: "invalid_json",
        detail: format!("the data of the event is no JSON, which its content type says: {}", shown(&error.to_string())),
    })
}
