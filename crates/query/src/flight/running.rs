//! Streams that are on their way, by whose they are and by ticket, so that another connection of the same token can
//! cancel them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

type Tokens = HashMap<Bytes, Vec<(u64, CancellationToken)>>;

/// What a stream is listed under: the id of its principal, which holds no zero, and its ticket.
fn key(principal: &str, ticket: &[u8]) -> Bytes {
    [principal.as_bytes(), &[0], ticket].concat().into()
}

/// What is asked of a door and not yet answered to its end. As many as connections may have streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<(u64, Tokens)>>);

/// Takes a stream off the list when it ends or is dropped.
pub(crate) struct Place {
    running: Running,
    ticket: Bytes,
    number: u64,
    token: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(streams) = state.1.get_mut(&self.ticket) {
            streams.retain(|(number, _)| *number != self.number);
            if streams.is_empty() {
                state.1.remove(&self.ticket);
            }
        }
    }
}

impl Place {
    /// What comes of some work, unless it is cancelled first.
    pub(crate) async fn ends<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(cancelled()),
            done = work => done,
        }
    }

    /// Holds the place while a stream runs; cancelled, it ends with CANCELLED and is dropped.
    pub(crate) fn watch<T: Send + 'static>(
        self,
        stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
        stream::unfold(Some((self, stream.boxed())), |state| async move {
            let (place, mut stream) = state?;
            tokio::select! {
                biased;
                () = place.token.cancelled() => Some((Err(cancelled()), None)),
                item = stream.next() => item.map(|item| (item, Some((place, stream)))),
            }
        })
    }
}

fn cancelled() -> Status {
    Status::cancelled("the query was cancelled by its client")
}

impl Running {
    /// Lists what somebody asks under a ticket, from before it is planned until the place is dropped.
    pub(crate) fn enter(&self, principal: &str, ticket: &[u8]) -> Place {
        let ticket = key(principal, ticket);
        let token = CancellationToken::new();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let number = state.0;
        state.1.entry(ticket.clone()).or_default().push((number, token.clone()));
        Place { running: self.clone(), ticket, number, token }
    }

    /// Cancels what somebody runs under a ticket; tells whether something did.
    pub(crate) fn cancel(&self, principal: &str, ticket: &[u8]) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = state.1.get(&key(principal, ticket));
        streams.into_iter().flatten().for_each(|(_, token)| token.cancel());
        streams.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_can_be_cancelled_while_it_runs() {
        let running = Running::default();
        let ticket = b"t";
        let endless = || stream::iter([Ok(1)]).chain(stream::pending());
        let mut first = running.enter("a1", ticket).watch(endless()).boxed();
        let second = running.enter("a1", ticket).watch(endless()).boxed();
        assert_eq!(first.next().await.unwrap().unwrap(), 1);
        drop(second);
        assert!(!running.cancel("a1", b"u"));
        assert!(!running.cancel("b2", ticket));
        assert!(running.cancel("a1", ticket));
        assert_eq!(first.next().await.unwrap().unwrap_err().code(), tonic::Code::Cancelled);
        assert!(first.next().await.is_none());
        assert!(!running.cancel("a1", ticket));
        let ended: Vec<Result<i32, Status>> = running.enter("a1", ticket).watch(stream::iter([Ok(1)])).collect().await;
        assert_eq!(ended.len(), 1);
        assert!(!running.cancel("a1", ticket));
        // While it waits for its turn, or is planned.
        let place = running.enter("a1", ticket);
        let waiting = place.ends(std::future::pending::<Result<(), Status>>());
        assert!(running.cancel("a1", ticket));
        assert_eq!(waiting.await.unwrap_err().code(), tonic::Code::Cancelled);
    }
}
