//! The durable store on a local disk (storage.md, principle 7).
//!
//! A put goes: write a temporary file → sync it → make the directories above the name, syncing each parent → link
//! (create) or rename (overwrite) → sync the directory of the name. Only then it returns. Temporary files live under
//! `.tmp/`, which listings do not show and the next start empties; it also makes durable what a register shows. Reads, lists and deletes are those of
//! `LocalFileSystem`. The first sync error ends the process: after it nobody knows what the disk holds.

mod settle;
mod staging;
mod upload;
mod writer;

use std::{
    fmt,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem, path::Path,
};

use self::{
    staging::{Staging, is_staging},
    upload::LocalUpload,
    writer::{Mode, Writer},
};

/// How files and directories reach the medium; tests count and fail them.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes the bytes of a file durable.
    ///
    /// # Errors
    /// What the system says; it is never tried again.
    fn sync_file(&self, file: &std::fs::File, path: &FilePath) -> std::io::Result<()>;

    /// Opens a directory, before anything in it changes: for want of a descriptor nothing has failed yet.
    ///
    /// # Errors
    /// What the system says.
    fn open_directory(&self, path: &FilePath) -> std::io::Result<std::fs::File> {
        std::fs::File::open(path)
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says; it is never tried again.
    fn sync_directory(&self, directory: &std::fs::File, path: &FilePath) -> std::io::Result<()>;
}

/// The disk of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn sync_file(&self, file: &std::fs::File, _path: &FilePath) -> std::io::Result<()> {
        file.sync_all()
    }

    fn sync_directory(&self, directory: &std::fs::File, _path: &FilePath) -> std::io::Result<()> {
        directory.sync_all()
    }
}

/// What happens after a sync error; production ends the process.
pub type OnSyncError = Arc<dyn Fn(&FilePath, &std::io::Error) + Send + Sync>;

/// Ends the process, so that nothing is built on what may not be there.
pub(super) fn abort() -> OnSyncError {
    Arc::new(|path, error| {
        tracing::error!(path = %path.display(), %error, "a sync failed: what the disk holds is unknown, the process ends");
        std::process::abort();
    })
}

/// A durable [`ObjectStore`] under one directory.
pub struct LocalStore {
    files: LocalFileSystem,
    root: PathBuf,
    /// None: it was opened to be looked at.
    writer: Option<Arc<Writer>>,
}

impl LocalStore {
    /// Opens the store, makes its directory if there is none, and removes temporary files of earlier processes.
    ///
    /// # Errors
    /// When a directory cannot be made or locked.
    pub fn open(directory: &FilePath, disk: Arc<dyn Disk>, on_sync_error: OnSyncError) -> std::io::Result<Self> {
        writer::make_root(directory, disk.as_ref())?;
        let root = directory.canonicalize()?;
        settle::registers(&root, disk.as_ref())?;
        let files = LocalFileSystem::new_with_prefix(&root).map_err(std::io::Error::other)?;
        let writer = Writer::new(root.clone(), Staging::claim(&root)?, disk, on_sync_error);
        Ok(Self { files, root, writer: Some(Arc::new(writer)) })
    }

    /// Opens a store that is there to read it: nothing is made, removed or locked, and every write is refused.
    ///
    /// # Errors
    /// When there is no such directory, or it may not be read.
    pub fn look(directory: &FilePath) -> std::io::Result<Self> {
        let root = directory.canonicalize()?;
        let files = LocalFileSystem::new_with_prefix(&root).map_err(std::io::Error::other)?;
        Ok(Self { files, root, writer: None })
    }

    fn writer(&self, operation: &str) -> Result<Arc<Writer>> {
        self.writer.as_ref().map(Arc::clone).ok_or_else(|| refused(operation))
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("files", &self.files).finish_non_exhaustive()
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root.display())
    }
}

fn refused(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "LocalStore".to_owned() }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let mode = match opts.mode {
            PutMode::Create => Mode::Create,
            PutMode::Overwrite => Mode::Overwrite,
            PutMode::Update(_) => return Err(refused("put with PutMode::Update")),
        };
        let (name, writer) = (self.files.path_to_filesystem(location)?, self.writer("put")?);
        blocking(move || writer.put(&name, &payload, mode)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let (name, writer) = (self.files.path_to_filesystem(location)?, self.writer("put_multipart")?);
        Ok(Box::new(blocking(move || LocalUpload::begin(writer, name)).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.writer("delete") {
            Ok(_writes) => self.files.delete_stream(locations),
            Err(refused) => futures::stream::once(std::future::ready(Err(refused))).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        without_staging(self.files.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        without_staging(self.files.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.common_prefixes.retain(|prefix| !is_staging(prefix));
        listed.objects.retain(|object| !is_staging(&object.location));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Create => Mode::Create,
            CopyMode::Overwrite => Mode::Overwrite,
        };
        let bytes = self.files.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let (name, writer) = (self.files.path_to_filesystem(to)?, self.writer("copy")?);
        blocking(move || writer.put(&name, &PutPayload::from(bytes), mode)).await
    }
}

fn without_staging(listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let is_shown = |object: &Result<ObjectMeta>| object.as_ref().map_or(true, |object| !is_staging(&object.location));
    listed.filter(move |object| std::future::ready(is_shown(object))).boxed()
}

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;
