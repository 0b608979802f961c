//! The claim on a log directory, taken before anything else of a lake is touched.
//!
//! Opening the catalog takes the next epoch, which fences whoever owned the lake. A second process started by mistake on
//! the same directory must therefore be turned away before that: it claims the directory first, by an OS lock that the
//! system gives back however the process ends.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A claimed directory; given back on drop.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

/// Why a directory could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process holds it.
    #[error("{directory} is in use by another process: stop it, or choose another --data directory")]
    InUse {
        /// The directory of the log.
        directory: PathBuf,
    },
    /// The directory or its lock file cannot be made.
    #[error("{directory} cannot be claimed")]
    Io {
        /// The directory of the log.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Claim {
    /// Claims a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// [`ClaimError::InUse`] when another process holds it, [`ClaimError::Io`].
    pub fn take(directory: &Path) -> Result<Self, ClaimError> {
        let failed = |source| ClaimError::Io { directory: directory.to_owned(), source };
        make(directory).map_err(failed)?;
        let file = File::create(directory.join("claim")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(ClaimError::InUse { directory: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Makes a directory and those above it, each durable in its parent: the log in it relies on that.
fn make(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(&directory)?;
    missing.iter().rev().filter_map(|made| made.parent()).try_for_each(|parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let home = tempfile::tempdir().expect("a directory");
        let log = home.path().join("log");
        let first = Claim::take(&log).expect("free");
        assert!(matches!(Claim::take(&log), Err(ClaimError::InUse { .. })));
        drop(first);
        assert!(Claim::take(&log).is_ok());
    }
}
