//! A store in memory that is away whenever it is told to be.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tidemark_storage::Store;

/// The store, and whether it is away.
pub(super) fn store() -> (Store, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(false));
    let store = Away { inner: InMemory::new(), is_away: Arc::clone(&is_away), deletes_hang: false };
    (Store::wrapping(Arc::new(store), "memory://"), is_away)
}

/// One that is never away, but answers no delete.
pub(super) fn where_deletes_hang() -> Store {
    let store = Away { inner: InMemory::new(), is_away: Arc::default(), deletes_hang: true };
    Store::wrapping(Arc::new(store), "memory://")
}

#[derive(Debug)]
struct Away {
    inner: InMemory,
    is_away: Arc<AtomicBool>,
    deletes_hang: bool,
}

impl Away {
    fn there(&self) -> Result<&InMemory> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "Away", source: "timed out".into() });
        }
        Ok(&self.inner)
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Away")
    }
}

#[async_trait]
impl ObjectStore for Away {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.there()?.put_opts(at, payload, opts).await
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.there()?.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.there()?.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.there() {
            Ok(_inner) if self.deletes_hang => stream::pending().boxed(),
            Ok(inner) => inner.delete_stream(paths),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.there() {
            Ok(inner) => inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.there()?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.there()?.copy_opts(from, to, options).await
    }
}
