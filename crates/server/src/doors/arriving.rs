//! Messages of gRPC on their way in. They are put together before any room sees them, so what has come of those that are
//! not whole yet takes its place here, and may pause no longer than a body of HTTP. Between two messages a stream is
//! still for as long as it likes: there the pings of HTTP/2 find out whether the peer is alive.

use std::{sync::Arc, time::Duration};

use axum::{
    BoxError,
    body::{Body, BodyDataStream, Bytes},
};
use futures::{StreamExt as _, stream};
use prometheus::IntCounter;
use tidemark_model::Kind;
use tidemark_proto::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

/// Bytes in front of every message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The bytes of all messages that are not whole yet, and how many there may be. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Unfinished {
    free: Arc<Semaphore>,
    max: usize,
    refused: IntCounter,
}

impl Unfinished {
    /// So many bytes at once; what did not fit is counted.
    #[must_use]
    pub fn new(max: usize, refused: IntCounter) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(max)), max, refused }
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BoxError> {
        let permits = u32::try_from(bytes).ok();
        let taken = permits.and_then(|permits| Arc::clone(&self.free).try_acquire_many_owned(permits).ok());
        taken.ok_or_else(|| {
            self.refused.inc();
            let detail = format!(
                "the bytes of messages that are not whole yet reached their limit of {}: try again later",
                self.max
            );
            let problem = Problem::new(Kind::TooMany, "back_pressure", detail);
            tidemark_proto::status::of(&problem, Code::ResourceExhausted).into()
        })
    }
}

/// The same body, within `unfinished`, giving up a message that pauses for longer than `pause_max`.
pub(super) fn bounded(body: Body, unfinished: Unfinished, pause_max: Duration) -> Body {
    let chunks = body.into_data_stream();
    let arriving = Arriving { chunks, frame: Frame::default(), place: None, unfinished, pause_max };
    Body::from_stream(stream::try_unfold(arriving, |mut arriving| async move {
        let chunk = arriving.next().await?;
        Ok::<_, BoxError>(chunk.map(|chunk| (chunk, arriving)))
    }))
}

struct Arriving {
    chunks: BodyDataStream,
    frame: Frame,
    /// Of what has come of a message that is not whole.
    place: Option<OwnedSemaphorePermit>,
    unfinished: Unfinished,
    pause_max: Duration,
}

impl Arriving {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let chunk = if self.frame.has_begun() {
            let next = tokio::time::timeout(self.pause_max, self.chunks.next()).await;
            next.map_err(|_elapsed| paused(self.pause_max))?
        } else {
            self.chunks.next().await
        };
        let Some(chunk) = chunk.transpose().map_err(axum::Error::into_inner)? else { return Ok(None) };
        self.frame.pass(&chunk);
        self.hold(self.frame.held)?;
        Ok(Some(chunk))
    }

    /// Has a place for so many bytes from now on.
    fn hold(&mut self, bytes: usize) -> Result<(), BoxError> {
        let has = self.place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        match (bytes.checked_sub(has), &mut self.place) {
            (Some(more), Some(place)) => place.merge(self.unfinished.take(more)?),
            (Some(more), none) => *none = Some(self.unfinished.take(more)?),
            // The rest, or the message, is whole.
            (None, place) => *place = place.take().and_then(|mut place| place.split(bytes)),
        }
        Ok(())
    }
}

fn paused(pause_max: Duration) -> BoxError {
    let detail = format!("a message paused for more than {} ms before it was whole", pause_max.as_millis());
    tidemark_proto::status::of(&Problem::new(Kind::Invalid, "body_paused", detail), Code::DeadlineExceeded).into()
}

/// Where a body stands within its messages: a head tells how many bytes follow it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    head: [u8; HEAD_BYTES],
    /// Of the head that have come; 0 between two messages.
    head_has: usize,
    /// Of the message that have come.
    held: usize,
}

impl Frame {
    const fn has_begun(&self) -> bool {
        self.head_has > 0
    }

