//! A stream of batches: read ahead within its credit, appended one after the other, answered cumulatively.
//!
//! One owner does it all, driven by whoever reads the replies: a client that does not read them is not read from either.
//! An append that has begun goes on without it. What is wrong with a batch is told in a `Result`, and the stream goes on;
//! what is wrong with the server or the producer ends it with a status. Under pressure a batch waits before it is refused.

use std::{
    collections::VecDeque,
    time::{Duration, Instant as Stopwatch},
};

use futures::{FutureExt, Stream, future::BoxFuture, stream};
use tidemark_model::Principal;
use tidemark_proto::v1::{
    AppendStreamRequest, AppendStreamResponse, Batch, GoAway, Open, Progress, Ready, Records, Result as Told, Window,
    append_stream_request::Message as Asked, append_stream_response::Message as Reply,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tonic::{Status, Streaming};

use super::{
    message::{self, Destination},
    observe, status,
};
use crate::{
    append::{PATIENCE, PAUSE},
    budget::Reservation,
    door,
    error::Error,
    front::Ingest,
    receipt::Receipt,
    request::Sequenced,
};

/// Batches that are read and not settled, at most, besides their bytes.
const BATCHES_MAX: usize = 64;

/// Where the stream's batches go, and whose they are.
#[derive(Debug, Clone)]
struct Opened {
    to: Destination,
    by: Principal,
    /// Id and epoch.
    producer: Option<(String, u64)>,
}

/// A batch that was read.
#[derive(Debug)]
struct Waiting {
    sequence: u64,
    records: Option<Records>,
    bytes: usize,
    place: Reservation,
}

/// What came of the work that is under way.
enum Done {
    Opened(Result<u64, Error>),
    Batch { sequence: u64, bytes: usize, outcome: Result<Receipt, Error> },
}

/// The stream; see the module.
pub(super) struct Appending {
    ingest: Ingest,
    by: Principal,
    messages: Streaming<AppendStreamRequest>,
    opened: Option<Opened>,
    waiting: VecDeque<Waiting>,
    /// Nothing is read meanwhile.
    placeless: Option<Placeless>,
    /// Bytes that were read and are not settled.
    bytes: usize,
    running: Option<BoxFuture<'static, Done>>,
    replies: VecDeque<Reply>,
    received: u64,
    durable: u64,
    leaving: watch::Receiver<Option<Duration>>,
    /// When it is ended, once the client was told to go.
    ends_at: Option<Instant>,
    /// How it ends when everything that was read is settled; nothing more is read then.
    end: Option<Result<(), Status>>,
}

/// A batch that finds no place among bodies; those that wait so have a small budget of their own.
struct Placeless {
    batch: Batch,
    waits: Reservation,
    since: Stopwatch,
}

impl Appending {
    pub(super) fn new(ingest: Ingest, by: Principal, messages: Streaming<AppendStreamRequest>) -> Self {
        let leaving = ingest.room.leaving.subscribe();
        Self {
            ingest,
            by,
            messages,
            opened: None,
            waiting: VecDeque::new(),
            placeless: None,
            bytes: 0,
            running: None,
            replies: VecDeque::new(),
            received: 0,
            durable: 0,
            leaving,
            ends_at: None,
            end: None,
        }
    }

    /// What is answered.
    pub(super) fn replies(self) -> impl Stream<Item = Result<AppendStreamResponse, Status>> + Send {
        stream::unfold(Some(self), |appending| async {
            let mut appending = appending?;
            match appending.next().await {
                Ok(Some(reply)) => Some((Ok(AppendStreamResponse { message: Some(reply) }), Some(appending))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Reply>, Status> {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(Some(reply));
            }
            self.begin_next();
            if self.running.is_none()
                && let Some(end) = self.end.take()
            {
                return end.map(|()| None);
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let waits = self.placeless.is_some();
        let reads = self.end.is_none() && !waits && self.has_room();
        let (is_told, is_over) = (self.ends_at.is_some(), self.end.is_some());
        let ends_at = self.ends_at.unwrap_or_else(Instant::now);
        tokio::select! {
            message = self.messages.message(), if reads => self.take(message),
            Some(done) = running(&mut self.running) => self.settle(done),
            within = told(&mut self.leaving), if !is_told => self.go_away(within),
            () = sleep(PAUSE), if waits => if let Err(error) = self.find_place() {
                self.fail(error);
            },
            () = sleep_until(ends_at), if is_told && !is_over => self.end = Some(Err(status::of(Error::Draining))),
        }
    }

    fn has_room(&self) -> bool {
        self.bytes < self.window() && self.waiting.len() < BATCHES_MAX
    }

    /// The credit of a stream: the largest batch fits.
    fn window(&self) -> usize {
        self.ingest.room.config.body_bytes_max
    }

    fn take(&mut self, message: Result<Option<AppendStreamRequest>, Status>) {
        let message = match message {
            Ok(None) => return self.end = Some(Ok(())),
            Ok(Some(message)) => message.message,
            Err(status) => {
                self.waiting.clear();
                return self.end = Some(Err(status));
            }
        };
        let taken = match message {
            Some(Asked::Open(open)) => self.open(open),
            Some(Asked::Batch(batch)) => self.queue(batch),
            None => Err(misuse("a message that is neither Open nor Batch")),
        };
        if let Err(error) = taken {
            self.end = Some(Err(status::of(error)));
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Error> {
        if self.opened.is_some() {
            return Err(misuse("a second Open"));
        }
        let to = Destination::of(open.target)?;
        self.ingest.admit(&self.by, &to.namespace)?;
        let producer = open.producer.map(|producer| (producer.id, producer.epoch));
        let opened = Opened { to, by: self.by.clone(), producer };
        self.running = Some(begin(self.ingest.clone(), opened.clone()).boxed());
        self.opened = Some(opened);
        Ok(())
    }

    fn queue(&mut self, batch: Batch) -> Result<(), Error> {
        let opened = self.opened.as_ref().ok_or_else(|| misuse("a Batch before Open"))?;
        if opened.producer.is_none() && batch.sequence != self.received + 1 {
            return Err(misuse("a sequence that is not the one after the batch before it"));
        }
        self.received = batch.sequence;
        let bytes = batch.records.as_ref().map_or(0, |records| message::content(records).len());
        let room = &self.ingest.room;
        match room.bodies.reserve(bytes) {
            Some(place) => self.wait(batch, place),
            None => {
                let waits = room.placeless.reserve(bytes).ok_or_else(|| door::crowded(room.bodies.max()))?;
                self.placeless = Some(Placeless { batch, waits, since: Stopwatch::now() });
            }
        }
        Ok(())
    }

    /// Finds a place for the batch that has none; it waits as long as patience lasts.
    fn find_place(&mut self) -> Result<(), Error> {
        let Some(placeless) = self.placeless.take() else { return Ok(()) };
        let bodies = &self.ingest.room.bodies;
        match bodies.reserve(placeless.waits.bytes()) {
            Some(place) => self.wait(placeless.batch, place),
            None if placeless.since.elapsed() < PATIENCE => self.placeless = Some(placeless),
            None => return Err(door::crowded(bodies.max())),
        }
        Ok(())
    }

    /// Puts a batch behind the others.
    fn wait(&mut self, Batch { sequence, records, .. }: Batch, place: Reservation) {
        let bytes = place.bytes();
        self.bytes += bytes;
        self.waiting.push_back(Waiting { sequence, records, bytes, place });
    }

    /// Begins with the next batch if nothing is under way.
    fn begin_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(opened) = &self.opened else { return };
        let Some(batch) = self.waiting.pop_front() else { return };
        self.running = Some(append(self.ingest.clone(), opened.clone(), batch).boxed());
    }

    fn settle(&mut self, done: Done) {
        let (sequence, bytes, outcome) = match done {
            Done::Opened(Ok(durable)) => {
                (self.received, self.durable) = (self.received.max(durable), durable);
                let window = Window { bytes: self.window() as u64 };
                let batch_bytes_max = window.bytes;
                return self.replies.push_back(Reply::Ready(Ready { durable, window: Some(window), batch_bytes_max }));
            }
            Done::Opened(Err(error)) => return self.fail(error),
            Done::Batch { sequence, bytes, outcome } => (sequence, bytes, outcome),
        };
        self.bytes -= bytes;
        match outcome {
            Ok(receipt) => {
                self.durable = self.durable.max(sequence);
                if receipt.duplicate || receipt.duplicates > 0 || receipt.rejected > 0 {
                    let receipt = Some(message::receipt(receipt));
                    self.replies.push_back(Reply::Result(Told { sequence, receipt, refusal: None }));
                }
            }
            Err(error) if status::is_of_batch(&error) => {
                if self.opened.as_ref().is_some_and(|opened| opened.producer.is_none()) {
                    // Nobody sends it again under this number.
                    self.durable = self.durable.max(sequence);
                }
                let refusal = Some(status::refusal(error));
                self.replies.push_back(Reply::Result(Told { sequence, receipt: None, refusal }));
            }
            Err(error) => return self.fail(error),
        }
        self.replies.push_back(Reply::Progress(Progress { received: self.received, durable: self.durable }));
        if bytes > 0 {
            self.replies.push_back(Reply::Window(Window { bytes: bytes as u64 }));
        }
    }

    /// Ends with an error; what waits is not stored.
    fn fail(&mut self, error: Error) {
        self.waiting.clear();
        self.end = Some(Err(status::of(error)));
    }

    fn go_away(&mut self, within: Duration) {
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        self.replies.push_back(Reply::GoAway(GoAway { within_ms }));
        self.ends_at = Some(Instant::now() + within);
    }
}

fn misuse(what: &str) -> Error {
    let allowed = "a stream is one Open, then batches with a sequence each";
    Error::Parameter { what: "stream", value: what.to_owned(), allowed }
}

/// What is under way, once it is done; none when nothing is.
async fn running(work: &mut Option<BoxFuture<'static, Done>>) -> Option<Done> {
    let done = work.as_mut()?.await;
    *work = None;
    Some(done)
}

/// Within which time the stream is ended, when that is known.
async fn told(leaving: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let within = leaving.wait_for(Option::is_some).await.map(|within| within.unwrap_or_default());
    match within {
        Ok(within) => within,
        Err(_gone) => std::future::pending().await,
    }
}

async fn begin(ingest: Ingest, opened: Opened) -> Done {
    let Some((id, epoch)) = opened.producer else { return Done::Opened(Ok(0)) };
    let began = ingest.open_producer(&opened.to.namespace, &id, epoch).await;
    Done::Opened(began.map(|standing| standing.durable))
}

/// Appends a batch; waits while a cap is reached, as long as patience lasts.
async fn append(ingest: Ingest, opened: Opened, batch: Waiting) -> Done {
    let Waiting { sequence, records, bytes, place } = batch;
    let (begun, mut place) = (Stopwatch::now(), Some(place));
    let outcome = loop {
        let outcome = attempt(&ingest, &opened, (sequence, records.clone()), place.take()).await;
        match &outcome {
            Err(Error::Pressure { .. }) if begun.elapsed() < PATIENCE => sleep(PAUSE).await,
            _ => break outcome,
        }
    };
    observe(&ingest, &outcome, begun);
    Done::Batch { sequence, bytes, outcome }
}

async fn attempt(
    ingest: &Ingest,
    opened: &Opened,
    (sequence, records): (u64, Option<Records>),
    place: Option<Reservation>,
) -> Result<Receipt, Error> {
    let to = &opened.to;
    let request = records.map(|records| message::batch(records, &ingest.room, place)).transpose()?;
    let request = request.map(|batch| to.request(batch).sent_by(&opened.by));
    match (&opened.producer, request) {
        (Some((id, epoch)), request) => {
            let at = Sequenced { id: id.clone(), epoch: *epoch, sequence };
            ingest.append_sequenced(&to.namespace, at, request).await
        }
        (None, Some(request)) => ingest.append(&to.namespace, request).await,
        (None, None) => Err(misuse("a batch without records, and no producer whose sequence it passes over")),
    }
}
