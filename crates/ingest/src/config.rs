//! Settings of the room; every limit has its name here.

use std::collections::BTreeMap;

/// Key fields by namespace and collection.
pub type DocumentKeys = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Settings of the room.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most bytes of a body on the wire. Default 16 MiB.
    pub body_bytes_max: usize,
    /// Most bytes of a body once inflated. Default 64 MiB.
    pub inflated_bytes_max: usize,
    /// Most bytes of all bodies that are being read and parsed. Default 256 MiB.
    pub bodies_bytes_max: usize,
    /// Seconds a body may take to arrive. Default 60.
    pub body_timeout_s: u64,
    /// Most events of one request. Default 10,000.
    pub events_max: usize,
    /// Most bytes of one event: the names and values of its fields. Default 1 MiB.
    pub event_bytes_max: usize,
    /// How deep an event may nest. Default 64.
    pub depth_max: usize,
    /// How far ahead of the clock a source time may lie, seconds. Default 3600.
    pub ts_ahead_s_max: u32,
    /// Most bytes of memory that what is acknowledged and in no file takes, what batches take besides their values included; more are
    /// refused with 429. Default 256 MiB.
    pub unflushed_bytes_max: usize,
    /// Decoded bytes of a namespace that make a flush due. Default 32 MiB.
    pub flush_bytes: usize,
    /// Rows of a namespace that make a flush due. Default 250,000.
    pub flush_rows: usize,
    /// Age of a namespace's oldest append that makes a flush due, seconds. Default 600.
    pub flush_age_s: u32,
    /// Bytes of the log from which on the namespaces that keep its oldest segment are flushed. Default 512 MiB.
    pub log_bytes: u64,
    /// Small events files of one hour from which on they are compacted, and of one day; below 2 none are. Default 2.
    pub compact_files: usize,
    /// Bytes of a compacted events file, at most; one with at most half as many is small. Default 128 MiB.
    pub compact_bytes: u64,
    /// How long after its end the files of an hour or a day are compacted, seconds. Default 900: keep it above
    /// `flush_age_s`.
    pub compact_after_s: u32,
    /// How long a file of the events table that nothing names any more stays for queries that may still read it, seconds.
    /// At least twice the longest query. Default 7200.
    pub grace_s: u64,
    /// How long a file stays after the published table has dropped it, for other engines that may still read it, seconds.
    /// Default 604,800: 7 days.
    pub external_retention_s: u64,
    /// Commits of an events table whose manifests are kept; of up to twice as many they are. Default 4096.
    pub manifests_max: u64,
    /// Most namespaces of the lake; records for further ones are refused. Default 10,000.
    pub namespaces_max: usize,
    /// Most collections of one namespace; records for further ones are refused. Default 10,000.
    pub collections_max: usize,
    /// Most event ids that are remembered for deduplication, in all; more are refused with 429. Default 20,000,000
    /// (24 bytes each in maps that are between half and nearly full).
    pub dedup_ids_max: usize,
    /// Most idempotency keys of one namespace that are remembered; more are refused with 429. Default 1,000,000.
    pub dedup_keys_max: usize,
    /// Most bytes of the receipts under these keys, in all; more are refused with 429. Default 512 MiB.
    pub dedup_receipts_bytes_max: usize,
    /// Most refused records of partly good requests that are kept for `system.rejected`; the oldest go first, 0 keeps
    /// none. Default 10,000.
    pub rejected_max: usize,
    /// Most bytes of them in all, on the store and in memory. Default 16 MiB.
    pub rejected_bytes_max: usize,
    /// Most bytes of one record that are kept; of a longer one its beginning is. Default 4096; 0 keeps only why.
    pub rejected_record_bytes_max: usize,
    /// How long they are kept, seconds, and up to an hour more. Default 2,592,000: 30 days.
    pub rejected_s: u64,
    /// Most producers that are remembered, in all; further ones are refused. Default 100,000.
    pub producers_max: usize,
    /// The fields that are a document's key, by namespace and collection, for Debezium messages that come without their
    /// key. Default none: `id`, else `_id`.
    pub document_keys: DocumentKeys,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            inflated_bytes_max: 64 << 20,
            bodies_bytes_max: 256 << 20,
            body_timeout_s: 60,
            events_max: 10_000,
            event_bytes_max: 1 << 20,
            depth_max: 64,
            ts_ahead_s_max: 3600,
            unflushed_bytes_max: 256 << 20,
            flush_bytes: 32 << 20,
            flush_rows: 250_000,
            flush_age_s: 600,
            log_bytes: 512 << 20,
            compact_files: 2,
            compact_bytes: 128 << 20,
            compact_after_s: 900,
            grace_s: 7200,
            external_retention_s: 7 * 86_400,
            manifests_max: 4096,
            namespaces_max: 10_000,
            collections_max: 10_000,
            dedup_ids_max: 20_000_000,
            dedup_keys_max: 1_000_000,
            dedup_receipts_bytes_max: 512 << 20,
            rejected_max: 10_000,
            rejected_bytes_max: 16 << 20,
            rejected_record_bytes_max: 4096,
            rejected_s: 30 * 86_400,
            producers_max: 100_000,
            document_keys: DocumentKeys::new(),
        }
    }
}
