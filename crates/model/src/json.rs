//! How a document is looked at without losing a digit.
//!
//! Documents stay the text they came as. This module finds the top-level fields, tells the kind of each value, and
//! holds the one rule for the text of a number, so that widening a stored column equals deriving it anew
//! (storage.md, Schema of documents).
//!
//! JSON may escape half a surrogate pair (`\ud800`), which is no character. Doors refuse such documents ([`is_text`]);
//! what reads stored ones takes the half for U+FFFD, so that no row that was ever acknowledged stops a reader.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Integers up to here are exact as Float64: 2^53.
pub const EXACT_FLOAT_MAX: i64 = 1 << 53;

/// One JSON value, as much of it as typed columns need.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written as an integer that fits i64.
    Int(i64),
    /// Any other number that f64 can hold.
    Float(f64),
    /// A number that fits no numeric column (an integer beyond i64, an exponent beyond f64), as written.
    Big(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An object or array, as written.
    Nested(&'a str),
}

impl<'a> Value<'a> {
    /// Reads one value from valid JSON text without surrounding white space (as [`RawValue`] holds it).
    #[must_use]
    pub fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::String(unescaped(raw)),
            Some(b'{' | b'[') => Self::Nested(raw),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'-' | b'0'..=b'9') => Self::number(raw),
            _ => Self::Null,
        }
    }

    fn number(raw: &'a str) -> Self {
        if let Ok(int) = raw.parse::<i64>() {
            return Self::Int(int);
        }
        let whole = raw.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match raw.parse::<f64>() {
            Ok(float) if float.is_finite() && !whole => Self::Float(float),
            _ => Self::Big(raw),
        }
    }

    /// The value as text: what a Utf8 column holds. `None` for null.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => if *value { "true" } else { "false" }.into(),
            Self::Int(value) => value.to_string().into(),
            Self::Float(value) => float_text(*value).into(),
            Self::Big(raw) | Self::Nested(raw) => (*raw).into(),
            Self::String(text) => text.as_ref().into(),
        })
    }
}

/// The canonical text of a number in a Float64 column: an integral value that fits i64 in decimal, else the shortest
/// text that reads back as the same f64.
#[must_use]
pub fn float_text(value: f64) -> String {
    // 2^63 is exact as f64; every integral value below it prints without loss. Zero has no sign.
    match value {
        _ if value == 0.0 => "0".to_owned(),
        _ if value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0 => format!("{value:.0}"),
        _ => format!("{value:?}"),
    }
}

/// Whether every string in valid JSON text, names included, is text: no escape in it is half a surrogate pair. Costs a
/// search for a backslash where there is none.
#[must_use]
pub fn is_text(json: &str) -> bool {
    halves(json).next().is_none()
}

/// Where valid JSON text escapes half a surrogate pair: the places of the backslashes.
fn halves(json: &str) -> impl Iterator<Item = usize> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + json.get(from..)?.find('\\')?;
            let (half, length) = match (code_unit(json, at), code_unit(json, at + ESCAPE_BYTES)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (None, 2 * ESCAPE_BYTES),
                (Some(0xd800..=0xdfff), _) => (Some(at), ESCAPE_BYTES),
                (Some(_), _) => (None, ESCAPE_BYTES),
                (None, _) => (None, 2),
            };
            from = at + length;
            if half.is_some() {
                return half;
            }
        }
    })
}

/// The bytes of `\ud800`.
const ESCAPE_BYTES: usize = 6;

/// The UTF-16 code unit that is escaped here, if one is.
fn code_unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE_BYTES)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

/// The text of a valid raw JSON string; borrows unless it has escapes. Half a surrogate pair becomes U+FFFD.
fn unescaped(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.as_bytes().contains(&b'\\') {
        return inner.into();
    }
    let read = serde_json::from_str::<String>(raw).or_else(|_half| {
        let mut whole = raw.to_owned();
        halves(raw).for_each(|at| whole.replace_range(at..at + ESCAPE_BYTES, "\\ufffd"));
        serde_json::from_str(&whole)
    });
    read.unwrap_or_default().into()
}

