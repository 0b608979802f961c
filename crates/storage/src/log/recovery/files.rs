//! Recovery of segment files: takes the lock, checks everything, cuts a torn tail, syncs what it found, and only then shows it.
//!
//! A kill leaves unsynced bytes in the page cache: they read well now and are gone after a power cut. So what was found
//! is synced before anyone sees it. Only the tail of the last segment may be cut; everything else that does not verify
//! refuses the start, naming file and offset. Appends are decoded when they are asked for, a group at a time.

use std::{collections::BTreeMap, collections::VecDeque, io, sync::Arc};

use tidemark_model::{Instant, Namespace, Seq, Shard};

use super::{
    decoded, failed,
    start::{Beginning, Begun},
};
use crate::log::{
    Append, Log, LogDeps, LogError, LogOptions,
    disk::{Disk, DiskFile, Held, LocalDisk, is_out_of_space},
    epochs::Epochs,
    error::Unread,
    group::{self, Place},
    header::{CLUSTER_BYTES_MAX, SegmentHeader},
    medium::Medium,
    metrics::LogMetrics,
    scan::{GroupAt, Learned, Scanned, Tail, scan},
    segments::{self, Segments, SegmentsOptions},
    shelf::FileShelf,
    space::Floor,
};

/// A segment that is spent is left where it is below this part of its size.
const SPENT_PART: u64 = 16;

/// Offsets of a segment are 32 bits wide; half of that leaves room for one large group behind the end.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// Segment files that were found and checked, and are not yet written to.
#[derive(Debug)]
pub(crate) struct FileRecovery {
    options: LogOptions,
    disk: Arc<dyn Disk>,
    held: Option<Held>,
    log: Option<u128>,
    segments: Vec<Scanned>,
    learned: Learned,
    groups: VecDeque<GroupAt>,
    ready: VecDeque<(u64, Append)>,
    reading: Option<(u32, Box<dyn DiskFile>)>,
    epochs: Epochs,
}

impl FileRecovery {
    /// Takes the lock, checks every group, cuts a torn tail, syncs what was found.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::Foreign`], [`LogError::Corrupt`], [`LogError::Newer`] or [`LogError::Io`].
    pub(crate) fn open(options: LogOptions) -> Result<Self, LogError> {
        let disk = LocalDisk::open(&options.directory).map_err(failed("open its directory"))?;
        let held = disk.hold()?;
        Self::open_on(options, Arc::new(disk), Some(held))
    }

    /// The same on any disk.
    pub(crate) fn open_on(options: LogOptions, disk: Arc<dyn Disk>, held: Option<Held>) -> Result<Self, LogError> {
        if options.cluster.len() > CLUSTER_BYTES_MAX {
            return Err(failed("use a cluster id that long")(io::ErrorKind::InvalidInput.into()));
        }
        let mut recovery = Self {
            options,
            disk,
            held,
            log: None,
            segments: Vec::new(),
            learned: Learned::default(),
            groups: VecDeque::new(),
            ready: VecDeque::new(),
            reading: None,
            epochs: Epochs::default(),
        };
        recovery.scan_all()?;
        recovery.check_ends()?;
        recovery.settle().map_err(failed("sync what it found"))?;
        recovery.note_epoch().map_err(|error| {
            if is_out_of_space(&error) { LogError::OutOfSpace } else { failed("note its epoch")(error) }
        })?;
        if recovery.learned.epoch > recovery.options.epoch {
            let (found, epoch) = (recovery.learned.epoch, recovery.options.epoch);
            tracing::warn!(found, epoch, "the log was last written by a later owner than this one");
        }
        recovery.groups =
            recovery.segments.iter_mut().flat_map(|segment| std::mem::take(&mut segment.groups)).collect();
        Ok(recovery)
    }

