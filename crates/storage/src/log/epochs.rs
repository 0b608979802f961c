//! `epochs`: in which epochs of the lake this log was its owner's log. This file is its persisted format.
//!
//! `{"format":1,"epochs":[[1,3],[5,5]]}`: ranges, ascending, both ends included. It is written before anything of the
//! log is read back, so whatever an owner commits out of this log it commits in an epoch that stands here. A manifest of
//! another epoch was committed by someone who had another log, and says nothing about what this one holds.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, LocalDisk};

const FORMAT: u32 = 1;
const NAME: &str = "epochs";
const PREPARED_NAME: &str = "epochs.new";
/// The most ranges that are kept apart; beyond it the oldest two become one.
const RANGES_MAX: usize = 4096;

/// Epochs in which a log was the owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epochs {
    format: u32,
    epochs: Vec<(u64, u64)>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { format: FORMAT, epochs: Vec::new() }
    }
}

impl Epochs {
    /// All epochs up to this one: what is assumed of a log that was written before they were noted.
    pub(super) fn up_to(last: u64) -> Self {
        Self { epochs: vec![(0, last)], ..Self::default() }
    }

    /// All epochs from one to another, both included.
    pub(super) fn between(first: u64, last: u64) -> Self {
        Self { epochs: vec![(first, last)], ..Self::default() }
    }

    /// What a directory of this machine holds; none if there is no log yet. Whoever asks should hold the directory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_directory(directory: &Path) -> io::Result<Option<Self>> {
        if !directory.is_dir() {
            return Ok(None);
        }
        Self::read(&LocalDisk::open(directory)?)
    }

    /// Whether this log was the owner's in an epoch.
    #[must_use]
    pub fn contains(&self, epoch: u64) -> bool {
        self.epochs.iter().any(|(first, last)| (*first..=*last).contains(&epoch))
    }

    /// They as ranges, ascending, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.epochs.iter().copied()
    }

    /// Adds an epoch, which is greater than those before it unless it is known.
    pub(super) fn add(&mut self, epoch: u64) {
        match self.epochs.last_mut() {
            Some((first, last)) if (*first..=*last).contains(&epoch) => {}
            Some((_first, last)) if last.checked_add(1) == Some(epoch) => *last = epoch,
            _ => self.epochs.push((epoch, epoch)),
        }
        if self.epochs.len() > RANGES_MAX {
            let (first, _gap) = self.epochs.remove(0);
            self.epochs[0].0 = first;
        }
    }

    /// What the disk holds; none if nothing was noted yet.
    pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        if !disk.list()?.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = disk.open(NAME)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_at(&mut bytes, 0)?;
        decode(&bytes).map(Some)
    }

    /// Replaces what the disk holds, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let bytes = self.encode()?;
        let file = disk.create(PREPARED_NAME, bytes.len() as u64)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(PREPARED_NAME, NAME)?;
        disk.sync_names()
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }
}

fn decode(bytes: &[u8]) -> io::Result<Epochs> {
    let unreadable = |reason: String| io::Error::new(io::ErrorKind::InvalidData, format!("{NAME}: {reason}"));
    match serde_json::from_slice::<Epochs>(bytes) {
        Ok(epochs) if epochs.format == FORMAT => Ok(epochs),
        Ok(epochs) => Err(unreadable(format!(
            "it has format {}, which this release does not read: use a newer release",
            epochs.format
        ))),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let mut epochs = Epochs::default();
        [1, 2, 3, 3, 5].into_iter().for_each(|epoch| epochs.add(epoch));
        let bytes = br#"{"format":1,"epochs":[[1,3],[5,5]]}"#;
        assert_eq!((epochs.encode().expect("encodes"), decode(bytes).expect("decodes")), (bytes.to_vec(), epochs));
        for bad in [r#"{"format":2,"epochs":[]}"#, r#"{"format":1,"epochs":[],"x":1}"#, "", "\0\0"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_stay_few() {
        let mut epochs = Epochs::default();
        (0..2 * RANGES_MAX as u64).for_each(|n| epochs.add(2 * n));
        assert_eq!(epochs.epochs.len(), RANGES_MAX);
        assert!(epochs.contains(0) && epochs.contains(4 * RANGES_MAX as u64 - 2));
        assert!(!epochs.contains(4 * RANGES_MAX as u64 - 3));
    }
}
