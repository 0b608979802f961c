//! The room's background work: one loop that flushes what is due, and the end of it all.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant as Stopwatch},
};

use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{error::Error, front::Ingest};

/// How often the loop looks whether a flush is due.
const TICK: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The first pause after a last flush that failed.
const LAST_PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long a last flush that failed is tried again: nobody comes after it until the next start, which replays the log.
const LAST_TRIED_FOR: Duration = Duration::from_secs(10);

/// Owns the loops; the server drains them at the end.
#[derive(Debug)]
pub struct Tasks {
    ingest: Ingest,
    /// Stops the loops also when this is dropped without a drain.
    stop: DropGuard,
    flushing: JoinHandle<Result<(), Error>>,
}

impl Tasks {
    pub(crate) fn begin(ingest: Ingest) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let flushing = tracker.spawn(flush_loop(ingest.clone(), stop.clone()));
        Self { ingest, stop: stop.drop_guard(), flushing }
    }

    /// Ends with the error after which the process must end: the log failed, or another owner has taken over. The server
    /// waits for it beside its other reasons to stop.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            error = self.ingest.log_failed() => Error::Log(error),
            ended = &mut self.flushing => match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => std::future::pending().await,
                Err(ended) => Error::Internal(format!("the flushing task ended early: {ended}")),
            },
        }
    }

    /// Refuses new requests, waits for those that passed the door, moves everything acknowledged into files and closes
    /// the log.
    ///
    /// # Errors
    /// [`Error`] when something could not be moved; it is still in the log.
    pub async fn drain(self) -> Result<(), Error> {
        let Self { ingest, stop, flushing } = self;
        let room = &ingest.room;
        room.is_draining.store(true, Ordering::Release);
        room.requests.close();
        room.requests.wait().await;
        drop(stop);
        if !flushing.is_finished() {
            let _ended = flushing.await;
        }
        let flushed = last_flush(&ingest).await;
        room.log.shut_down().await;
        flushed
    }
}

async fn last_flush(ingest: &Ingest) -> Result<(), Error> {
    let (begun, mut pause) = (Stopwatch::now(), LAST_PAUSE_MIN);
    loop {
        match ingest.flush_all().await {
            Err(error) if !error.is_fatal() && begun.elapsed() < LAST_TRIED_FOR => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last flush failed; it is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
}

async fn flush_loop(ingest: Ingest, stop: CancellationToken) -> Result<(), Error> {
    let mut pause = TICK;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = ingest.room.visible.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = match ingest.room.tick().await {
            Ok(()) => TICK,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flush failed; it will be tried again");
                (pause * 2).min(PAUSE_MAX)
            }
        };
        if pause > TICK {
            // Rings do not shorten the pause after a failure.
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
