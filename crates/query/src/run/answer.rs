//! The rows on their way out.
//!
//! A task on the engine's threads computes and sends through a channel of a few batches: a slow client slows the
//! query, and dropping the stream ends it at once, with its memory and its place. Where what waits for the client takes
//! more than a little, the place is held until it was read, or the statement's time is up: then it is taken back. So what waits
//! is bounded by the places.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result,
    error::DataFusionError,
    execution::{RecordBatchStream, SendableRecordBatchStream},
};
use futures::{Stream, StreamExt};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Sleep, sleep_until, timeout_at},
};
use tracing::Instrument as _;

use super::{log::Noted, threads::panicked};
use crate::{Error, metrics::Metrics, plan::shape};

/// How much longer than its time a statement may take to say itself that it is late. It may be at something that looks up
/// too seldom.
const GRACE: Duration = Duration::from_millis(500);
/// Batches that may wait for the client.
const BATCHES_WAITING: usize = 2;

/// Bytes that may wait for the client without a place, and for as long as it likes.
const LITTLE_BYTES: usize = 64 << 10;

/// A batch on its way: whoever is first takes it, the client, or the task when the time is up.
#[derive(Clone)]
struct OnItsWay(Arc<Mutex<Option<Result<RecordBatch>>>>);

impl OnItsWay {
    fn of(batch: Result<RecordBatch>) -> Self {
        Self(Arc::new(Mutex::new(Some(batch))))
    }

    fn take(&self) -> Option<Result<RecordBatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn bytes(&self) -> usize {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.as_ref().and_then(|batch| batch.as_ref().ok()).map_or(0, RecordBatch::get_array_memory_size)
    }
}

/// The batches that were sent last: as many as may wait.
#[derive(Default)]
struct Sent(VecDeque<OnItsWay>);

impl Sent {
    fn note(&mut self, batch: OnItsWay) {
        if self.0.len() > BATCHES_WAITING {
            self.0.pop_front();
        }
        self.0.push_back(batch);
    }

    fn is_little(&self) -> bool {
        self.0.iter().map(OnItsWay::bytes).sum::<usize>() <= LITTLE_BYTES
    }

    fn take_back(&self) {
        self.0.iter().for_each(|batch| drop(batch.take()));
    }
}

/// What the task of an answer needs.
pub(crate) struct Running<G> {
    /// The columns told.
    pub(crate) columns: SchemaRef,
    /// The engine's rows.
    pub(crate) rows: SendableRecordBatchStream,
    /// When the statement must have ended.
    pub(crate) deadline: Instant,
    /// How many seconds that was from its beginning.
    pub(crate) timeout_s: u64,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where it is noted.
    pub(crate) noted: Arc<Noted>,
    /// What is given back at the end: the place.
    pub(crate) held: G,
}

/// Starts the task and answers its rows.
pub(crate) fn stream<G: Send + 'static>(running: Running<G>, threads: &Handle) -> SendableRecordBatchStream {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let (columns, metrics) = (Arc::clone(&running.columns), Arc::clone(&running.metrics));
    let late = (Box::pin(sleep_until(running.deadline + GRACE)), running.timeout_s);
    let noted = Arc::clone(&running.noted);
    let mut task = JoinSet::new();
    task.spawn_on(pump(running, sender).instrument(tracing::info_span!("run")), threads);
    Box::pin(AnswerStream { columns, metrics, noted, receiver, task, late, ended: false })
}

async fn pump<G>(running: Running<G>, sender: mpsc::Sender<OnItsWay>) {
    let Running { columns, mut rows, deadline, timeout_s, metrics, noted, held } = running;
    let (started, mut sent) = (Instant::now(), Sent::default());
    let ended = timeout_at(deadline, async {
        while let Some(batch) = rows.next().await {
            let batch = batch.and_then(|batch| shape::stamp(&batch, &columns));
            let told = batch.as_ref().map_or(0, RecordBatch::num_rows);
            metrics.answered(told);
            noted.told(told);
            let outcome = batch.as_ref().map_or_else(|e| Error::code_of(e), |_| "ok");
            let failed = batch.is_err();
            let batch = OnItsWay::of(batch);
            sent.note(batch.clone());
            if sender.send(batch).await.is_err() {
                return "cancelled";
            }
            if failed {
                return outcome;
            }
        }
        "ok"
    })
    .await;
    drop(rows);
    metrics.phase("run", started.elapsed());
    let (is_late, outcome) = (ended.is_err(), ended.unwrap_or("timed_out"));
    if noted.ended(outcome) {
        metrics.ended(outcome);
    }
    let is_little = sent.is_little();
    // Room for all that may wait: nothing does.
    let is_read = is_little || timeout_at(deadline, sender.reserve_many(BATCHES_WAITING)).await.is_ok();
    if !is_read {
        sent.take_back();
    }
    drop((held, sent));
    if is_late {
        let _gone = sender.send(OnItsWay::of(Err(late(timeout_s)))).await;
    }
}

fn late(timeout_s: u64) -> DataFusionError {
    DataFusionError::External(Box::new(Error::TimedOut(timeout_s)))
}

struct AnswerStream {
    columns: SchemaRef,
    metrics: Arc<Metrics>,
    noted: Arc<Noted>,
    receiver: mpsc::Receiver<OnItsWay>,
    task: JoinSet<()>,
    /// When nothing more is waited for, and how many seconds that was from the beginning.
    late: (Pin<Box<Sleep>>, u64),
    ended: bool,
}

