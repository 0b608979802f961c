//! What the doors share: how instants are read.

use tidemark_model::Instant;

/// RFC 3339 with a zone, or epoch milliseconds as digits.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn read_instant(text: &str) -> Result<Instant, String> {
    let text = text.trim();
    let read = text.parse().map_or_else(|_not_digits| Instant::parse(text), Instant::from_millis);
    read.map_err(|e| e.to_string())
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_texts_or_milliseconds() {
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
