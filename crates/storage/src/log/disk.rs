//! What segment files stand on: a directory of one lake's log, and files whose bytes count only when synced.
//!
//! Two stand behind it: [`LocalDisk`], and in tests a simulated disk whose power can be cut between any two steps,
//! which then keeps what was synced and any part of what was not. Nothing here retries a sync.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::LogError;

/// How much a medium holds, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// What may still be written.
    pub(crate) free: u64,
    /// All of it.
    pub(crate) total: u64,
}

/// One directory of files.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Names of its files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A file of exactly so many zero bytes whose space is taken already; replaces what had the name.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name; durable after [`Self::sync_names`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file; durable after [`Self::sync_names`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and deletions durable.
    fn sync_names(&self) -> io::Result<()>;
    /// How much space there is.
    fn space(&self) -> io::Result<Space>;
}

/// One file.
pub(crate) trait DiskFile: Send + Debug {
    /// Bytes from the beginning to the end.
    fn len(&self) -> io::Result<u64>;
    /// Fills the buffer from there.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of it there; on an error any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug)]
pub(crate) struct LocalDisk {
    directory: PathBuf,
    /// Open from the beginning: for want of a descriptor a sync would be taken for failed.
    names: File,
}

/// The lock on a log's directory; given back on drop.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl LocalDisk {
    /// Opens the directory, making it (durably, with its parents) when it is not there.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(directory)?;
        for made in missing.iter().rev() {
            if let Some(parent) = made.parent() {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { directory: directory.to_owned(), names: File::open(directory)? })
    }

    /// Takes the lock of the directory; the operating system gives it back when the process ends, however it ends.
    pub(crate) fn hold(&self) -> Result<Held, LogError> {
        let failed = |source| LogError::Io { what: format!("lock {}", self.directory.display()), source };
        let path = self.directory.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Held(file)),
            Err(TryLockError::WouldBlock) => Err(LogError::InUse { directory: self.directory.clone() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Disk for LocalDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.directory)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.directory.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        if let Err(error) = allocate(&file, bytes) {
            // The space it took in part belongs to others; a name that stays is removed at the next start.
            drop(file);
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Box::new(LocalFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.directory.join(name))?;
        Ok(Box::new(LocalFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.names.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let of = statvfs(&self.directory)?;
        Ok(Space { free: of.f_bavail.saturating_mul(of.f_frsize), total: of.f_blocks.saturating_mul(of.f_frsize) })
    }
}

/// Takes the space now, so that no append can run out of it later.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(file, bytes),
        taken => taken.map_err(io::Error::from),
    }
}

/// For file systems that cannot promise space: only written bytes are surely there.
fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = 0;
    while at < bytes {
        let count = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..count], at)?;
        at += count as u64;
    }
    file.sync_all()
}

#[derive(Debug)]
struct LocalFile(File);

impl DiskFile for LocalFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Whether an error says that there is no space.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
