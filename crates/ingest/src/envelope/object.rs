//! The fields of an object inside a record, in order: what envelopes that nest are read with.

use std::borrow::Cow;

use tidemark_model::json;

use crate::{fields::Fields, named::Named};

/// An object as its fields; values are raw JSON text that borrows from the body.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Named<Cow<'a, str>, &'a str>);

impl<'a> Object<'a> {
    /// The object that this JSON text is; of a repeated name the last counts.
    pub(super) fn read(raw: &'a str) -> Option<Self> {
        let mut object = Self::default();
        json::for_each_field(raw, |name, raw| object.put(name, raw)).ok()?;
        Some(object)
    }

    /// A record as an object.
    pub(super) fn of(fields: &Fields<'a>) -> Self {
        let mut object = Self::default();
        fields.all().for_each(|(name, raw)| object.0.push(name, raw));
        object
    }

    pub(super) fn put(&mut self, name: Cow<'a, str>, raw: &'a str) {
        match self.0.find(&name) {
            Some(place) => self.0.value_mut(place).into_iter().for_each(|value| *value = raw),
            None => self.0.push(name, raw),
        }
    }

    /// The raw value of a field; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|raw| *raw != "null")
    }

    /// The raw value of a field, also `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.find(name).and_then(|place| self.0.get(place)).map(|(_, raw)| *raw)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A field as text: a string unescaped, a number or boolean as it is written; nothing for what nests.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(scalar_text)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        self.0.iter().map(|(name, raw)| (name, *raw))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

/// The text of a scalar: a string unescaped, a number or boolean as it is written.
pub(super) fn scalar_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'{' | b'[' => None,
        b'"' if !raw.contains('\\') => raw.get(1..raw.len().saturating_sub(1)).map(Cow::Borrowed),
        b'"' => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Writes an object; nothing for one without fields.
pub(super) fn written<'o>(fields: impl Iterator<Item = (&'o str, &'o str)>) -> Option<String> {
    let mut text = String::from("{");
    for (name, raw) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
        text.push(':');
        text.push_str(raw);
    }
    text.push('}');
    (text.len() > 2).then_some(text)
}