    fn scan_all(&mut self) -> Result<(), LogError> {
        let names = self.disk.list().map_err(failed("list its segments"))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| segments::number(name)).collect();
        numbers.sort_unstable();
        let mut bytes = Vec::new();
        let mut expected = numbers.first().copied();
        for number in numbers {
            if let Some(missing) = expected.filter(|expected| *expected != number) {
                return Err(self.unread(missing, 0, "the segment is missing"));
            }
            expected = number.checked_add(1);
            self.read(number, &mut bytes).map_err(failed("read its segments"))?;
            let log = self.check_header(number, &bytes)?;
            let scanned = scan(&bytes, log, number, &mut self.learned);
            let scanned = scanned.map_err(|found| self.unread(number, found.offset, found.reason))?;
            self.segments.push(scanned);
        }
        Ok(())
    }

    fn read(&self, number: u32, into: &mut Vec<u8>) -> io::Result<()> {
        let file = self.disk.open(&segments::name(number))?;
        into.resize(usize::try_from(file.len()?).map_err(io::Error::other)?, 0);
        file.read_at(into, 0)
    }

    fn check_header(&mut self, number: u32, bytes: &[u8]) -> Result<u128, LogError> {
        let header = SegmentHeader::decode(bytes).map_err(|reason| self.unread(number, 0, reason))?;
        if header.cluster != self.options.cluster {
            let (directory, wanted) = (self.options.directory.clone(), self.options.cluster.clone());
            return Err(LogError::Foreign { directory, found: header.cluster, wanted });
        }
        if header.number != number || *self.log.get_or_insert(header.log) != header.log {
            return Err(self.unread(number, 0, "the segment belongs to another log or has another number"));
        }
        Ok(header.log)
    }

    /// Every segment must reach to where something written later says it was synced; only the last may have a torn tail.
    fn check_ends(&self) -> Result<(), LogError> {
        for (at, segment) in self.segments.iter().enumerate() {
            let number = segment.kept.number;
            let synced = self.learned.synced.get(&number).copied().unwrap_or(0);
            let is_last = at + 1 == self.segments.len();
            match segment.tail {
                Tail::Damaged(flaw) => return Err(self.unread(number, segment.end, flaw.to_string())),
                Tail::Torn(flaw) if !is_last || segment.groups.is_empty() => {
                    return Err(self.unread(number, segment.end, flaw.to_string()));
                }
                _ if segment.end < synced || segment.groups.is_empty() => {
                    return Err(self.unread(number, segment.end, "what was synced here is gone"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn unread(&self, number: u32, offset: u32, reason: impl Into<Unread>) -> LogError {
        let file = self.options.directory.join(segments::name(number));
        reason.into().of(file, offset.into())
    }

    /// Notes that the log belongs to this owner's epoch, before anything is committed out of it.
    fn note_epoch(&mut self) -> io::Result<()> {
        let known = if self.segments.is_empty() { None } else { Epochs::read(self.disk.as_ref())? };
        let is_older = known.is_none() && !self.segments.is_empty();
        self.epochs = known.unwrap_or_default();
        if is_older {
            self.epochs = Epochs::up_to(self.learned.epoch);
        }
        self.epochs.add(self.options.epoch);
        self.epochs.write(self.disk.as_ref())
    }

    /// In which epochs this log was the owner's, this one included.
    pub(crate) const fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Cuts the torn tail, removes what a preparation left, and makes all that was found durable.
    ///
    /// A process that ended after a failed sync leaves pages that read well, count as clean and are on no disk: a sync
    /// alone would find nothing to do. So what nothing written later proves to be synced is written anew.
    fn settle(&mut self) -> io::Result<()> {
        for name in self.disk.list()?.iter().filter(|name| segments::is_prepared(name)) {
            self.disk.remove(name)?;
        }
        let last = self.segments.len().saturating_sub(1);
        for (at, segment) in self.segments.iter_mut().enumerate() {
            let name = segments::name(segment.kept.number);
            let file = self.disk.open(&name)?;
            if at == last {
                if let Tail::Torn(flaw) = segment.tail {
                    tracing::warn!(segment = name, offset = segment.end, %flaw, "cut the torn tail of the log");
                }
                file.truncate(u64::from(segment.end))?;
                let synced = self.learned.synced.get(&segment.kept.number).copied().unwrap_or(0);
                rewrite(file.as_ref(), synced..segment.end)?;
                segment.kept.bytes = u64::from(segment.end);
            }
            file.sync()?;
        }
        self.disk.sync_names()
    }

    /// The next append, in order of system time, and the epoch of the owner that acknowledged it.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Newer`], [`LogError::Io`].
    pub(crate) fn next_of_epoch(&mut self) -> Result<Option<(u64, Append)>, LogError> {
        loop {
            if let Some(append) = self.ready.pop_front() {
                return Ok(Some(append));
            }
            let Some(group) = self.groups.pop_front() else { return Ok(None) };
            self.ready = self.decode(group)?;
        }
    }

    fn decode(&mut self, at: GroupAt) -> Result<VecDeque<(u64, Append)>, LogError> {
        let Place { segment, offset } = at.place;
        let mut bytes = vec![0; at.length];
        self.read_group(at, &mut bytes).map_err(failed("read its segments"))?;
        let log = self.log.unwrap_or_default();
        let group = group::read(&bytes, log, at.place);
        let group = group.map_err(|flaw| self.unread(segment, offset, flaw.to_string()))?;
        decoded(&group).map_err(|reason| self.unread(segment, offset, reason))
    }

    fn read_group(&mut self, at: GroupAt, into: &mut [u8]) -> io::Result<()> {
        let number = at.place.segment;
        let file = match self.reading.take() {
            Some((open, file)) if open == number => file,
            _ => self.disk.open(&segments::name(number))?,
        };
        file.read_at(into, u64::from(at.place.offset))?;
        self.reading = Some((number, file));
        Ok(())
    }

    /// Begins writing behind what was found, with something around the medium.
    pub(crate) fn start_with(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
        wrap: impl FnOnce(Segments) -> Box<dyn Medium>,
    ) -> Result<Log, LogError> {
        let metrics = LogMetrics::of(&deps)?;
        let log = self.log.unwrap_or_else(|| deps.ids.ulid(deps.clock.now()).into());
        let medium = wrap(self.medium(log, &metrics));
        let LogOptions { queue_bytes_max, group_bytes_max, free_space_min_percent, segment_bytes, .. } = self.options;
        let beginning = Beginning {
            log,
            medium,
            shelf: Arc::new(FileShelf(Arc::clone(&self.disk))),
            found: self.segments.into_iter().map(|segment| segment.kept).collect(),
            learned: self.learned,
            spent_bytes_min: segment_bytes / SPENT_PART,
            queue_bytes_max,
            group_bytes_max,
            window: std::time::Duration::ZERO,
            floor: Floor::new(self.disk, free_space_min_percent),
            held: self.held,
        };
        beginning.begin(Begun { next, above, deps, metrics })
    }

    fn medium(&self, log: u128, metrics: &LogMetrics) -> Segments {
        let last = self.segments.last();
        let end = last.map_or_else(Place::default, |last| Place { segment: last.kept.number, offset: last.end });
        let LogOptions { cluster, epoch, segment_bytes, .. } = self.options.clone();
        let segment_bytes = segment_bytes.min(SEGMENT_BYTES_MAX);
        let options = SegmentsOptions { log, cluster, epoch, segment_bytes };
        Segments::behind(end, Arc::clone(&self.disk), options, metrics.clone())
    }
}

/// Writes bytes of a file where they stand, so that the next sync carries them.
fn rewrite(file: &dyn DiskFile, range: std::ops::Range<u32>) -> io::Result<()> {
    let mut bytes = vec![0; range.len()];
    file.read_at(&mut bytes, range.start.into())?;
    file.write_at(&bytes, range.start.into())
}