    fn pass(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let taken = chunk.len().min(HEAD_BYTES - self.head_has);
            self.head[self.head_has..self.head_has + taken].copy_from_slice(&chunk[..taken]);
            self.head_has += taken;
            chunk = &chunk[taken..];
            if self.head_has < HEAD_BYTES {
                return;
            }
            let taken = chunk.len().min(self.length() - self.held);
            self.held += taken;
            chunk = &chunk[taken..];
            if self.held == self.length() {
                *self = Self::default();
            }
        }
    }

    fn length(&self) -> usize {
        let [_compressed, length @ ..] = self.head;
        u32::from_be_bytes(length) as usize
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let head = [&[0][..], &u32::try_from(length).expect("short").to_be_bytes()].concat();
        [head, vec![7; length]].concat()
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let three = [message(3), message(0), message(300)].concat();
        let begins = [0, 3 + HEAD_BYTES, 3 + 2 * HEAD_BYTES];
        for width in 1..three.len() {
            let (mut frame, mut passed) = (Frame::default(), 0);
            for chunk in three.chunks(width) {
                frame.pass(chunk);
                passed += chunk.len();
                let begun = begins.into_iter().filter(|begin| *begin < passed).max().expect("the first");
                let is_whole = passed == three.len() || begins.contains(&passed);
                let held = if is_whole { 0 } else { (passed - begun).saturating_sub(HEAD_BYTES) };
                assert_eq!((frame.has_begun(), frame.held), (!is_whole, held), "{passed} in steps of {width}");
            }
        }
    }

    fn unfinished(max: usize) -> Unfinished {
        Unfinished::new(max, IntCounter::new("refused", "for tests").expect("a counter"))
    }

    async fn read(body: &mut BodyDataStream) -> Result<usize, Status> {
        let chunk = body.next().await.expect("more").map_err(|error| Status::from_error(error.into_inner()))?;
        Ok(chunk.len())
    }

    /// A body whose chunks come as they are sent.
    fn sent(
        unfinished: &Unfinished,
        pause_max: Duration,
    ) -> (futures::channel::mpsc::UnboundedSender<Vec<u8>>, BodyDataStream) {
        let (sender, chunks) = futures::channel::mpsc::unbounded();
        let body = Body::from_stream(chunks.map(Ok::<_, std::io::Error>));
        (sender, bounded(body, unfinished.clone(), pause_max).into_data_stream())
    }

    #[tokio::test]
    async fn messages_that_are_not_whole_have_a_bound_together() {
        let (unfinished, calm) = (unfinished(100), Duration::from_secs(600));
        let ((one, mut first), (other, mut second)) = (sent(&unfinished, calm), sent(&unfinished, calm));
        let whole = message(80);
        one.unbounded_send(whole[..65].to_vec()).expect("sent");
        assert_eq!(read(&mut first).await.ok(), Some(65), "60 of 80 bytes are held");
        other.unbounded_send(whole[..46].to_vec()).expect("sent");
        let refused = read(&mut second).await.expect_err("41 more do not fit");
        assert_eq!((refused.code(), unfinished.refused.get()), (Code::ResourceExhausted, 1), "{refused}");
        drop((other, second));
        one.unbounded_send(whole[65..].to_vec()).expect("sent");
        assert_eq!(read(&mut first).await.ok(), Some(20));
        assert_eq!(unfinished.free.available_permits(), 100, "a whole message is the room's to count");
        one.unbounded_send(whole[..25].to_vec()).expect("sent");
        assert_eq!((read(&mut first).await.ok(), unfinished.free.available_permits()), (Some(25), 80));
        drop(first);
        assert_eq!(unfinished.free.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_message_may_not_pause_and_a_stream_may() {
        let (unfinished, pause_max) = (unfinished(100), Duration::from_millis(20));
        let (sender, mut body) = sent(&unfinished, pause_max);
        let still = tokio::time::timeout(5 * pause_max, body.next()).await;
        assert!(still.is_err(), "nothing has begun: nothing is given up");
        sender.unbounded_send(message(10)[..8].to_vec()).expect("sent");
        assert_eq!(read(&mut body).await.ok(), Some(8));
        let given_up = read(&mut body).await.expect_err("it paused");
        assert_eq!(given_up.code(), Code::DeadlineExceeded, "{given_up}");
        assert!(given_up.message().contains("20 ms"), "{given_up}");
    }
}
