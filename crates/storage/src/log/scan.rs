//! Reads one segment from its beginning to its end and tells a torn tail from damage.
//!
//! Groups are written one at a time, each synced before the next. So bytes that are no group can be a torn tail only
//! where nothing was written behind them: a group header that verifies further on, or a group that was written when
//! they were already synced, makes them damage.

use std::collections::BTreeMap;

use tidemark_model::{Namespace, Seq, Shard};

use super::{
    error::Unread,
    group::{self, Flaw, MAGIC, Place},
    header::SEGMENT_HEADER_BYTES,
    ledger::Kept,
    record::{self, Clocks, Record},
};

/// What a log is found to hold, over all its segments.
#[derive(Debug)]
pub(crate) struct Learned {
    /// The first free sequence of every shard with an append.
    pub(crate) next: BTreeMap<(Namespace, Shard), Seq>,
    /// The greatest system time and horizon.
    pub(crate) clocks: Clocks,
    /// The greatest epoch.
    pub(crate) epoch: u64,
    /// Up to where each segment is known to have been synced, from what was written later.
    pub(crate) synced: BTreeMap<u32, u32>,
}

impl Default for Learned {
    fn default() -> Self {
        Self { next: BTreeMap::new(), clocks: Clocks::NONE, epoch: 0, synced: BTreeMap::new() }
    }
}

/// A group that verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupAt {
    /// Where it begins.
    pub(crate) place: Place,
    /// Its bytes.
    pub(crate) length: usize,
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Its groups, in order.
    pub(crate) groups: Vec<GroupAt>,
    /// Where the last one ends.
    pub(crate) end: u32,
    /// What stands behind the end.
    pub(crate) tail: Tail,
    /// What it is kept for.
    pub(crate) kept: Kept,
}

/// What stands behind the last group of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// Bytes of a group that was not synced.
    Torn(Flaw),
    /// Bytes that were written before something behind them.
    Damaged(Flaw),
}

/// An invalid payload in a group that verifies: written by another version, or by a fault of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Where the group begins.
    pub(crate) offset: u32,
    /// What is wrong.
    pub(crate) reason: Unread,
}

/// Reads a segment's bytes; its header was read before.
pub(crate) fn scan(bytes: &[u8], log: u128, number: u32, learned: &mut Learned) -> Result<Scanned, Unreadable> {
    let kept = Kept { log, number, bytes: bytes.len() as u64, ..Kept::default() };
    let mut scanned = Scanned { groups: Vec::new(), end: SEGMENT_HEADER_BYTES as u32, tail: Tail::Clean, kept };
    loop {
        let place = Place { segment: number, offset: scanned.end };
        let rest = bytes.get(scanned.end as usize..).unwrap_or_default();
        let group = match group::read(rest, log, place) {
            Ok(group) => group,
            Err(flaw) => {
                scanned.tail = tail(rest, log, place, flaw);
                return Ok(scanned);
            }
        };
        let unreadable = |reason| Unreadable { offset: place.offset, reason };
        learned.learn(&group, &mut scanned.kept).map_err(unreadable)?;
        scanned.groups.push(GroupAt { place, length: group.len() });
        let length = u32::try_from(group.len()).unwrap_or(u32::MAX);
        scanned.end = scanned.end.saturating_add(length);
    }
}

fn tail(rest: &[u8], log: u128, place: Place, flaw: Flaw) -> Tail {
    if rest.iter().all(|byte| *byte == 0) {
        return Tail::Clean;
    }
    let begins = rest.windows(MAGIC.len()).enumerate().skip(1).filter(|(_at, window)| *window == MAGIC);
    let mut headers = begins.filter_map(|(at, _window)| {
        let offset = place.offset.checked_add(u32::try_from(at).ok()?)?;
        group::read_header(&rest[at..], log, Place { offset, ..place }).ok()
    });
    if headers.next().is_some() { Tail::Damaged(flaw) } else { Tail::Torn(flaw) }
}

impl Learned {
    fn learn(&mut self, group: &group::Group<'_>, kept: &mut Kept) -> Result<(), Unread> {
        self.epoch = group.header.epoch.max(self.epoch);
        let synced = group.header.synced_up_to;
        let known = self.synced.entry(synced.segment).or_default();
        *known = synced.offset.max(*known);
        for record in record::read(group.payload)? {
            match record {
                Record::Clocks(clocks) => self.clocks = self.clocks.and(clocks),
                Record::Released(spot) => kept.released = Some(spot),
                Record::Fence(_) => kept.is_fence = true,
                Record::Append(head) => {
                    self.clocks.last = self.clocks.last.max(head.assigned.system_time);
                    kept.note(&head.namespace, head.assigned.system_time, head.rows.len());
                    for run in &head.assigned.positions {
                        let next = self.next.entry((head.namespace.clone(), run.shard)).or_insert(0);
                        *next = (run.last + 1).max(*next);
                    }
                }
            }
        }
        Ok(())
    }
}
