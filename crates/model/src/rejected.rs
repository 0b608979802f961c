//! A record that was refused while others of its request were taken, as it is kept for whoever looks for it later.

use serde::{Deserialize, Serialize};

use crate::{CollectionName, Instant, Namespace};

/// One refused record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// A ULID, ascending with the time.
    pub id: String,
    /// When it was refused, by the clock of the owner.
    pub at: Instant,
    /// Where it was sent to.
    pub namespace: Namespace,
    /// The collection that the request named, not the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionName>,
    /// What it came through: `http`, `flight`, `grpc`.
    pub door: String,
    /// Its place in the request, from 0.
    pub index: u64,
    /// The id that it gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Why, as a stable word.
    pub code: String,
    /// Where in the record, a JSON pointer.
    pub pointer: String,
    /// Why, in words.
    pub message: String,
    /// The record as it was sent, or how it begins; none where there was no room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// How long the record is, bytes.
    pub record_bytes: u64,
}

impl Rejected {
    /// About what it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.id, &self.door, &self.code, &self.pointer, &self.message];
        let given = [&self.event_id, &self.record];
        size_of::<Self>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + given.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
    }
}
