//! An object that is written as its bytes come: a small one in one request at its end, a large one in parts.

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart, path::Path};

use super::{Store, StoreError};

/// From this size on an object is put in parts, so that no single request outlasts its time-out.
pub(super) const MULTIPART_BYTES: usize = 16 << 20;
/// The size of a part. S3 takes at most 10,000 parts, so the largest object is 78 GiB.
pub(super) const PART_BYTES: usize = 8 << 20;
/// The most parts of one object under way at once.
const PARTS_MAX: usize = 4;

/// An object under way. It is there when [`finish`](Self::finish) has returned, as a whole, and not before.
#[derive(Debug)]
pub struct Upload {
    store: Store,
    path: Path,
    /// What came so far, while it may be a small one.
    begin: Vec<Bytes>,
    begin_bytes: usize,
    parts: Option<WriteMultipart>,
}

impl Upload {
    pub(super) const fn new(store: Store, path: Path) -> Self {
        Self { store, path, begin: Vec::new(), begin_bytes: 0, parts: None }
    }

    /// Takes the next bytes. At most a few parts are held in memory: it waits for those under way.
    ///
    /// # Errors
    /// [`StoreError::OutOfSpace`], or whatever the store says.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let written = self.take(bytes).await;
        written.map_err(|source| StoreError::of("put", &self.path, source))
    }

    async fn take(&mut self, bytes: Bytes) -> object_store::Result<()> {
        if let Some(parts) = &mut self.parts {
            return put(parts, bytes).await;
        }
        self.begin_bytes += bytes.len();
        self.begin.push(bytes);
        if self.begin_bytes >= MULTIPART_BYTES {
            let upload = self.store.objects.put_multipart(&self.path).await?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            for bytes in self.begin.drain(..) {
                put(&mut parts, bytes).await?;
            }
            self.parts = Some(parts);
        }
        Ok(())
    }

    /// Ends it: durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::OutOfSpace`], or whatever the store says.
    pub async fn finish(self) -> Result<(), StoreError> {
        let Self { store, path, begin, parts, .. } = self;
        let put = match parts {
            Some(parts) => parts.finish().await,
            None => store.objects.put(&path, begin.into_iter().collect::<PutPayload>()).await,
        };
        put.map(|_put| ()).map_err(|source| StoreError::of("put", &path, source))
    }

    /// Gives the parts back that are there already: nobody reads them, and some stores charge for them.
    pub async fn abort(self) {
        if let Some(parts) = self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::debug!(%error, path = %self.path, "parts of an object that came to nothing could not be given back");
        }
    }
}

async fn put(parts: &mut WriteMultipart, mut bytes: Bytes) -> object_store::Result<()> {
    while !bytes.is_empty() {
        parts.wait_for_capacity(PARTS_MAX).await?;
        parts.put(bytes.split_to(PART_BYTES.min(bytes.len())));
    }
    Ok(())
}
