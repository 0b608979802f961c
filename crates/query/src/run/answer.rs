//! The rows on their way out.
//!
//! A task on the engine's threads computes and sends through a channel of a few batches: a slow client slows the
//! query, and dropping the stream ends it at once, with its memory and its place.

use std::{
    pin::Pin,
    sync::Arc,
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

async fn pump<G>(running: Running<G>, sender: mpsc::Sender<Result<RecordBatch>>) {
    let Running { columns, mut rows, deadline, timeout_s, metrics, noted, held } = running;
    let started = Instant::now();
    let sent = timeout_at(deadline, async {
        while let Some(batch) = rows.next().await {
            let batch = batch.and_then(|batch| shape::stamp(&batch, &columns));
            let told = batch.as_ref().map_or(0, RecordBatch::num_rows);
            metrics.answered(told);
            noted.told(told);
            let outcome = batch.as_ref().map_or_else(|e| Error::code_of(e), |_| "ok");
            let failed = batch.is_err();
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
    drop((rows, held));
    metrics.phase("run", started.elapsed());
    if sent.is_err() {
        let _gone = sender.send(Err(DataFusionError::External(Box::new(Error::TimedOut(timeout_s))))).await;
    }
    let outcome = sent.unwrap_or("timed_out");
    if noted.ended(outcome) {
        metrics.ended(outcome);
    }
}

struct AnswerStream {
    columns: SchemaRef,
    metrics: Arc<Metrics>,
    noted: Arc<Noted>,
    receiver: mpsc::Receiver<Result<RecordBatch>>,
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
                Poll::Ready(Some(Err(DataFusionError::External(Box::new(Error::TimedOut(self.late.1))))))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(batch)) => {
                self.ended = batch.is_err();
                Poll::Ready(Some(batch))
            }
            Poll::Ready(None) => match self.task.poll_join_next(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(joined) => {
                    self.ended = true;
                    let panicked = joined.is_some_and(|joined| joined.is_err_and(|e| e.is_panic()));
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

    use arrow::datatypes::Schema;
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
