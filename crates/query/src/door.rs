//! What the doors share: how instants and settings are read.

use tidemark_model::{Instant, Mark, Positions};

use crate::SchemaOf;

/// RFC 3339 with a zone, or epoch milliseconds as digits.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read_instant(text: &str) -> Result<Instant, String> {
    let text = text.trim();
    let read = text.parse().map_or_else(|_not_digits| Instant::parse(text), Instant::from_millis);
    read.map_err(|e| e.to_string())
}

/// `on` or `off`, also as `true` and `false`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read_switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        other => Err(format!("{:?} is neither on nor off", clip(other))),
    }
}

/// `present` or `as_of`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read_schema(text: &str) -> Result<SchemaOf, String> {
    let text = text.trim().to_ascii_lowercase();
    let found = [SchemaOf::Present, SchemaOf::Instant].into_iter().find(|known| known.as_str() == text);
    found.ok_or_else(|| format!("{:?} is no schema of the past: use 'present' or 'as_of'", clip(&text)))
}

/// The header that names positions which have to be there before a statement is answered.
pub(crate) const AFTER: &str = "x-tidemark-after";

/// Positions as a receipt tells them, `[{"shard":3,"first":5,"last":9}]`, or as the id of an event of a tail does, `3:9`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read_after(text: &str) -> Result<Mark, String> {
    let text = text.trim();
    let of_receipt = |text| {
        let runs = serde_json::from_str::<Vec<Positions>>(text).ok()?;
        let mut mark = Mark::default();
        runs.iter().for_each(|run| mark.raise(run.shard, run.last));
        Some(mark)
    };
    let read = if text.starts_with('[') { of_receipt(text) } else { Mark::parse(text).filter(|_| !text.is_empty()) };
    read.ok_or_else(|| format!("{:?} names no positions: give those of a receipt as they came", clip(text)))
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_receipts_and_of_tails() {
        let receipt = r#"[{"shard":3,"first":5,"last":9},{"shard":1,"first":0,"last":0}]"#;
        assert_eq!(read_after(receipt), Ok(Mark::parse("1:0,3:9").unwrap()));
        assert_eq!(read_after(" 3:9 "), Ok(Mark::parse("3:9").unwrap()));
        for text in ["[", "[3]", "3", "{}"] {
            assert!(read_after(text).unwrap_err().contains("receipt"), "{text}");
        }
    }

    #[test]
    fn instants_are_texts_or_milliseconds_and_settings_words() {
        for (text, is_on) in [("on", Some(true)), (" OFF", Some(false)), ("true", Some(true)), ("1", None), ("", None)]
        {
            assert_eq!(read_switch(text).ok(), is_on, "{text}");
        }
        for (text, of) in [("as_of", Some(SchemaOf::Instant)), ("Present", Some(SchemaOf::Present)), ("then", None)] {
            assert_eq!(read_schema(text).ok(), of, "{text}");
        }
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            (" 1970-01-01T01:00:00.000001+01:00 ", Some(1)),
            ("1500", Some(1_500_000)),
            ("-1", Some(-1_000)),
            ("9223372036854775807", None),
            ("1970-01-01", None),
            ("", None),
        ] {
            assert_eq!(read_instant(text).ok(), micros.map(Instant::from_micros), "{text}");
        }
    }
}
