//! Where groups go: the seam behind which a log is either segment files or numbered objects.
//!
//! The writer thread alone uses it, in this order: [`Medium::prepare`] room while there is still some, [`Medium::advance`]
//! to it, [`Medium::commit`] groups into it. For segment files room is a preallocated file; an object takes one group,
//! and there is always room for another. Any error ends the log: no sync is tried twice.

use std::{fmt::Debug, io};

use super::{LogError, group::GroupBuffer, record::Clocks};

/// What a medium did when it moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// The segment that takes groups from now on.
    pub(crate) opened: u32,
    /// Its bytes on the medium.
    pub(crate) opened_bytes: u64,
    /// Bytes on the medium of the segment before it, now that it is full, if that changes them.
    pub(crate) closed_bytes: Option<u64>,
}

/// Whether there is room.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// For so many bytes of groups.
    Room(u64),
    /// Nothing was written; it may be tried again.
    Refused(io::Error),
}

/// Where groups are made durable.
pub(crate) trait Medium: Send + Debug {
    /// Takes room for at least `bytes` of groups and says how many there will be room for after [`Self::advance`].
    fn prepare(&mut self, bytes: u64) -> io::Result<Prepared>;

    /// Moves on to the prepared room. `first` is durable in it as its first group when this returns.
    fn advance(&mut self, first: &mut GroupBuffer) -> io::Result<Advanced>;

    /// Whether each group has a segment of its own.
    fn is_one_segment_a_group(&self) -> bool {
        false
    }

    /// Puts records of the medium's own into a group that is about to be committed.
    fn carry(&mut self, _clocks: Clocks, _group: &mut GroupBuffer) {}

    /// Writes the group and makes it durable; when this returns it is. Groups are durable in the order of the calls. Says
    /// whether the group has a segment of its own.
    fn commit(&mut self, group: &mut GroupBuffer) -> io::Result<Option<Advanced>>;
}

/// Why a medium takes nothing more and why what it was given is not there: another owner has ended the log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another owner of the lake has ended this log")]
pub(crate) struct Ended;

/// What becomes of appends whose group could not be committed.
pub(crate) fn lost(error: &io::Error) -> LogError {
    if error.get_ref().is_some_and(|inner| inner.is::<Ended>()) { LogError::Fenced } else { LogError::Unknown }
}
