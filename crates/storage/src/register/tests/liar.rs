//! A store in memory that lies about outcomes, or takes its time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory, path::Path,
};
use tidemark_model::Ids;

use crate::Store;

/// What a put is answered although something else happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Applied, answered with an error: a time-out.
    AppliedButFailed,
    /// Applied, answered "exists": the client retried its own success.
    AppliedButExists,
    /// Not applied, answered "exists": a conflict between requests.
    NotAppliedButExists,
    /// Not applied, answered with an error.
    Failed,
}

/// A store in memory that lies about the next creates.
#[derive(Debug)]
pub(crate) struct Liar {
    inner: InMemory,
    lie: Lie,
    lies: AtomicUsize,
    /// It lies about one of so many creates, for ever; 0: about the next ones only.
    every: usize,
    creates: AtomicUsize,
    /// Decides how long an operation sleeps before and after it takes effect.
    chance: Option<Ids>,
}

impl Liar {
    /// A store that lies about the first creates.
    pub(crate) fn store(lie: Lie, lies: usize) -> Store {
        Self::wrapped(Self {
            inner: InMemory::new(),
            lie,
            lies: lies.into(),
            every: 0,
            creates: 0.into(),
            chance: None,
        })
    }

    /// A store that lies about one of so many creates.
    pub(crate) fn often(lie: Lie, every: usize) -> Store {
        Self::wrapped(Self { inner: InMemory::new(), lie, lies: 0.into(), every, creates: 0.into(), chance: None })
    }

    /// An honest store whose operations overlap as the seed says.
    pub(crate) fn sleepy(seed: u128) -> Store {
        let chance = Some(Ids::seeded(seed));
        Self::wrapped(Self {
            inner: InMemory::new(),
            lie: Lie::Failed,
            lies: 0.into(),
            every: 0,
            creates: 0.into(),
            chance,
        })
    }

    fn wrapped(self) -> Store {
        Store::wrapping(Arc::new(self), "memory://")
    }

    fn is_lie(&self) -> bool {
        let nth = self.creates.fetch_add(1, Ordering::SeqCst) + 1;
        (self.every > 0 && nth.is_multiple_of(self.every))
            || self.lies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    async fn sleep(&self) {
        for _turn in 0..self.chance.as_ref().map_or(0, |chance| chance.random() % 4) {
            tokio::task::yield_now().await;
        }
    }
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liar")
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> StoreResult<PutResult> {
        self.sleep().await;
        let is_lie = opts.mode == PutMode::Create && self.is_lie();
        let applies = !is_lie || matches!(self.lie, Lie::AppliedButFailed | Lie::AppliedButExists);
        let applied = if applies { Some(self.inner.put_opts(location, payload, opts).await) } else { None };
        self.sleep().await;
        match (is_lie, self.lie, applied) {
            (false, _, Some(applied)) => applied,
            (_, Lie::AppliedButExists | Lie::NotAppliedButExists, _) => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "412".into() })
            }
            _ => Err(Error::Generic { store: "Liar", source: "timed out".into() }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.sleep().await;
        let got = self.inner.get_opts(location, options).await;
        self.sleep().await;
        got
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
