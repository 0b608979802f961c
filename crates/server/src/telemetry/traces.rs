//! Traces: spans of requests and flushes, sent to a collector by OpenTelemetry's protocol over HTTP.
//!
//! 1. [`Exporter`]: the provider of spans, whose own thread collects them and sends them every few seconds.
//! 2. [`Sender`]: carries what that thread sends over the runtime of the process.
//! 3. [`Roots`]: what a trace may begin with. Work of jobs is not traced: they tick all the time, and say in
//!    `system.jobs` how they are.
//! 4. [`begins`] and [`answered`]: what a collector wants to know of the span of a request.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Link, SpanKind, Status, TraceContextExt as _, TraceId, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample},
};
use tokio::runtime::Handle;
use tracing::{Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::{config::Traces, metrics::VERSION};

/// How long a collector may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long the last spans may take when the process ends.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Whether spans are sent anywhere; subscribers are of the process too.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Sends spans until it is ended.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// One that sends to the collector of the settings; none where they name none.
    ///
    /// # Errors
    /// Says why it cannot be made.
    pub(super) fn of(traces: &Traces, env: &str) -> Result<Option<Self>, String> {
        let Some(url) = traces.url() else { return Ok(None) };
        let failed = |error: &dyn std::error::Error| format!("spans cannot be sent to {url}: {error}");
        let client = reqwest::Client::builder().timeout(ANSWERS_WITHIN).build().map_err(|error| failed(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { client, runtime: Handle::current() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.clone())
            .build()
            .map_err(|error| failed(&error))?;
        let resource = Resource::builder()
            .with_service_name(traces.service_name.clone())
            .with_attribute(KeyValue::new("service.version", VERSION))
            .with_attribute(KeyValue::new("deployment.environment.name", env.to_owned()))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Roots(Sampler::TraceIdRatioBased(traces.sample_ratio))));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        IS_ON.store(true, Ordering::Relaxed);
        Ok(Some(Self(provider)))
    }

    /// Takes the spans of this program's own crates.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("tidemark"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target("tidemark", LevelFilter::INFO))
    }

    /// Sends what is left.
    pub async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(ENDS_WITHIN)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::warn!(%error, "the last spans were not sent"),
        }
    }
}

/// Sends requests of a thread that has no runtime.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), reqwest::Request::try_from(request)?);
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = sent.await??;
        let mut answer = Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

/// Samples traces that begin with a request or a flush.
#[derive(Debug, Clone)]
struct Roots(Sampler);

impl Roots {
    const NAMES: [&'static str; 2] = ["request", "flush"];
}

impl ShouldSample for Roots {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_root = *kind == SpanKind::Server || Self::NAMES.contains(&name);
        let sampler = if is_root { &self.0 } else { &Sampler::AlwaysOff };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// Tells whose child the span of a request is, and what it asks for.
pub(crate) fn begins(span: &Span, method: &Method, route: &str, headers: &HeaderMap) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let method = known(method);
    span.record("otel.kind", "server").record("otel.name", format!("{method} {route}"));
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if parent.span().span_context().is_valid() {
        // It fails where the filter of somebody else's making took the span away.
        let _set = span.set_parent(parent);
    }
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route.to_owned());
}

/// Strangers make methods up: names of spans stay few, as OpenTelemetry's conventions say.
fn known(method: &Method) -> &str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}

/// Tells how a request was answered.
pub(crate) fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}
