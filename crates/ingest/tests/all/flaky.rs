//! A store in memory that answers as a rule says: as it is, with an error, or with an error after it was done.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tidemark_storage::Store;

/// What is asked of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Put,
    Get,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Honest,
    /// It was done, and the answer is an error.
    DoneButFailed,
    Failed,
}

type Rule = Box<dyn FnMut(Verb, &str) -> Answer + Send>;

/// The rule in force; honest without one.
#[derive(Clone, Default)]
pub(crate) struct Rules(Arc<Mutex<Option<Rule>>>);

impl Rules {
    pub(crate) fn set(&self, rule: impl FnMut(Verb, &str) -> Answer + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(rule));
    }

    pub(crate) fn heal(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn ask(&self, verb: Verb, path: &Path) -> Answer {
        let mut rule = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rule.as_mut().map_or(Answer::Honest, |rule| rule(verb, path.as_ref()))
    }
}

/// A store and the rules it answers by.
pub(crate) fn store() -> (Store, Rules) {
    let rules = Rules::default();
    let flaky = Flaky { inner: InMemory::new(), rules: rules.clone() };
    (Store::wrapping(Arc::new(flaky), "memory:///"), rules)
}

struct Flaky {
    inner: InMemory,
    rules: Rules,
}

fn failed<T>() -> Result<T> {
    Err(Error::Generic { store: "Flaky", source: "timed out".into() })
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.rules.ask(Verb::Put, location) {
            Answer::Honest => self.inner.put_opts(location, payload, opts).await,
            Answer::DoneButFailed => self.inner.put_opts(location, payload, opts).await.and_then(|_done| failed()),
            Answer::Failed => failed(),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.rules.ask(Verb::Get, location) {
            Answer::Honest => self.inner.get_opts(location, options).await,
            Answer::DoneButFailed | Answer::Failed => failed(),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
