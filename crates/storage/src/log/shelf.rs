//! Where segments go that nobody needs any more.

use std::{fmt::Debug, io, sync::Arc};

use super::{disk::Disk, record::Spot, segments};

/// Takes released segments, the oldest first, never the one that is written to.
pub(crate) trait Shelf: Send + Sync + Debug {
    /// This segment, and every one before it, is needed no more.
    fn discard(&self, segment: Spot) -> io::Result<()>;
}

/// Segment files: gone at once, durably, so that no power cut can undo an earlier deletion and keep a later one.
#[derive(Debug)]
pub(crate) struct FileShelf(pub(crate) Arc<dyn Disk>);

impl Shelf for FileShelf {
    fn discard(&self, segment: Spot) -> io::Result<()> {
        match self.0.remove(&segments::name(segment.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _gone => self.0.sync_names(),
        }
    }
}
