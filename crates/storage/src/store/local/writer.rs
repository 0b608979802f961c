//! From bytes to a durable name: write, sync, make directories, link or rename, sync the directory.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use object_store::{Error, PutPayload, Result};

use super::{
    Disk, OnSyncError,
    staging::{Staged, Staging},
};

/// The most directories remembered as durable; past it the memory starts anew and costs some syncs.
const DIRECTORIES_MAX: usize = 65_536;

/// Whether an existing name stands or gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Create,
    Overwrite,
}

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {}", path.display())]
struct FileError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(what: &'static str, path: &FilePath) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Generic { store: "LocalStore", source: Box::new(FileError { what, path, source }) }
}

/// The writing half of a local store. Every method blocks.
pub(super) struct Writer {
    root: PathBuf,
    staging: Staging,
    disk: Arc<dyn Disk>,
    on_sync_error: OnSyncError,
    /// Set by the first sync error: nothing is written any more, should the process still live.
    has_failed: AtomicBool,
    /// Directories whose own names are known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(root: PathBuf, staging: Staging, disk: Arc<dyn Disk>, on_sync_error: OnSyncError) -> Self {
        Self { root, staging, disk, on_sync_error, has_failed: AtomicBool::new(false), durable: Mutex::default() }
    }

    /// Writes a whole object.
    pub(super) fn put(&self, name: &FilePath, payload: &PutPayload, mode: Mode) -> Result<()> {
        let mut staged = self.stage()?;
        for bytes in payload {
            staged.file.write_all(bytes).map_err(failed("write", name))?;
        }
        self.publish(&staged, name, mode)
    }

    /// A temporary file to write to.
    pub(super) fn stage(&self) -> Result<Staged> {
        if self.has_failed.load(Ordering::SeqCst) {
            let source = "a sync failed before: the process must end".into();
            return Err(Error::Generic { store: "LocalStore", source });
        }
        self.staging.file().map_err(failed("make a temporary file in", &self.root))
    }

    /// Makes the temporary file durable under a name.
    pub(super) fn publish(&self, staged: &Staged, name: &FilePath, mode: Mode) -> Result<()> {
        let directory = name.parent().unwrap_or(&self.root);
        self.synced(&staged.path, self.disk.sync_file(&staged.file, &staged.path))?;
        let opened = self.opened(directory)?;
        give_name(&staged.path, name, mode).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => {
                Error::AlreadyExists { path: name.display().to_string(), source: Box::new(source) }
            }
            _ => failed("name", name)(source),
        })?;
        self.synced(directory, self.disk.sync_directory(&opened, directory))
    }

    /// A directory, made if need be and open, so that nothing but a sync can fail once a name is given in it.
    fn opened(&self, directory: &FilePath) -> Result<File> {
        self.make_directory(directory)?;
        match self.disk.open_directory(directory) {
            // Someone removed it since we made it.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.known().clear();
                self.make_directory(directory)?;
                self.disk.open_directory(directory)
            }
            opened => opened,
        }
        .map_err(failed("open the directory", directory))
    }

    /// Makes a directory and those above it, each durable in its parent. One that stands already counts as durable
    /// only once its parent was synced here: whoever made it may not have come that far.
    fn make_directory(&self, directory: &FilePath) -> Result<()> {
        if directory == self.root || self.known().contains(directory) {
            return Ok(());
        }
        let Some(parent) = directory.parent() else { return Ok(()) };
        let opened = self.opened(parent)?;
        match std::fs::create_dir(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("make the directory", directory)(error));
            }
            _ => self.synced(parent, self.disk.sync_directory(&opened, parent))?,
        }
        let mut known = self.known();
        if known.len() >= DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one place a sync error passes through.
    fn synced(&self, path: &FilePath, result: io::Result<()>) -> Result<()> {
        result.map_err(|error| {
            self.has_failed.store(true, Ordering::SeqCst);
            (self.on_sync_error)(path, &error);
            failed("sync", path)(error)
        })
    }
}

fn give_name(staged: &FilePath, name: &FilePath, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Create => std::fs::hard_link(staged, name),
        Mode::Overwrite => std::fs::rename(staged, name),
    }
}

/// Makes the root and what is missing above it. The parent is synced even if the root stands: its maker may have died
/// before; a parent that may not be opened is its owner's business.
pub(super) fn make_root(root: &FilePath, disk: &dyn Disk) -> io::Result<()> {
    let root = std::path::absolute(root)?;
    let missing: Vec<&FilePath> = root.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(&root)?;
    let synced = |path: &FilePath| disk.sync_directory(&disk.open_directory(path)?, path);
    for made in missing.iter().rev() {
        made.parent().map_or(Ok(()), synced)?;
    }
    match root.parent().filter(|_above| missing.is_empty()).map(synced) {
        Some(Err(error)) if error.kind() != ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}
