//! A store opened by URL, rooted at the lake: `file:///…`, `s3://bucket/prefix`, `memory://`.
//!
//! Local disk is not durable by itself (storage.md, principle 7), so puts go through our own store, which syncs file,
//! link and directories; the first sync error ends the process.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStore, path::Path};

/// The bytes of one lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Arc<str>,
}

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store that is spoken here.
    #[error("store {url:?} cannot be opened: {reason}; use file:///path, s3://bucket/prefix or memory://")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object does not exist.
    #[error("object {path} does not exist")]
    NotFound {
        /// Its path.
        path: String,
    },
    /// The medium is full.
    #[error("no space left for {path}")]
    OutOfSpace {
        /// The object that found no place.
        path: String,
    },
    /// Any other failure of the store.
    #[error("{verb} {path} failed")]
    Failed {
        /// `get`, `put`, …
        verb: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
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

impl Store {
    /// Opens the store that a URL names. S3 takes its credentials and endpoint from the standard `AWS_*` settings,
    /// which the server passes as `options` (`aws_access_key_id` → value).
    ///
    /// # Errors
    /// [`StoreError::Url`] when the URL is not understood, or the directory cannot be made.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self, StoreError> {
        let _ = (url, options);
        todo!()
    }

    /// A durable store under a directory of this machine, made if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Url`] when the directory cannot be made.
    pub fn local(directory: PathBuf) -> Result<Self, StoreError> {
        let _ = directory;
        todo!()
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

    /// The object store itself, rooted at the lake: readers of Parquet take it.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// The URL it was opened by.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The whole object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or whatever the store says.
    pub async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        let _ = path;
        todo!()
    }

    /// Writes an object under a name that no one else can have chosen; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::OutOfSpace`], or whatever the store says.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let _ = (path, bytes);
        todo!()
    }

    /// Creates an object if the name is free: the one primitive everything that must happen once rests on.
    ///
    /// # Errors
    /// Whatever the store says; the outcome is then unknown.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        let _ = (path, bytes);
        todo!()
    }

    /// The objects below a prefix, in order of their names. Never on a hot path.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let _ = prefix;
        todo!()
    }

    /// Deletes an object; one that does not exist is no error.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let _ = path;
        todo!()
    }
}
