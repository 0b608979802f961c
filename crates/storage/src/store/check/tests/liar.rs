//! A store in memory that does one thing otherwise than it should.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    memory::InMemory, path::Path,
};

use crate::Store;

/// What is otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// Nothing.
    None,
    /// A create is a put.
    IgnoresCreate,
    /// A create looks whether the name is free, and puts a moment later.
    LooksThenPuts,
    /// A create of a name that is taken changes nothing and is told that it succeeded.
    SaysCreated,
    /// No create is ever applied; all are told that the name is taken.
    RefusesCreates,
    /// The first create of a name is not applied and told that the name is taken, as S3 tells of a conflict: no lie.
    ConflictsOnce,
    /// No create is ever applied; all are told that they succeeded.
    ForgetsCreates,
    /// Whoever was told that nothing is there is told so once more.
    RemembersAbsence,
    /// The first body that was read is read for ever.
    RemembersBodies,
    /// A list shows what came since the last one only the next time.
    ListsLate,
    /// A list shows nothing.
    ListsNothing,
    /// A prefix is text.
    ListsByText,
    /// Nothing is deleted.
    KeepsDeleted,
    /// What was deleted is read once more.
    DeletesLate,
    /// Bodies lack their last byte.
    Truncates,
    /// Who asks for the last bytes gets the first.
    SuffixIsBeginning,
    /// The second part of an object is lost.
    LosesParts,
    /// No request comes through.
    Away,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Liar {
    inner: Arc<InMemory>,
    lie: Lie,
    /// Names that something was remembered of.
    names: Arc<Mutex<HashSet<Path>>>,
    bodies: Mutex<HashMap<Path, Bytes>>,
}

impl Liar {
    pub(super) fn store(lie: Lie) -> Store {
        let liar = Self { inner: Arc::default(), lie, names: Arc::default(), bodies: Mutex::default() };
        Store::wrapping(Arc::new(liar), "memory://")
    }

    fn is(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    fn reach(&self) -> Result<()> {
        if self.is(Lie::Away) { Err(Error::Generic { store: "Liar", source: "timed out".into() }) } else { Ok(()) }
    }

    fn taken(path: &Path) -> Error {
        Error::AlreadyExists { path: path.to_string(), source: "412".into() }
    }

    fn absent(path: &Path) -> Error {
        Error::NotFound { path: path.to_string(), source: "404".into() }
    }

    /// The body as it is told.
    async fn told(&self, location: &Path, got: GetResult) -> Result<GetResult> {
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let mut bytes = got.bytes().await?;
        match self.lie {
            Lie::Truncates => bytes.truncate(bytes.len().saturating_sub(1)),
            Lie::RemembersBodies if range == (0..meta.size) => {
                let mut bodies = self.bodies.lock().unwrap();
                bytes = bodies.entry(location.clone()).or_insert(bytes).clone();
            }
            _ => {}
        }
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liar")
    }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.reach()?;
        let done = PutResult { e_tag: None, version: None };
        if opts.mode != PutMode::Create {
            return self.inner.put_opts(location, payload, opts).await;
        }
        match self.lie {
            Lie::IgnoresCreate => self.inner.put(location, payload).await,
            Lie::LooksThenPuts => {
                let is_taken = self.inner.head(location).await.is_ok();
                tokio::task::yield_now().await;
                if is_taken { Err(Self::taken(location)) } else { self.inner.put(location, payload).await }
            }
            Lie::RefusesCreates => Err(Self::taken(location)),
            Lie::ConflictsOnce if self.names.lock().unwrap().insert(location.clone()) => Err(Self::taken(location)),
            Lie::ForgetsCreates => Ok(done),
            Lie::SaysCreated => self.inner.put_opts(location, payload, opts).await.or(Ok(done)),
            _ => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.reach()?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(if self.is(Lie::LosesParts) { Box::new(Lossy { inner, parts: 0 }) } else { inner })
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        self.reach()?;
        if let (Lie::SuffixIsBeginning, Some(GetRange::Suffix(bytes))) = (self.lie, &options.range) {
            options.range = Some(GetRange::Bounded(0..*bytes));
        }
        let is_head = options.head;
        let got = self.inner.get_opts(location, options).await;
        match (self.lie, got) {
            (Lie::RemembersAbsence, Ok(_)) if self.names.lock().unwrap().remove(location) => {
                Err(Self::absent(location))
            }
            (Lie::RemembersAbsence, Err(absent)) => {
                self.names.lock().unwrap().insert(location.clone());
                Err(absent)
            }
            (Lie::DeletesLate, Ok(got)) if self.names.lock().unwrap().remove(location) => {
                self.inner.delete(location).await?;
                Ok(got)
            }
            (_, Ok(got)) if !is_head => self.told(location, got).await,
            (_, got) => got,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reach()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.lie {
            Lie::Away => {
                let away = || Error::Generic { store: "Liar", source: "timed out".into() };
                locations.map(move |_path| Err(away())).boxed()
            }
            Lie::KeepsDeleted => locations,
            Lie::DeletesLate => {
                // Only noted: the next read takes it away.
                let names = Arc::clone(&self.names);
                let note = move |path: &Result<Path>| names.lock().unwrap().extend(path.iter().cloned());
                locations.inspect(note).boxed()
            }
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.lie {
            Lie::ListsNothing => stream::empty().boxed(),
            Lie::Away => stream::iter([Err(self.reach().unwrap_err())]).boxed(),
            Lie::ListsLate => {
                let names = Arc::clone(&self.names);
                let is_known = move |object: &Result<ObjectMeta>| {
                    object.as_ref().is_ok_and(|object| !names.lock().unwrap().insert(object.location.clone()))
                };
                self.inner.list(prefix).filter(move |object| std::future::ready(is_known(object))).boxed()
            }
            Lie::ListsByText => {
                let text = prefix.map(ToString::to_string).unwrap_or_default();
                let is_below = move |object: &Result<ObjectMeta>| {
                    object.as_ref().is_ok_and(|object| object.location.as_ref().starts_with(&text))
                };
                self.inner.list(None).filter(move |object| std::future::ready(is_below(object))).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An object whose second part goes nowhere.
#[derive(Debug)]
struct Lossy {
    inner: Box<dyn MultipartUpload>,
    parts: usize,
}

#[async_trait]
impl MultipartUpload for Lossy {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts += 1;
        if self.parts == 2 { Box::pin(std::future::ready(Ok(()))) } else { self.inner.put_part(data) }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
