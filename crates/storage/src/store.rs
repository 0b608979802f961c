//! A store opened by URL, rooted at the lake: `file:///…`, `s3://bucket/prefix`, `memory://`.
//!
//! 1. [`open`](Store::open) reads the URL and the options.
//! 2. Local disk is not durable by itself (storage.md, principle 7), so puts go through our own [`LocalStore`], which
//!    syncs file, link and directories; the first sync error ends the process.
//! 3. [`metered`](Store::metered) counts requests, for whoever has a registry.
//! 4. [`check`] asks a store what it can do, before a lake is trusted to it.
//!
//! Retries are the client's (S3) or nobody's (local), but for deletes: a create that failed has an unknown outcome, see
//! `register`.

pub mod check;
mod error;
mod local;
mod metered;
mod upload;
mod url;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path, prefix::PrefixStore,
};

use sha2::{Digest as _, Sha256};

pub use error::StoreError;
pub use local::{Disk, LocalStore, OnSyncError, OsDisk};
pub use upload::Upload;

/// How long a delete rests before each time that it is tried again.
const DELETE_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];

/// The bytes of one lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Arc<str>,
}

/// Whether a create found the name free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// The object is there now, and it is ours.
    Created,
    /// An object of this name existed (perhaps our own from an attempt whose answer was lost).
    Exists,
}

/// Whether stores have an option of this name, in either case.
#[must_use]
pub fn knows_option(name: &str) -> bool {
    url::knows(name)
}

