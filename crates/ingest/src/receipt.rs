//! The receipt: what an ack says (interfaces.md, HTTP: ingest).
//!
//! A receipt is kept under its idempotency key. In the log it travels without time and positions, which the group
//! tells (its outcome); sidecars keep it whole. Both are JSON; field names are a persisted format.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::{Instant, Shard};
use tidemark_proto::problem::RecordError;
use tidemark_storage::log::Assigned;

use crate::request::{Durability, Sequenced};

/// What was done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Records that are stored now because of this request.
    pub accepted: u64,
    /// Records that were stored already, by event id.
    pub duplicates: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// What the ack promises.
    pub durability: Durability,
    /// The system time of the append. Where nothing had to be appended (only duplicates, no key), the last closed
    /// instant: everything the request spoke of is visible at it.
    #[serde(with = "shown")]
    pub system_time: Instant,
    /// Where the accepted records stand.
    pub positions: Vec<Run>,
    /// One entry per refused record, for the first hundred of them.
    pub errors: Vec<RecordError>,
    /// Whether this is the receipt of an earlier request with the same key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// In what is remembered of a producer: the request it is the receipt of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<Sequenced>,
}

impl Receipt {
    /// Adds what a later part of the same request came to.
    pub(crate) fn add(&mut self, part: Self) {
        self.accepted += part.accepted;
        self.duplicates += part.duplicates;
        self.rejected += part.rejected;
        self.system_time = self.system_time.max(part.system_time);
        self.positions.extend(part.positions);
        self.errors.extend(part.errors);
        self.errors.truncate(crate::refusal::LISTED_MAX);
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let text = |error: &RecordError| {
            let id = error.id.as_ref().map_or(0, String::len);
            size_of::<RecordError>() + id + error.code.len() + error.pointer.len() + error.message.len()
        };
        let errors: usize = self.errors.iter().map(text).sum();
        size_of::<Self>() + size_of_val(self.positions.as_slice()) + errors
    }
}

/// A run of positions, as receipts show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The shard.
    pub shard: Shard,
    /// The first sequence.
    pub first: i64,
    /// The last sequence.
    pub last: i64,
}

/// What is known of a receipt before the log has given time and positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) durability: Durability,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<RecordError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) producer: Option<Sequenced>,
    /// Positions of earlier appends of the same request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) before: Vec<Run>,
}

impl Outcome {
    /// As a producer is remembered by: whoever has many producers need not keep what was wrong with records.
    pub(crate) fn of_producer(self, producer: Option<Sequenced>) -> Self {
        if producer.is_none() { self } else { Self { errors: Vec::new(), producer, ..self } }
    }

    /// The bytes that travel in the log.
    pub(crate) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads them back.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// With what an earlier part of the same request came to.
    pub(crate) fn after(&self, before: &Receipt) -> Self {
        let mut errors = before.errors.clone();
        errors.extend(self.errors.iter().cloned());
        errors.truncate(crate::refusal::LISTED_MAX);
        Self {
            accepted: self.accepted + before.accepted,
            duplicates: self.duplicates + before.duplicates,
            rejected: self.rejected + before.rejected,
            durability: self.durability,
            errors,
            producer: None,
            before: before.positions.clone(),
        }
    }

    /// The receipt of an append.
    pub(crate) fn assigned(mut self, assigned: &Assigned) -> Receipt {
        let mut positions = std::mem::take(&mut self.before);
        positions.extend(assigned.positions.iter().map(|run| Run {
            shard: run.shard,
            first: run.first,
            last: run.last,
        }));
        self.at(assigned.system_time, positions)
    }

    /// The receipt at an instant.
    pub(crate) fn at(self, system_time: Instant, positions: Vec<Run>) -> Receipt {
        let Self { accepted, duplicates, rejected, durability, errors, producer, before: _ } = self;
        let duplicate = false;
        Receipt { accepted, duplicates, rejected, durability, system_time, positions, errors, duplicate, producer }
    }
}

/// Six digits and `Z`, always.
mod shown {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tidemark_model::Instant;

    pub(super) fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Instant::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::Positions;

    use super::*;

    fn receipt() -> Receipt {
        let error = RecordError {
            index: 57,
            id: Some("ev_9".to_owned()),
            code: "invalid_ts".to_owned(),
            pointer: "/ts".to_owned(),
            message: "no".to_owned(),
        };
        let (durability, errors) = (Durability::Local, vec![error]);
        let outcome = Outcome {
            accepted: 98,
            duplicates: 1,
            rejected: 1,
            durability,
            errors,
            producer: None,
            before: Vec::new(),
        };
        assert_eq!(Outcome::decode(&outcome.encode()).expect("reads"), outcome);
        outcome.assigned(&Assigned {
            system_time: Instant::parse("2026-11-23T10:00:00.000123Z").expect("an instant"),
            positions: vec![Positions { shard: Shard(3), first: 120_001, last: 120_098 }],
        })
    }

    #[test]
    fn receipts_are_written_as_the_interface_says() {
        let golden = concat!(
            r#"{"accepted":98,"duplicates":1,"rejected":1,"durability":"local","#,
            r#""system_time":"2026-11-23T10:00:00.000123Z","#,
            r#""positions":[{"shard":3,"first":120001,"last":120098}],"#,
            r#""errors":[{"index":57,"id":"ev_9","code":"invalid_ts","pointer":"/ts","message":"no"}]}"#
        );
        assert_eq!(serde_json::to_string(&receipt()).expect("writes"), golden);
        assert_eq!(serde_json::from_str::<Receipt>(golden).expect("reads"), receipt());
        let of = |sequence| Sequenced { id: "p".to_owned(), epoch: 2, sequence };
        let kept = Receipt { producer: Some(of(7)), ..receipt() };
        let text = serde_json::to_string(&kept).expect("writes");
        assert!(text.ends_with(r#"],"producer":{"id":"p","epoch":2,"sequence":7}}"#), "{text}");
        assert_eq!(serde_json::from_str::<Receipt>(&text).expect("reads"), kept);
        let again = Receipt { duplicate: true, ..receipt() };
        assert!(serde_json::to_string(&again).expect("writes").ends_with(r#""duplicate":true}"#));
    }
}
