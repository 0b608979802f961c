//! One object of a log: a segment's header and one group.

use bytes::{BufMut, Bytes, BytesMut};
use ulid::Ulid;

use crate::{
    log::{
        LogError,
        error::Unread,
        group::{self, GroupBuffer, Place, Stamp},
        header::{SEGMENT_HEADER_BYTES, SegmentHeader},
        ledger::Kept,
        scan::{Learned, Tail, scan},
    },
    paths,
};

/// What all objects of a log have in common.
#[derive(Debug, Clone)]
pub(crate) struct ObjectLog {
    /// The log.
    pub(crate) log: u128,
    /// The lake.
    pub(crate) cluster: String,
    /// Epoch of who writes.
    pub(crate) epoch: u64,
}

impl ObjectLog {
    /// The bytes of a group at its place; the object before ends at `before`.
    pub(crate) fn sealed(&self, group: &mut GroupBuffer, place: Place, before: Place) -> Bytes {
        let header = SegmentHeader { number: place.segment, log: self.log, cluster: self.cluster.clone() };
        let stamp = Stamp { log: self.log, epoch: self.epoch, synced_up_to: before };
        let mut bytes = BytesMut::with_capacity(SEGMENT_HEADER_BYTES + group.len());
        bytes.put_slice(&header.encode());
        bytes.put_slice(group.seal(stamp, place));
        bytes.freeze()
    }
}

/// Reads an object, adding what it says to what is learned.
///
/// # Errors
/// [`LogError::Corrupt`]: an object is written whole or not at all, so nothing in it may fail to verify. [`LogError::Newer`].
pub(crate) fn read(
    bytes: &[u8],
    (cluster, log, number): (&str, u128, u32),
    learned: &mut Learned,
) -> Result<Kept, LogError> {
    check_header(bytes, (cluster, log, number)).map_err(|reason| unread(log, number, reason))?;
    let scanned = scan(bytes, log, number, learned).map_err(|found| unread(log, number, found.reason))?;
    match (scanned.tail, scanned.groups.len()) {
        (Tail::Clean, 1) if scanned.end as usize == bytes.len() => Ok(scanned.kept),
        (Tail::Torn(flaw) | Tail::Damaged(flaw), _) => Err(unread(log, number, flaw.to_string())),
        (Tail::Clean, _) => Err(unread(log, number, "it holds something else than one group")),
    }
}

/// The group of an object whose header was read before.
pub(crate) fn group_of(bytes: &[u8], log: u128, number: u32) -> Result<group::Group<'_>, LogError> {
    let place = Place { segment: number, offset: SEGMENT_HEADER_BYTES as u32 };
    let group = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    group::read(group, log, place).map_err(|flaw| unread(log, number, flaw.to_string()))
}

/// An object that is not what it should be.
pub(crate) fn unread(log: u128, number: u32, reason: impl Into<Unread>) -> LogError {
    let path = paths::numbered(&paths::log(Ulid::from(log)), number.into(), "seg");
    reason.into().of(path.to_string().into(), 0)
}

fn check_header(bytes: &[u8], (cluster, log, number): (&str, u128, u32)) -> Result<(), Unread> {
    let header = SegmentHeader::decode(bytes)?;
    if header.cluster != cluster {
        return Err(format!("it belongs to cluster {}, not to {cluster}", header.cluster).into());
    }
    if header.number != number || header.log != log {
        return Err("it belongs to another log or has another number".into());
    }
    Ok(())
}