impl Store {
    /// Opens the store that a URL names. S3 takes its credentials and endpoint from the standard `AWS_*` settings,
    /// which the server passes as `options` (`aws_access_key_id` → value).
    ///
    /// # Errors
    /// [`StoreError::Url`] when the URL is not understood, or the directory cannot be made.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self, StoreError> {
        url::open(url, options)
    }

    /// Opens the store that a URL names to read it: a directory is not made, and nothing in it is made, removed or locked, so
    /// that whoever looks may be another user than the server, or have a copy that cannot be written.
    ///
    /// # Errors
    /// [`StoreError::Url`] when the URL is not understood, or there is no such directory.
    pub fn look(url: &str, options: &[(String, String)]) -> Result<Self, StoreError> {
        match url.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Self::look_locally(&PathBuf::from(path)),
            _ => url::open(url, options),
        }
    }

    /// The same under a directory of this machine.
    ///
    /// # Errors
    /// [`StoreError::Url`] when there is no such directory.
    pub fn look_locally(directory: &std::path::Path) -> Result<Self, StoreError> {
        let url = format!("file://{}", directory.display());
        match LocalStore::look(directory) {
            Ok(store) => Ok(Self { objects: Arc::new(store), url: url.into() }),
            Err(error) => Err(StoreError::Url { url, reason: error.to_string() }),
        }
    }

    /// A durable store under a directory of this machine, made if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Url`] when the directory cannot be made.
    pub fn local(directory: PathBuf) -> Result<Self, StoreError> {
        let url = format!("file://{}", directory.display());
        match LocalStore::open(&directory, Arc::new(OsDisk), local::abort()) {
            Ok(store) => Ok(Self { objects: Arc::new(store), url: url.into() }),
            Err(error) => Err(StoreError::Url { url, reason: error.to_string() }),
        }
    }

    /// A store in memory, for tests.
    #[must_use]
    pub fn memory() -> Self {
        Self { objects: Arc::new(object_store::memory::InMemory::new()), url: "memory:///".into() }
    }

    /// Wraps any object store, such as one that injects faults.
    #[must_use]
    pub fn wrapping(objects: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self { objects, url: url.into() }
    }

    /// The same store, counting its requests by verb and outcome in a registry.
    #[must_use]
    pub fn metered(&self, registry: &prometheus::Registry) -> Self {
        let objects = metered::MeteredStore::new(self.objects(), registry);
        Self { objects: Arc::new(objects), url: Arc::clone(&self.url) }
    }

    /// The object store itself, rooted at the lake: readers of Parquet take it.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// The same objects, rooted at a directory of the lake: for libraries that know nothing besides one table.
    #[must_use]
    pub fn objects_below(&self, directory: &Path) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(self.objects(), directory.clone()))
    }

    /// The URL it was opened by.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is neither this machine's disk nor its memory: what is behind it is somebody else's program.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !["file://", "memory://"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The whole object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or whatever the store says.
    pub async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        let read = async { self.objects.get_opts(path, GetOptions::default()).await?.bytes().await };
        read.await.map_err(|source| StoreError::of("get", path, source))
    }

    /// SHA-256 of an object's bytes, hex; read in a stream.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or whatever the store says.
    pub async fn checksum(&self, path: &Path) -> Result<String, StoreError> {
        let read = async {
            let mut bytes = self.objects.get_opts(path, GetOptions::default()).await?.into_stream();
            let mut digest = Sha256::new();
            while let Some(chunk) = bytes.try_next().await? {
                digest.update(&chunk);
            }
            Ok(tidemark_model::hex::encode(&digest.finalize()))
        };
        read.await.map_err(|source| StoreError::of("get", path, source))
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        Ok(self.size(path).await?.is_some())
    }

    /// The bytes of an object; `None` where it does not exist.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn size(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(StoreError::of("head", path, source)),
        }
    }

    /// Writes an object under a name that no one else can have chosen; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::OutOfSpace`], or whatever the store says.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let mut upload = self.upload(path.clone());
        match upload.write(bytes).await {
            Ok(()) => upload.finish().await,
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Begins an object whose bytes come bit by bit, under a name that no one else can have chosen.
    #[must_use]
    pub fn upload(&self, path: Path) -> Upload {
        Upload::new(self.clone(), path)
    }

    /// Creates an object if the name is free: the one primitive everything that must happen once rests on.
    ///
    /// # Errors
    /// Whatever the store says; the outcome is then unknown.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        match self.objects.put_opts(path, PutPayload::from(bytes), PutMode::Create.into()).await {
            Ok(_put) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Put::Exists)
            }
            Err(source) => Err(StoreError::of("create", path, source)),
        }
    }

    /// The objects below a prefix, in order of their names. Never on a hot path.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed: object_store::Result<Vec<ObjectMeta>> = self.objects.list(Some(prefix)).try_collect().await;
        let mut objects = listed.map_err(|source| StoreError::of("list", prefix, source))?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// Deletes objects, many in a request where the store can; one that does not exist is no error.
    ///
    /// What a remote store fails at is tried again a few times: deleting what is gone changes nothing. Clients try a request
    /// again that was not answered, but neither one whose answer broke off nor the single keys that the store failed at.
    ///
    /// # Errors
    /// What the store says of the first that stayed; the others are tried all the same.
    pub async fn delete_all(&self, paths: impl IntoIterator<Item = Path>) -> Result<(), StoreError> {
        let paths: Vec<Path> = paths.into_iter().collect();
        let mut pauses = self.is_remote().then_some(DELETE_PAUSES).into_iter().flatten();
        loop {
            let failed = match self.try_delete(&paths).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            match pauses.next().filter(|_pause| matches!(failed, object_store::Error::Generic { .. })) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(StoreError::of("delete", &paths.first().cloned().unwrap_or_default(), failed)),
            }
        }
    }

    /// Deletes an object; one that does not exist is no error. Tried again as [`delete_all`](Self::delete_all) is.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        self.delete_all([path.clone()]).await
    }

    async fn try_delete(&self, paths: &[Path]) -> object_store::Result<()> {
        let named: Vec<object_store::Result<Path>> = paths.iter().cloned().map(Ok).collect();
        let mut deleted = self.objects.delete_stream(futures::stream::iter(named).boxed());
        let mut all = Ok(());
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(failed) => all = all.and(Err(failed)),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
