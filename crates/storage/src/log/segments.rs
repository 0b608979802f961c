//! Segment files: `{number:020}.seg`, preallocated, one sync per group.
//!
//! A segment is prepared as `….seg.new`: its space is taken, its header written and synced. Advancing writes the first
//! group into it, syncs, and only then gives it its name and syncs the directory, so a named segment always has a header
//! and a first group, which says exactly where the segment before it ends. Old segments are never written to again.

use std::{io, sync::Arc};

use super::{
    disk::{Disk, DiskFile},
    group::{GroupBuffer, HEADER_BYTES, Place, Stamp},
    header::{SEGMENT_HEADER_BYTES, SegmentHeader},
    medium::{Advanced, Medium, Prepared},
    metrics::LogMetrics,
    record::CLOCKS_BYTES,
};

/// Of every segment: its header, its first group and the empty group of a clean end.
const OVERHEAD_BYTES: u64 = (SEGMENT_HEADER_BYTES + 2 * (HEADER_BYTES + 1) + CLOCKS_BYTES) as u64;

/// Of every segment, besides: this part is promised to nobody. Catalog changes are known only once an append has its
/// place; they take from here when the rest is given away.
const SLACK_PART: u64 = 64;

/// The name of a segment.
pub(crate) fn name(number: u32) -> String {
    format!("{number:020}.seg")
}

/// The name of a segment that is not one yet.
pub(crate) fn prepared_name(number: u32) -> String {
    format!("{number:020}.seg.new")
}

/// The number in a segment's name.
pub(crate) fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".seg").filter(|digits| digits.len() == 20).and_then(|digits| digits.parse().ok())
}

/// Whether the file was left behind by a preparation.
pub(crate) fn is_prepared(name: &str) -> bool {
    name.ends_with(".seg.new")
}

/// What all segments of a log have in common.
#[derive(Debug, Clone)]
pub(crate) struct SegmentsOptions {
    /// The log.
    pub(crate) log: u128,
    /// The lake.
    pub(crate) cluster: String,
    /// Epoch of the owner.
    pub(crate) epoch: u64,
    /// Bytes of a segment, unless one group needs more.
    pub(crate) segment_bytes: u64,
}

/// The local medium.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    options: SegmentsOptions,
    metrics: LogMetrics,
    active: Option<Active>,
    prepared: Option<Spare>,
    /// Behind the last group.
    end: Place,
}

#[derive(Debug)]
struct Active {
    file: Box<dyn DiskFile>,
}

#[derive(Debug)]
struct Spare {
    file: Box<dyn DiskFile>,
    bytes: u64,
}

impl Segments {
    /// A medium that goes on behind `end` in a new segment.
    pub(crate) fn behind(end: Place, disk: Arc<dyn Disk>, options: SegmentsOptions, metrics: LogMetrics) -> Self {
        Self { disk, options, metrics, active: None, prepared: None, end }
    }

    fn next_number(&self) -> u32 {
        self.end.segment.saturating_add(1)
    }

    fn begin_file(&self, file: Box<dyn DiskFile>, bytes: u64) -> io::Result<Spare> {
        let (number, log) = (self.next_number(), self.options.log);
        let header = SegmentHeader { number, log, cluster: self.options.cluster.clone() };
        file.write_at(&header.encode(), 0)?;
        file.sync()?;
        Ok(Spare { file, bytes })
    }

    fn write(&self, file: &dyn DiskFile, group: &mut GroupBuffer, place: Place) -> io::Result<u32> {
        let stamp = Stamp { log: self.options.log, epoch: self.options.epoch, synced_up_to: self.end };
        let bytes = group.seal(stamp, place);
        let behind = u32::try_from(bytes.len()).ok().and_then(|length| place.offset.checked_add(length));
        let behind = behind.ok_or_else(|| io::Error::other("the segment is longer than 4 GiB"))?;
        if let Err(error) = file.write_at(bytes, u64::from(place.offset)) {
            // What was written of it must not stand in front of anything: cut it off, durably, before the log ends.
            file.truncate(u64::from(place.offset)).and_then(|()| file.sync())?;
            return Err(error);
        }
        let _timer = self.metrics.syncing();
        file.sync()?;
        Ok(behind)
    }
}

impl Medium for Segments {
    fn prepare(&mut self, bytes: u64) -> io::Result<Prepared> {
        let kept_back = OVERHEAD_BYTES + self.options.segment_bytes / SLACK_PART;
        let bytes = (bytes + kept_back).max(self.options.segment_bytes);
        let spare = match self.prepared.take().filter(|spare| spare.bytes >= bytes) {
            Some(spare) => spare,
            None => match self.disk.create(&prepared_name(self.next_number()), bytes) {
                Ok(file) => self.begin_file(file, bytes)?,
                Err(refused) => return Ok(Prepared::Refused(refused)),
            },
        };
        let room = spare.bytes.saturating_sub(kept_back);
        self.prepared = Some(spare);
        Ok(Prepared::Room(room))
    }

    fn advance(&mut self, first: &mut GroupBuffer) -> io::Result<Advanced> {
        let prepared = self.prepared.take().ok_or_else(|| io::Error::other("no segment was prepared"))?;
        let number = self.next_number();
        let place = Place { segment: number, offset: SEGMENT_HEADER_BYTES as u32 };
        let offset = self.write(prepared.file.as_ref(), first, place)?;
        self.disk.rename(&prepared_name(number), &name(number))?;
        self.disk.sync_names()?;
        if let Some(active) = &self.active {
            // Gives the unused rest back. Not synced: zeros behind the end mean the same.
            active.file.truncate(u64::from(self.end.offset))?;
        }
        let closed_bytes = Some(u64::from(self.end.offset));
        self.end = Place { offset, ..place };
        self.active = Some(Active { file: prepared.file });
        Ok(Advanced { opened: number, opened_bytes: prepared.bytes, closed_bytes })
    }

    fn commit(&mut self, group: &mut GroupBuffer) -> io::Result<Option<Advanced>> {
        let active = self.active.as_ref().ok_or_else(|| io::Error::other("no segment is open"))?;
        let offset = self.write(active.file.as_ref(), group, self.end)?;
        self.end.offset = offset;
        Ok(None)
    }
}
