//! A store that stops for ever at a chosen write: the moment a process dies in the middle of a step.
//!
//! Armed with a number, it lets so many writes through; the next one is applied or not, as chosen, and never answers.
//! Whoever waits on [`Halt::reached`] then lets the process die. It is not a fault: nobody sees an error. Faults it has too
//! ([`Halt::fail_every`]): writes that fail, or that were done and fail all the same.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use tokio::sync::Notify;

/// Not armed.
const NEVER: i64 = i64::MAX;

/// When the store halts.
#[derive(Debug)]
pub struct Halt {
    writes_left: AtomicI64,
    is_applied: std::sync::atomic::AtomicBool,
    reached: Notify,
    point: std::sync::Mutex<Option<String>>,
    /// One in so many writes fails; 0: none.
    fails_every: AtomicU64,
    writes: AtomicU64,
}

/// Whether the write that never answers was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It was done: only its answer is lost.
    Applied,
    /// It was not done.
    NotApplied,
}

impl Default for Halt {
    fn default() -> Self {
        Self {
            writes_left: AtomicI64::new(NEVER),
            is_applied: false.into(),
            reached: Notify::new(),
            point: std::sync::Mutex::default(),
            fails_every: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }
}

impl Halt {
    /// Lets so many writes through and halts at the next one.
    pub fn arm(&self, writes: i64, last: Last) {
        self.is_applied.store(last == Last::Applied, Ordering::SeqCst);
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    /// Lets one in so many writes fail, every other of them after it was done.
    pub fn fail_every(&self, writes: u64) {
        self.fails_every.store(writes, Ordering::SeqCst);
    }

    /// Whether this write fails, and how.
    fn fails(&self) -> Option<Last> {
        let every = self.fails_every.load(Ordering::SeqCst);
        let number = (every > 0).then(|| self.writes.fetch_add(1, Ordering::SeqCst))?;
        let last = if (number / every).is_multiple_of(2) { Last::Applied } else { Last::NotApplied };
        number.is_multiple_of(every).then_some(last)
    }

    /// Halts at the point of this name.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub fn arm_at(&self, point: &str) {
        *self.point.lock().expect("no one panics here") = Some(point.to_owned());
    }

    /// Passes a point, or halts there for ever.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub async fn pass(&self, point: &str) {
        if self.point.lock().expect("no one panics here").as_deref() == Some(point) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Lets everything through again.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub fn disarm(&self) {
        *self.point.lock().expect("no one panics here") = None;
        self.writes_left.store(NEVER, Ordering::SeqCst);
        self.fails_every.store(0, Ordering::SeqCst);
    }

    /// Ends when a write was halted.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Whether this write is the last one, or comes behind it.
    fn is_last(&self) -> bool {
        let armed = |left: i64| (left != NEVER).then(|| left - 1);
        let left = self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, armed);
        left.is_ok_and(|left| left <= 0)
    }
}

/// The store.
#[derive(Debug)]
pub struct HaltingStore {
    inner: Arc<dyn ObjectStore>,
    halt: Arc<Halt>,
}

impl HaltingStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, halt: Arc<Halt>) -> Self {
        Self { inner, halt }
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        if !self.halt.is_last() {
            return match self.halt.fails() {
                None => write.await,
                Some(Last::NotApplied) => Err(failed()),
                Some(Last::Applied) => write.await.and_then(|_done| Err(failed())),
            };
        }
        if self.halt.is_applied.swap(false, Ordering::SeqCst) {
            let _lost = write.await;
        }
        self.halt.reached.notify_one();
        std::future::pending().await
    }
}

fn failed() -> Error {
    Error::Generic { store: "halting", source: "it was told to fail".into() }
}

impl fmt::Display for HaltingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "halting {}", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for HaltingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        // Copies of manifests are written once a second of real time: counted, they would let the same seed die elsewhere.
        if location.as_ref().ends_with("/manifest.json") {
            return self.inner.put_opts(location, payload, opts).await;
        }
        self.write(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.write(self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.write(self.inner.rename_opts(from, to, options)).await
    }
}
