//! Bodies of refused requests. Over HTTP/1.1 a connection whose body was not read to its end has to be closed, and most clients
//! do not look for an answer before they have sent everything: they would see it break instead of the refusal, and its
//! `Retry-After`. So what they still send is read and thrown away, up to a limit and for a while.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody as _},
    extract::Request,
    http::{Version, header},
    middleware::Next,
    response::Response,
};
use futures::{StreamExt as _, stream};

/// The most that is read of whoever may send.
const BYTES_MAX: usize = 64 << 20;
/// The same of who has no token, or a wrong one.
const STRANGERS_BYTES_MAX: usize = 1 << 20;
/// How long it is read of whoever may send.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest pause: who has stopped to send sees the answer anyhow.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long it is read of who has no token, or a wrong one.
const STRANGERS_WITHIN: Duration = Duration::from_secs(5);

/// Whoever asked was let on by the guard: stands in the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct LetOn;

/// Reads what a refused request still sends, before its answer goes.
pub(super) async fn discard(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_11 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_to_be_asked = request.headers().contains_key(header::EXPECT);
    let unread = Unread::default();
    let left = unread.clone();
    let response = next.run(request.map(|body| kept(body, unread))).await;
    if response.status().is_success() {
        return response;
    }
    let is_known = response.extensions().get::<LetOn>().is_some();
    let (most, within) = if is_known { (BYTES_MAX, WITHIN) } else { (STRANGERS_BYTES_MAX, STRANGERS_WITHIN) };
    match left.take() {
        // Who sends only when asked for it sees the refusal first; reading would ask.
        Some(rest) if !waits_to_be_asked || rest.is_begun => {
            let _gave_up = tokio::time::timeout(within, read(rest.chunks, most)).await;
        }
        _ => {}
    }
    response
}

async fn read(mut chunks: BodyDataStream, most: usize) {
    let mut left = most;
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(PAUSE_MAX, chunks.next()).await {
        left = left.saturating_sub(Bytes::len(&chunk));
        if left == 0 {
            return;
        }
    }
}

/// What is left of a body, once whoever read it let go of it.
#[derive(Debug, Clone, Default)]
struct Unread(Arc<Mutex<Option<Rest>>>);

#[derive(Debug)]
struct Rest {
    chunks: BodyDataStream,
    /// Some of it was asked for.
    is_begun: bool,
}

impl Unread {
    fn take(&self) -> Option<Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The same body; what is left of it when it is dropped is kept.
fn kept(body: Body, unread: Unread) -> Body {
    let rest = Some(Rest { chunks: body.into_data_stream(), is_begun: false });
    Body::from_stream(stream::unfold(Reading { rest, unread }, |mut reading| async move {
        let rest = reading.rest.as_mut()?;
        rest.is_begun = true;
        let next = rest.chunks.next().await;
        if next.is_none() {
            reading.rest = None;
        }
        next.map(|chunk| (chunk, reading))
    }))
}

struct Reading {
    /// None: it was read to its end.
    rest: Option<Rest>,
    unread: Unread,
}

impl Drop for Reading {
    fn drop(&mut self) {
        *self.unread.0.lock().unwrap_or_else(PoisonError::into_inner) = self.rest.take();
    }
}
