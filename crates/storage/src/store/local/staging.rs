//! Where temporary files live: `.tmp/{slot}/`, one slot per process, held by a lock for the life of the process.
//!
//! A slot whose lock is free belongs to nobody, so what lies in it was left over and is removed.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path as FilePath, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use object_store::path::Path;

/// The directory of temporary files, under the root.
const DIRECTORY: &str = ".tmp";
/// The most processes that write to one directory at a time.
const SLOTS_MAX: u32 = 64;

/// Whether an object or prefix belongs to the temporary files.
pub(super) fn is_staging(path: &Path) -> bool {
    path.parts().next().is_some_and(|first| first.as_ref() == DIRECTORY)
}

/// Whether a directory under the root is that of the temporary files.
pub(super) fn is_directory(path: &FilePath) -> bool {
    path.file_name().is_some_and(|name| name == DIRECTORY)
}

/// The slot of this process.
#[derive(Debug)]
pub(super) struct Staging {
    directory: PathBuf,
    next: AtomicU64,
    _lock: File,
}

impl Staging {
    /// Takes the first free slot and empties every free one; what belongs to another user is left alone.
    pub(super) fn claim(root: &FilePath) -> io::Result<Self> {
        let above = root.join(DIRECTORY);
        std::fs::create_dir_all(&above).map_err(at(&above))?;
        let mut ours = None;
        for slot in 0..SLOTS_MAX {
            if ours.is_some() && !lock_path(&above, slot).exists() {
                break;
            }
            let Some(lock) = locked(&lock_path(&above, slot))? else { continue };
            let directory = above.join(slot.to_string());
            match empty(&directory) {
                // Left over by another user, whose it stays.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                emptied => emptied.map_err(at(&directory))?,
            }
            if ours.is_none() {
                std::fs::create_dir(&directory).map_err(at(&directory))?;
                ours = Some(Self { directory, next: AtomicU64::new(0), _lock: lock });
            }
        }
        ours.ok_or_else(|| io::Error::other(format!("more than {SLOTS_MAX} processes write to {}", root.display())))
    }

    /// A new temporary file; it goes away when the value is dropped.
    pub(super) fn file(&self) -> io::Result<Staged> {
        let path = self.directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Staged { file, path })
    }
}

fn lock_path(above: &FilePath, slot: u32) -> PathBuf {
    above.join(format!("{slot}.lock"))
}

/// The lock of a slot, unless another process holds it or another user made it.
fn locked(path: &FilePath) -> io::Result<Option<File>> {
    let lock = match File::options().write(true).create(true).truncate(false).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => return Ok(None),
        opened => opened.map_err(at(path))?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(at(path)(error)),
    }
}

/// Says where it happened.
fn at(path: &FilePath) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn empty(directory: &FilePath) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A temporary file.
#[derive(Debug)]
pub(super) struct Staged {
    /// Open for writing.
    pub(super) file: File,
    /// Where it lies.
    pub(super) path: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a rename; otherwise the next start removes what stays.
        drop(std::fs::remove_file(&self.path));
    }
}