/// How deep arrays and objects nest in valid or invalid JSON text; a scalar has depth 0. Never recurses.
#[must_use]
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in text {
        if in_string {
            (escaped, in_string) = (!escaped && *byte == b'\\', escaped || *byte != b'"');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Calls `each(name, raw value)` for the top-level fields of an object, in order. Of a repeated name the last counts,
/// so callers that keep one value per name overwrite. A name with half a surrogate pair is given with U+FFFD in its place:
/// never the name of a column.
///
/// # Errors
/// When the text is not one JSON object.
pub fn for_each_field<'a>(object: &'a str, each: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(object);
    Fields(each).deserialize(&mut reader)?;
    reader.end()
}

struct Fields<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> DeserializeSeed<'de> for Fields<F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de str)> Visitor<'de> for Fields<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            let raw: &'de RawValue = map.next_value()?;
            (self.0)(unescaped(name.get()), raw.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_what_they_are() {
        for (raw, value, text) in [
            ("null", Value::Null, None),
            ("true", Value::Bool(true), Some("true")),
            ("-7", Value::Int(-7), Some("-7")),
            ("9223372036854775807", Value::Int(i64::MAX), Some("9223372036854775807")),
            ("9223372036854775808", Value::Big("9223372036854775808"), Some("9223372036854775808")),
            ("1e400", Value::Big("1e400"), Some("1e400")),
            ("5.0", Value::Float(5.0), Some("5")),
            ("-0.0", Value::Float(-0.0), Some("0")),
            ("-10.0", Value::Float(-10.0), Some("-10")),
            ("0.1", Value::Float(0.1), Some("0.1")),
            ("1e300", Value::Float(1e300), Some("1e300")),
            ("1e17", Value::Float(1e17), Some("100000000000000000")),
            (r#""a\nb""#, Value::String("a\nb".into()), Some("a\nb")),
            (r#""\\""#, Value::String("\\".into()), Some("\\")),
            (r#""\ud83d\ude00""#, Value::String("😀".into()), Some("😀")),
            (r#""a\udc00\nb\ud800""#, Value::String("a\u{fffd}\nb\u{fffd}".into()), Some("a\u{fffd}\nb\u{fffd}")),
            (r#"{"a":1}"#, Value::Nested(r#"{"a":1}"#), Some(r#"{"a":1}"#)),
        ] {
            assert_eq!(Value::of(raw), value, "{raw}");
            assert_eq!(Value::of(raw).text().as_deref(), text, "{raw}");
        }
    }

    #[test]
    fn depth_counts_outside_strings_only() {
        for (text, deep) in
            [("1", 0), ("{}", 1), (r#"{"a":[[]]}"#, 3), (r#"{"a":"[[[\"[["}"#, 1), (r#"["\\",[]]"#, 2), ("]]][", 1)]
        {
            assert_eq!(depth(text.as_bytes()), deep, "{text}");
        }
        assert_eq!(depth("[".repeat(10_000).as_bytes()), 10_000);
    }

    #[test]
    fn halves_of_surrogate_pairs_are_no_text() {
        for (json, is_whole) in [
            (r#"{"a":"b\\ud800\n\u00e9","é":[]}"#, true),
            (r#"{"a":["\ud83d\ude00\uD83D\uDE00"]}"#, true),
            (r#"{"\ud800":1}"#, false),
            (r#"{"a":[{"b":"\udc00"}]}"#, false),
            (r#"{"a":"\ud800\ud83d\ude00"}"#, false),
            (r#"{"a":"\ud83d\n\ude00"}"#, false),
            (r#"{"a":"\\\udfff"}"#, false),
        ] {
            assert_eq!(is_text(json), is_whole, "{json}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(json).is_ok(), is_whole, "{json}");
        }
    }

    #[test]
    fn fields_come_in_order_and_unescaped() {
        let mut seen = Vec::new();
        for_each_field(r#" {"b": 1, "a\n": "x", "c":{"d":[1, 2]} } "#, |name, raw| seen.push((name.into_owned(), raw)))
            .expect("reads");
        assert_eq!(seen, [("b".to_owned(), "1"), ("a\n".to_owned(), r#""x""#), ("c".to_owned(), r#"{"d":[1, 2]}"#)]);
        seen.clear();
        for_each_field(r#"{"\ud800":1,"b\ud83d\ude00":2}"#, |name, raw| seen.push((name.into_owned(), raw)))
            .expect("reads");
        assert_eq!(seen, [("\u{fffd}".to_owned(), "1"), ("b😀".to_owned(), "2")]);
        assert!(for_each_field("[1]", |_, _| {}).is_err() && for_each_field(r#"{"a":1} x"#, |_, _| {}).is_err());
    }
}
