//! The persisted format of kept refusals: `_tidemark/rejected/{time}-{ulid}.json`, JSON with its version.

use serde::{Deserialize, Serialize};
use tidemark_model::Rejected;

const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Written<'r> {
    format: u32,
    records: &'r [Rejected],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    format: u32,
    records: Vec<Rejected>,
}

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is no JSON of refused records: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its format is {0}: this release reads {FORMAT}")]
    Format(u32),
}

/// The bytes of an object.
pub(super) fn encode(records: &[Rejected]) -> Vec<u8> {
    serde_json::to_vec(&Written { format: FORMAT, records }).unwrap_or_default()
}

/// The records of an object.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Rejected>, Unreadable> {
    let Read { format, records } = serde_json::from_slice(bytes)?;
    if format == FORMAT { Ok(records) } else { Err(Unreadable::Format(format)) }
}

#[cfg(test)]
mod tests {
    use tidemark_model::{Instant, Namespace};

    use super::*;

    const PINNED: &str = concat!(
        r#"{"format":1,"records":[{"id":"01J0000000000000000000000A","at":7,"namespace":"shop","collection":"orders","#,
        r#""door":"http","index":3,"event_id":"e1","code":"invalid_ts","pointer":"/ts","message":"no","#,
        r#""record":"{\"ts\":\"x\"}","record_bytes":10},"#,
        r#"{"id":"01J0000000000000000000000B","at":8,"namespace":"shop","door":"http","index":0,"#,
        r#""code":"not_an_object","pointer":"","message":"no","record_bytes":0}]}"#
    );

    #[test]
    fn bytes_are_pinned() {
        let full = Rejected {
            id: "01J0000000000000000000000A".to_owned(),
            at: Instant::from_micros(7),
            namespace: Namespace::parse("shop").expect("a name"),
            collection: Some("orders".parse().expect("a name")),
            door: "http".to_owned(),
            index: 3,
            event_id: Some("e1".to_owned()),
            code: "invalid_ts".to_owned(),
            pointer: "/ts".to_owned(),
            message: "no".to_owned(),
            record: Some(r#"{"ts":"x"}"#.to_owned()),
            record_bytes: 10,
        };
        let bare = Rejected {
            id: "01J0000000000000000000000B".to_owned(),
            at: Instant::from_micros(8),
            collection: None,
            index: 0,
            event_id: None,
            code: "not_an_object".to_owned(),
            pointer: String::new(),
            record: None,
            record_bytes: 0,
            ..full.clone()
        };
        let records = [full, bare];
        assert_eq!(String::from_utf8(encode(&records)).expect("text"), PINNED);
        assert_eq!(decode(PINNED.as_bytes()).expect("reads"), records);
    }

    #[test]
    fn what_is_of_another_release_is_told() {
        assert!(matches!(decode(br#"{"format":2,"records":[]}"#), Err(Unreadable::Format(2))));
        assert!(matches!(decode(b"{"), Err(Unreadable::Json(_))));
    }
}
