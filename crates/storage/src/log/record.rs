//! The payload of a group: appends and clocks, one after the other. This file is its persisted format.
//!
//! Version 1, little-endian, behind the version byte, until the payload ends:
//! - `1 | namespace u8+text | system time i64 | runs u32 × (shard u16, first i64, count u32) | key flag u8
//!   [key u128 | body u128 | receipt u32+bytes] | changes u32+JSON (nothing = none) | rows u32+bytes (rows.rs)`
//! - `2 | last i64 | horizon i64`: the greatest system time given and the durable horizon, whenever a horizon was asked
//!   for and at the beginning of every segment, so that they outlive the segments before it.
//! - `3 | log u128 | number u32`, in objects only: everything up to this object, and every log before its log, is needed no
//!   more; clocks stand beside it.
//! - `4 | epoch u64 | put id u128`, in objects only: the log ends here, by the owner of that epoch.

use bytes::Bytes;
use tidemark_model::{Instant, Namespace, Positions, Seq, Shard, schema::SchemaChange};

use super::{Append, Assigned, KeyRecord, error::Unread, group::PAYLOAD_VERSION};

const APPEND: u8 = 1;
const CLOCKS: u8 = 2;
const RELEASED: u8 = 3;
const FENCE: u8 = 4;

/// Bytes of a clocks record.
pub(crate) const CLOCKS_BYTES: usize = 17;

/// What a restarted log starts above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// The greatest system time of a durable append.
    pub(crate) last: Instant,
    /// Questions up to here may have been answered.
    pub(crate) horizon: Instant,
}

impl Clocks {
    /// Before everything.
    pub(crate) const NONE: Self = Self { last: Instant::MIN, horizon: Instant::MIN };

    /// The later of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { last: self.last.max(other.last), horizon: self.horizon.max(other.horizon) }
    }
}

/// An append as it stands in a group, its rows not yet decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// System time and positions.
    pub(crate) assigned: Assigned,
    /// The idempotency key.
    pub(crate) key: Option<KeyRecord>,
    /// Catalog changes.
    pub(crate) changes: Vec<SchemaChange>,
    /// Encoded rows.
    pub(crate) rows: &'a [u8],
}

/// An object of the store's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The log it is of.
    pub(crate) log: u128,
    /// Its number in it.
    pub(crate) number: u32,
}

/// The end of a log, written by whoever took the lake over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    /// Their epoch.
    pub(crate) epoch: u64,
    /// No two fences are the same.
    pub(crate) put_id: u128,
}

/// One record of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// An append.
    Append(Head<'a>),
    /// The clocks.
    Clocks(Clocks),
    /// What is needed no more.
    Released(Spot),
    /// The end of the log.
    Fence(Fence),
}

/// The most bytes an append takes, its catalog changes left out (they are known only when it has its place).
pub(crate) fn append_bytes(namespace: &Namespace, runs: usize, key: Option<&KeyRecord>, rows: usize) -> usize {
    let key = key.map_or(0, |key| 36 + key.receipt.len());
    1 + 1 + namespace.as_str().len() + 8 + 4 + runs * 14 + 1 + key + 4 + 4 + rows
}

/// About the bytes that catalog changes take, without encoding them.
pub(crate) fn changes_bytes(changes: &[SchemaChange]) -> usize {
    /// JSON around the names.
    const AROUND: usize = 160;
    const AROUND_FIELD: usize = 48;
    let bytes = changes.iter().map(|change| match change {
        SchemaChange::Created { collection, directory, .. } => AROUND + collection.as_str().len() + directory.len(),
        SchemaChange::Evolved { collection, schema } => {
            let fields = schema.fields.iter().map(|field| AROUND_FIELD + field.name.len());
            AROUND + collection.as_str().len() + fields.sum::<usize>()
        }
    });
    bytes.sum()
}

