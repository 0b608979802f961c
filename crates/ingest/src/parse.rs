//! Body text → records: each record is read once, its fields borrow from the body.
//!
//! A record is taken apart into the raw text of its top-level fields; values are skipped, not built, and skipping does
//! not recurse, so depth is checked (envelope) before anything below the top level is looked into. Syntax errors of a
//! JSON body refuse it whole; a bad line of NDJSON is one bad record.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    error::Error,
    fields::{Fields, Wrapped},
    refusal::{Code, Refusal},
    request::Format,
};

/// Takes records one after the other.
pub(crate) trait Sink<'a> {
    /// One record: its index in the request, its fields or why it is none, and its text where it stands alone.
    fn record(&mut self, index: usize, fields: Result<&Fields<'a>, Refusal>, text: Option<&'a str>);
}

/// Reads a body and gives its records to the sink. Returns the `batchId`, if the body has one.
pub(crate) fn records<'a, S: Sink<'a>>(
    text: &'a str,
    format: Format,
    max: usize,
    sink: &mut S,
) -> Result<Option<Cow<'a, str>>, Error> {
    match format {
        Format::Ndjson => lines(text, max, sink).map(|()| None),
        // Other forms were written as one of these (transcode).
        Format::Json | Format::ArrowStream => json(text, max, sink),
        Format::CloudEvents | Format::CloudEventBinary => one_or_many(text, max, sink).map(|()| None),
        Format::CloudEventsBatch => array(text, max, sink).map(|()| None),
    }
}

fn lines<'a, S: Sink<'a>>(text: &'a str, max: usize, sink: &mut S) -> Result<(), Error> {
    let mut fields = Fields::default();
    let mut index = 0;
    for (line, content) in text.split('\n').enumerate() {
        let content = content.trim_ascii();
        if content.is_empty() {
            continue;
        }
        if index == max {
            return Err(Error::TooManyEvents { limit: max });
        }
        match object(content, &mut fields) {
            Ok(true) => sink.record(index, Ok(&fields), Some(content)),
            Ok(false) => sink.record(index, Err(not_an_object()), Some(content)),
            Err(error) => sink.record(index, Err(bad_line(line + 1, &error)), Some(content)),
        }
        index += 1;
    }
    if index == 0 { Err(empty()) } else { Ok(()) }
}

fn json<'a, S: Sink<'a>>(text: &'a str, max: usize, sink: &mut S) -> Result<Option<Cow<'a, str>>, Error> {
    match text.trim_ascii_start().as_bytes().first() {
        None => Err(empty()),
        Some(b'[') => array(text, max, sink).map(|()| None),
        Some(_) => {
            let mut fields = Fields::default();
            if !object(text, &mut fields).map_err(|error| bad_body(&error))? {
                sink.record(0, Err(not_an_object()), Some(text));
                return Ok(None);
            }
            let Some(Wrapped { events, key }) = fields.batch()? else {
                sink.record(0, Ok(&fields), Some(text));
                return Ok(None);
            };
            array(events, max, sink).map(|()| key)
        }
    }
}

/// Like `json`, without a wrap of ours. Debezium Server sends batches under the type of a single event.
fn one_or_many<'a, S: Sink<'a>>(text: &'a str, max: usize, sink: &mut S) -> Result<(), Error> {
    match text.trim_ascii_start().as_bytes().first() {
        None => Err(empty()),
        Some(b'[') => array(text, max, sink),
        Some(_) => {
            let mut fields = Fields::default();
            let is_object = object(text, &mut fields).map_err(|error| bad_body(&error))?;
            sink.record(0, if is_object { Ok(&fields) } else { Err(not_an_object()) }, Some(text));
            Ok(())
        }
    }
}

fn array<'a, S: Sink<'a>>(text: &'a str, max: usize, sink: &mut S) -> Result<(), Error> {
    let mut too_many = false;
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_seq(Records { sink, max, too_many: &mut too_many });
    match read.and_then(|count| reader.end().map(|()| count)) {
        Ok(0) => Err(empty()),
        Ok(_) => Ok(()),
        Err(_) if too_many => Err(Error::TooManyEvents { limit: max }),
        Err(error) => Err(bad_body(&error)),
    }
}

/// Reads one value; whether it is an object, whose fields are then in `fields`.
fn object<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<bool, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let is_object = Record(fields).deserialize(&mut reader)?;
    reader.end()?;
    Ok(is_object)
}

fn empty() -> Error {
    Error::Body { code: "empty_body", detail: "the body holds no event".to_owned() }
}

fn not_an_object() -> Refusal {
    Refusal::new(Code::NotAnObject, "", "the record is no JSON object")
}

fn bad_line(line: usize, error: &serde_json::Error) -> Refusal {
    let what = what(error);
    Refusal::new(Code::InvalidJson, "", format!("line {line} is no JSON: {what} at column {}", error.column()))
}

fn bad_body(error: &serde_json::Error) -> Error {
    let cut = if error.is_eof() { " (the body ends too early)" } else { "" };
    let (what, line, column) = (what(error), error.line(), error.column());
    Error::Body {
        code: "invalid_json",
        detail: format!("the body is no JSON: {what} at line {line}, column {column}{cut}"),
    }
}

/// What the parser said, without where: it counts lines from the text that it was given.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _where)| what).to_owned()
}

struct Records<'s, S> {
    sink: &'s mut S,
    max: usize,
    too_many: &'s mut bool,
}

impl<'de, S: Sink<'de>> Visitor<'de> for Records<'_, S> {
    /// How many there were.
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut fields = Fields::default();
        let mut index = 0;
        while let Some(is_object) = seq.next_element_seed(Record(&mut fields))? {
            if index == self.max {
                *self.too_many = true;
                return Err(A::Error::custom("too many events"));
            }
            self.sink.record(index, if is_object { Ok(&fields) } else { Err(not_an_object()) }, None);
            index += 1;
        }
        Ok(index)
    }
}

struct Record<'f, 'a>(&'f mut Fields<'a>);

impl<'de> DeserializeSeed<'de> for Record<'_, 'de> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// What is no object is skipped and told as such.
macro_rules! not_objects {
    ($($visit:ident: $of:ty),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<bool, E> { Ok(false) })*
    };
}

impl<'de> Visitor<'de> for Record<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        self.0.clear();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let raw: &'de RawValue = map.next_value()?;
            self.0.put(key, raw.get());
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    not_objects!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

/// An object key that borrows when it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
