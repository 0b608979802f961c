//! Counts requests by verb and outcome, times those with one answer (streams of lists and deletes have many), and forwards every
//! method: none falls back to a default of the trait.

use std::{fmt, ops::Range, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, core::Collector};
use tracing::Instrument as _;

/// Times of requests: 0.5 ms to 65 s.
const SECONDS_BUCKETS: (f64, f64, usize) = (0.000_5, 2.0, 18);

/// A store that counts.
#[derive(Debug)]
pub(super) struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    requests: Requests,
}

impl MeteredStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, registry: &Registry) -> Self {
        Self { inner, requests: Requests::registered(registry) }
    }
}

/// `tidemark_store_requests_total{verb, outcome}` and `tidemark_store_request_seconds{verb}`; `None` where a metric cannot
/// be made.
#[derive(Debug, Clone)]
struct Requests {
    counter: Option<IntCounterVec>,
    seconds: Option<HistogramVec>,
}

impl Requests {
    fn registered(registry: &Registry) -> Self {
        let opts = Opts::new("tidemark_store_requests_total", "Requests to the object store by verb and outcome.");
        let (start, factor, count) = SECONDS_BUCKETS;
        let seconds = prometheus::exponential_buckets(start, factor, count).and_then(|buckets| {
            let says = "Seconds from a request to the object store to its answer, or to the head of it, by verb.";
            HistogramVec::new(HistogramOpts::new("tidemark_store_request_seconds", says).buckets(buckets), &["verb"])
        });
        Self {
            counter: registered(registry, IntCounterVec::new(opts, &["verb", "outcome"])),
            seconds: registered(registry, seconds),
        }
    }

    fn count<T>(&self, verb: &str, result: Result<T>) -> Result<T> {
        if let Some(counter) = &self.counter {
            counter.with_label_values(&[verb, outcome(&result)]).inc();
        }
        result
    }

    async fn measure<T>(&self, verb: &str, request: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let result = request.instrument(tracing::info_span!("store", verb)).await;
        if let Some(seconds) = &self.seconds {
            seconds.with_label_values(&[verb]).observe(begun.elapsed().as_secs_f64());
        }
        self.count(verb, result)
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> Option<C> {
    let registered = made.and_then(|metric| registry.register(Box::new(metric.clone())).map(|()| metric));
    registered.inspect_err(|error| tracing::debug!(%error, "a metric of the store is off")).ok()
}

fn outcome<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::NotFound { .. }) => "not_found",
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => "exists",
        Err(_) => "error",
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.requests.measure("put", self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.requests.measure("put_multipart", self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let verb = if options.head { "head" } else { "get" };
        self.requests.measure(verb, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.requests.measure("get_ranges", self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let requests = self.requests.clone();
        self.inner.delete_stream(locations).map(move |deleted| requests.count("delete", deleted)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        drop(self.requests.count("list", Ok(())));
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        drop(self.requests.count("list", Ok(())));
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.requests.measure("list", self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.requests.measure("copy", self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.requests.measure("rename", self.inner.rename_opts(from, to, options)).await
    }
}