/// Puts an append behind what is there.
pub(crate) fn put_append(out: &mut Vec<u8>, append: &Append, rows: &[u8]) -> Result<(), serde_json::Error> {
    out.push(APPEND);
    let namespace = append.namespace.as_str();
    out.push(u8::try_from(namespace.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(namespace.as_bytes());
    out.extend_from_slice(&append.assigned.system_time.micros().to_le_bytes());
    out.extend_from_slice(&length(append.assigned.positions.len()));
    for run in &append.assigned.positions {
        out.extend_from_slice(&run.shard.0.to_le_bytes());
        out.extend_from_slice(&run.first.to_le_bytes());
        out.extend_from_slice(&u32::try_from(run.count()).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.push(u8::from(append.key.is_some()));
    if let Some(key) = &append.key {
        out.extend_from_slice(&key.key.to_le_bytes());
        out.extend_from_slice(&key.body.to_le_bytes());
        put_bytes(out, &key.receipt);
    }
    if append.changes.is_empty() {
        put_bytes(out, &[]);
    } else {
        put_bytes(out, &serde_json::to_vec(&append.changes)?);
    }
    put_bytes(out, rows);
    Ok(())
}

/// Puts the clocks behind what is there.
pub(crate) fn put_clocks(out: &mut Vec<u8>, clocks: Clocks) {
    out.push(CLOCKS);
    out.extend_from_slice(&clocks.last.micros().to_le_bytes());
    out.extend_from_slice(&clocks.horizon.micros().to_le_bytes());
}

/// Puts what is needed no more behind what is there.
pub(crate) fn put_released(out: &mut Vec<u8>, up_to: Spot) {
    out.push(RELEASED);
    out.extend_from_slice(&up_to.log.to_le_bytes());
    out.extend_from_slice(&up_to.number.to_le_bytes());
}

/// Puts the end of a log.
pub(crate) fn put_fence(out: &mut Vec<u8>, fence: Fence) {
    out.push(FENCE);
    out.extend_from_slice(&fence.epoch.to_le_bytes());
    out.extend_from_slice(&fence.put_id.to_le_bytes());
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Reads a verified payload, or says what is wrong with it.
pub(crate) fn read(payload: &[u8]) -> Result<Vec<Record<'_>>, Unread> {
    let mut reader = Reader(payload);
    let version = reader.take(1).ok_or("the payload is empty")?[0];
    if version != PAYLOAD_VERSION {
        return Err(Unread::Newer(version.into()));
    }
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        records.push(reader.record().ok_or("a record of the payload cannot be read")?);
    }
    Ok(records)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn instant(&mut self) -> Option<Instant> {
        Some(Instant::from_micros(i64::from_le_bytes(self.array()?)))
    }

    fn record(&mut self) -> Option<Record<'a>> {
        match self.take(1)?[0] {
            APPEND => Some(Record::Append(self.head()?)),
            CLOCKS => Some(Record::Clocks(Clocks { last: self.instant()?, horizon: self.instant()? })),
            RELEASED => Some(Record::Released(Spot {
                log: u128::from_le_bytes(self.array()?),
                number: u32::from_le_bytes(self.array()?),
            })),
            FENCE => Some(Record::Fence(Fence {
                epoch: u64::from_le_bytes(self.array()?),
                put_id: u128::from_le_bytes(self.array()?),
            })),
            _ => None,
        }
    }

    fn head(&mut self) -> Option<Head<'a>> {
        let [namespace_len] = self.array()?;
        let namespace = std::str::from_utf8(self.take(usize::from(namespace_len))?).ok()?;
        let namespace = Namespace::parse(namespace).ok()?;
        let system_time = self.instant()?;
        let runs = self.length()?;
        let positions = (0..runs).map(|_run| self.run()).collect::<Option<Vec<_>>>()?;
        let key = match self.array()? {
            [0] => None,
            [1] => Some(self.key()?),
            _ => return None,
        };
        let changes = match self.bytes()? {
            [] => Vec::new(),
            json => serde_json::from_slice(json).ok()?,
        };
        Some(Head { namespace, assigned: Assigned { system_time, positions }, key, changes, rows: self.bytes()? })
    }

    fn run(&mut self) -> Option<Positions> {
        let shard = Shard(u16::from_le_bytes(self.array()?));
        let first: Seq = i64::from_le_bytes(self.array()?);
        let count = i64::from(u32::from_le_bytes(self.array()?));
        Some(Positions { shard, first, last: first.checked_add(count)?.checked_sub(1)? })
    }

    fn key(&mut self) -> Option<KeyRecord> {
        let key = u128::from_le_bytes(self.array()?);
        let body = u128::from_le_bytes(self.array()?);
        Some(KeyRecord { key, body, receipt: Bytes::copy_from_slice(self.bytes()?) })
    }
}

#[cfg(test)]
mod tests;
