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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{
        Router,
        http::{HeaderValue, StatusCode},
        middleware,
        routing::post,
    };
    use tower::ServiceExt as _;

    use super::*;

    /// Pieces of a body, bytes.
    const PIECE: usize = 64 << 10;

    /// How many bytes are asked for of one who sends so many, and then says nothing more or ends, where the door refuses.
    async fn asked_for(bytes: usize, ends: bool, is_known: bool, change: impl FnOnce(&mut Request)) -> usize {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let pieces = stream::iter(0..bytes / PIECE).map(move |_| {
            counted.fetch_add(PIECE, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; PIECE]))
        });
        let body = if ends { Body::from_stream(pieces) } else { Body::from_stream(pieces.chain(stream::pending())) };
        let refuse = move |_request: Request| async move {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            if is_known {
                response.extensions_mut().insert(LetOn);
            }
            response
        };
        let mut request = Request::post("/").body(body).unwrap();
        change(&mut request);
        let door = Router::new().route("/", post(refuse)).layer(middleware::from_fn(discard));
        assert_eq!(door.oneshot(request).await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        asked.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn what_a_refused_request_sends_is_read_up_to_a_limit() {
        let same = |_request: &mut Request| {};
        assert_eq!(asked_for(8 << 20, true, true, same).await, 8 << 20);
        assert_eq!(asked_for(80 << 20, true, true, same).await, BYTES_MAX);
        assert_eq!(asked_for(8 << 20, true, false, same).await, STRANGERS_BYTES_MAX);
        // Who stops to send gets the answer before the time is over.
        let stops = tokio::time::timeout(WITHIN / 2, asked_for(PIECE, false, true, same)).await;
        assert_eq!(stops.expect("an answer"), PIECE);
    }

    #[tokio::test]
    async fn nothing_is_asked_for_where_the_answer_is_seen_anyhow() {
        let expects = |request: &mut Request| {
            request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        };
        assert_eq!(asked_for(8 << 20, true, true, expects).await, 0);
        assert_eq!(asked_for(8 << 20, true, true, |request| *request.version_mut() = Version::HTTP_2).await, 0);
    }
}