impl Stream for AnswerStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.receiver.poll_recv(context) {
            Poll::Pending if self.late.0.as_mut().poll(context).is_ready() => {
                self.ended = true;
                self.task.abort_all();
                if self.noted.ended("timed_out") {
                    self.metrics.ended("timed_out");
                }
                Poll::Ready(Some(Err(late(self.late.1))))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(waiting)) => {
                let batch = waiting.take().unwrap_or_else(|| Err(late(self.late.1)));
                self.ended = batch.is_err();
                Poll::Ready(Some(batch))
            }
            Poll::Ready(None) => match self.task.poll_join_next(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(joined) => {
                    self.ended = true;
                    let panicked = joined.is_some_and(|joined| joined.is_err_and(|e| e.is_panic()));
                    if panicked {
                        self.metrics.ended("internal");
                    }
                    Poll::Ready(panicked.then(|| Err(DataFusionError::External(Box::new(self::panicked())))))
                }
            },
        }
    }
}

impl RecordBatchStream for AnswerStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.cancelled();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroUsize,
        sync::atomic::{AtomicBool, Ordering},
    };

    use arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    };
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use tidemark_model::{Instant as SystemTime, Principal, clock::ManualClock};

    use super::*;
    use crate::run::{log::Log, threads::Threads};

    /// Rows that are computed without ever looking up, until the flag says so.
    fn stuck(columns: &SchemaRef, goes_on: Arc<AtomicBool>) -> SendableRecordBatchStream {
        let rows = futures::stream::poll_fn(move |_| {
            while !goes_on.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Poll::Ready(None)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(columns), rows))
    }

    /// One batch of so many rows, until so many milliseconds from now, and whether its place was given back.
    async fn answered(rows: i64, time_ms: u64) -> (SendableRecordBatchStream, Arc<AtomicBool>, Threads) {
        let threads = Threads::start(NonZeroUsize::MIN).expect("starts");
        let columns = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let numbers = Arc::new(Int64Array::from_iter_values(0..rows)) as _;
        let batch = RecordBatch::try_new(Arc::clone(&columns), vec![numbers]).expect("a batch");
        let rows = futures::stream::iter([Ok(batch)]);
        let is_free = Arc::new(AtomicBool::new(false));
        let metrics = Arc::new(Metrics::register(&prometheus::Registry::new()).expect("registered"));
        let log = Log::new(Arc::new(ManualClock::at(SystemTime::from_micros(1 << 50))));
        let running = Running {
            rows: Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&columns), rows)),
            columns,
            deadline: Instant::now() + Duration::from_millis(time_ms),
            timeout_s: 7,
            metrics,
            noted: Arc::new(log.begin(&Principal::lake(), None, "SELECT 1")),
            held: Place(Arc::clone(&is_free)),
        };
        (stream(running, threads.handle().expect("runs")), is_free, threads)
    }

    struct Place(Arc<AtomicBool>);

    impl Drop for Place {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    async fn is_freed(is_free: &AtomicBool) {
        for _attempt in 0..10_000 {
            if is_free.load(Ordering::Acquire) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the place is still held");
    }

    #[tokio::test]
    async fn a_little_that_waits_holds_no_place_and_waits_on() {
        let (mut answer, is_free, _threads) = answered(10, 0).await;
        is_freed(&is_free).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(answer.next().await.expect("a batch").expect("rows").num_rows(), 10);
        assert!(answer.next().await.is_none());
    }

    #[tokio::test]
    async fn much_that_waits_holds_its_place_until_it_is_read() {
        let (mut answer, is_free, _threads) = answered(100_000, 60_000).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!is_free.load(Ordering::Acquire));
        assert_eq!(answer.next().await.expect("a batch").expect("rows").num_rows(), 100_000);
        assert!(answer.next().await.is_none());
        is_freed(&is_free).await;
    }

    #[tokio::test]
    async fn much_that_waits_is_taken_back_when_the_time_is_up() {
        let (mut answer, is_free, _threads) = answered(100_000, 20).await;
        is_freed(&is_free).await;
        let told = answer.next().await.expect("an error").map(|_| ()).map_err(Error::from);
        assert!(matches!(told, Err(Error::TimedOut(7))), "{told:?}");
        assert!(answer.next().await.is_none());
    }

    #[tokio::test]
    async fn a_statement_that_never_looks_up_is_late_all_the_same() {
        let threads = Threads::start(NonZeroUsize::MIN).expect("starts");
        let (columns, goes_on) = (Arc::new(Schema::empty()), Arc::new(AtomicBool::new(false)));
        let registry = prometheus::Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).expect("registered"));
        let log = Log::new(Arc::new(ManualClock::at(SystemTime::from_micros(1 << 50))));
        let running = Running {
            rows: stuck(&columns, Arc::clone(&goes_on)),
            columns,
            deadline: Instant::now(),
            timeout_s: 7,
            metrics,
            noted: Arc::new(log.begin(&Principal::lake(), None, "SELECT 1")),
            held: (),
        };
        let mut answer = stream(running, threads.handle().expect("runs"));
        let told = answer.next().await.expect("an error").map(|_| ()).map_err(Error::from);
        goes_on.store(true, Ordering::Release);
        assert!(matches!(told, Err(Error::TimedOut(7))), "{told:?}");
        assert!(answer.next().await.is_none(), "nothing comes behind it");
        // The only thread is free again once the statement's task has ended.
        threads.run(async { Ok(()) }).await.expect("goes on");
        let counted = registry.gather();
        let counted =
            counted.iter().find(|family| family.name() == "tidemark_query_statements_total").expect("counted");
        let outcomes: Vec<&str> = counted.get_metric().iter().map(|metric| metric.get_label()[0].value()).collect();
        assert_eq!(outcomes, ["timed_out"], "counted once, though its rows came to their end later");
    }
}
