//! Background jobs: a table of who ticks how often, and the one runner that ticks them.
//!
//! A tick does a bounded piece of work and says whether there is more. The runner waits an interval with jitter
//! between ticks (or less, when the job's bell rings), backs off after failures, and stops between ticks; what is under
//! way is finished first.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tidemark_catalog::{Bell, CatalogError, Jobs, Publisher, Tokens, jobs::JobState, publish};
use tidemark_cdc::{Cdc, Duty, More};
use tidemark_ingest::Ingest;
use tidemark_model::{Clock, Ids};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    administration::Administration,
    metrics::{self, Metrics},
};

/// The longest pause after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What a tick left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing to do until the next interval.
    Nothing,
    /// There is more: tick again at once.
    More,
}

/// How a tick failed; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// Worth another try.
    Again(String),
    /// The process must end: another one owns the lake.
    ForGood(String),
}

/// One tick of a job.
pub type Tick = Arc<dyn Fn() -> BoxFuture<'static, Result<Left, Failed>> + Send + Sync>;

/// The jobs of a process.
#[must_use]
pub fn jobs(administration: &Administration, publisher: &Publisher, tokens: &Tokens) -> Vec<Job> {
    let Administration { ingest, cdc, .. } = administration;
    let rest = Duration::from_millis(cdc.config().interval_ms);
    let every = |name, seconds, tick| {
        let interval = Duration::from_secs(seconds);
        Job { name, interval, jitter: interval / 4, bell: None, tick }
    };
    let past = |duty| cdc_tick(cdc, What::Upkeep(duty));
    let events = |duty| events_tick(ingest, duty);
    let changes = cdc_tick(cdc, What::Changes);
    // Looks more often than it publishes: each table keeps its own interval.
    let looks = Duration::from_secs(publisher.config().interval_s.clamp(1, 40)) / 4;
    let publish = publish_tick(publisher);
    vec![
        // Changes become deltas, deltas become states: at every ring, and now and then.
        Job { name: "cdc", interval: rest, jitter: rest / 4, bell: Some(ingest.bell()), tick: changes },
        // Other engines get to see what changed.
        Job { name: "publish", interval: looks, jitter: looks / 4, bell: None, tick: publish },
        // name, seconds of rest, what is done
        every("snapshots", 60, past(Duty::Snapshots)),
        every("checkpoints", 15, past(Duty::Checkpoints)),
        every("roll-up", 30, past(Duty::RollUp)),
        every("retention", 600, past(Duty::Retention)),
        every("clean-up", 600, past(Duty::CleanUp)),
        every("compaction", 60, events(tidemark_ingest::Duty::Compaction)),
        every("events clean-up", 600, events(tidemark_ingest::Duty::CleanUp)),
        every("erasure", 10, erasure_tick(administration)),
        every("token uses", 600, tokens_tick(tokens)),
    ]
}

/// What a tick of the change room is for.
#[derive(Debug, Clone, Copy)]
enum What {
    Changes,
    Upkeep(Duty),
}

fn cdc_tick(cdc: &Cdc, what: What) -> Tick {
    let cdc = cdc.clone();
    Arc::new(move || {
        let cdc = cdc.clone();
        Box::pin(async move {
            let ticked = match what {
                What::Changes => cdc.tick().await,
                What::Upkeep(duty) => cdc.upkeep(duty).await,
            };
            match ticked {
                Ok(More::Yes) => Ok(Left::More),
                Ok(More::No) => Ok(Left::Nothing),
                Err(error) if error.is_fatal() => Err(Failed::ForGood(error.to_string())),
                Err(error) => Err(Failed::Again(error.to_string())),
            }
        })
    })
}

fn events_tick(ingest: &Ingest, duty: tidemark_ingest::Duty) -> Tick {
    let ingest = ingest.clone();
    Arc::new(move || {
        let ingest = ingest.clone();
        Box::pin(async move {
            match ingest.upkeep(duty).await {
                Ok(tidemark_ingest::More::Yes) => Ok(Left::More),
                Ok(tidemark_ingest::More::No) => Ok(Left::Nothing),
                Err(error) if error.is_fatal() => Err(Failed::ForGood(error.to_string())),
                Err(error) => Err(Failed::Again(error.to_string())),
            }
        })
    })
}

fn publish_tick(publisher: &Publisher) -> Tick {
    let publisher = publisher.clone();
    Arc::new(move || {
        let publisher = publisher.clone();
        Box::pin(async move {
            match publisher.tick().await {
                Ok(publish::More::Yes) => Ok(Left::More),
                Ok(publish::More::No) => Ok(Left::Nothing),
                Err(error @ CatalogError::Fenced { .. }) => Err(Failed::ForGood(error.to_string())),
                Err(error) => Err(Failed::Again(error.to_string())),
            }
        })
    })
}

/// What was dropped goes when its grace is over.
fn erasure_tick(administration: &Administration) -> Tick {
    let administration = administration.clone();
    Arc::new(move || {
        let administration = administration.clone();
        Box::pin(async move {
            match administration.erase_due().await {
                Ok(true) => Ok(Left::More),
                Ok(false) => Ok(Left::Nothing),
                Err(problem) => Err(Failed::Again(problem.detail)),
            }
        })
    })
}

/// When tokens were last used is written down.
fn tokens_tick(tokens: &Tokens) -> Tick {
    let tokens = tokens.clone();
    Arc::new(move || {
        let tokens = tokens.clone();
        Box::pin(async move {
            let written = tokens.write_uses_down().await;
            written.map(|_wrote| Left::Nothing).map_err(|error| Failed::Again(error.to_string()))
        })
    })
}

/// A background job.
#[derive(Clone)]
pub struct Job {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// How long it rests when nothing is to do.
    pub interval: Duration,
    /// Up to how much longer, so that many nodes do not tick together.
    pub jitter: Duration,
    /// What wakes it earlier.
    pub bell: Option<Bell>,
    /// What it does.
    pub tick: Tick,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// How the jobs are doing, in the order in which they were begun.
#[derive(Debug)]
pub struct Board {
    clock: Arc<dyn Clock>,
    states: Mutex<Vec<JobState>>,
}

impl Board {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<JobState>) -> T) -> T {
        work(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, job: &Job) {
        let (name, interval) = (job.name, job.interval);
        let (is_running, ticks, failures) = (false, 0, 0);
        let (began_at, ended_at, outcome, error) = (None, None, None, None);
        let state = JobState { name, interval, is_running, ticks, failures, began_at, ended_at, outcome, error };
        self.with(|states| states.push(state));
    }

    fn change(&self, name: &str, how: impl FnOnce(&mut JobState)) {
        self.with(|states| states.iter_mut().find(|state| state.name == name).map(how));
    }

    fn begins(&self, name: &str) {
        let now = self.clock.now();
        self.change(name, |state| (state.is_running, state.began_at) = (true, Some(now)));
    }

    fn ended(&self, name: &str, outcome: &'static str, error: Option<&str>, failures: u32) {
        let now = self.clock.now();
        self.change(name, |state| {
            (state.is_running, state.ended_at, state.outcome) = (false, Some(now), Some(outcome));
            (state.failures, state.error) = (failures, error.map(str::to_owned));
            state.ticks += 1;
        });
    }
}

impl Jobs for Board {
    fn jobs(&self) -> Vec<JobState> {
        self.with(|states| states.clone())
    }
}

/// Runs the jobs of a process until it stops.
#[derive(Debug)]
pub struct Runner {
    tasks: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
    ids: Arc<Ids>,
    board: Arc<Board>,
    failed: CancellationToken,
}

impl Runner {
    /// A runner without jobs; it cancels `failed` when the process must end.
    #[must_use]
    pub fn new(metrics: Metrics, (clock, ids): (Arc<dyn Clock>, Arc<Ids>), failed: CancellationToken) -> Self {
        let board = Arc::new(Board { clock, states: Mutex::default() });
        Self { tasks: TaskTracker::new(), stop: CancellationToken::new(), metrics, ids, board, failed }
    }

    /// Tells how the jobs are doing.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Begins to tick a job.
    pub fn start(&self, job: Job) {
        let (stop, ids, failed) = (self.stop.clone(), Arc::clone(&self.ids), self.failed.clone());
        let seen = Seen { metrics: self.metrics.clone(), board: self.board() };
        seen.board.add(&job);
        seen.metrics.job_begins(job.name, job.interval, seen.board.clock.now());
        self.tasks.spawn(async move {
            if keep_ticking(job, &stop, &seen, &ids).await.is_err() {
                failed.cancel();
            }
        });
    }

    /// Stops between ticks and waits for those under way.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Ticks until it is told to stop; an error when the process must end.
async fn keep_ticking(job: Job, stop: &CancellationToken, seen: &Seen, ids: &Ids) -> Result<(), Failed> {
    let mut rings = job.bell.as_ref().map(Bell::listen);
    let mut failures = 0u32;
    while !stop.is_cancelled() {
        seen.board.begins(job.name);
        let ticked = (job.tick)().instrument(tracing::info_span!("job", name = job.name)).await;
        let pause = match &ticked {
            Ok(Left::More) => Duration::ZERO,
            Ok(Left::Nothing) => job.interval + jitter(job.jitter, ids.random()),
            Err(Failed::Again(_)) => backoff(job.interval, failures) + jitter(job.jitter, ids.random()),
            Err(Failed::ForGood(error)) => {
                tracing::error!(job = job.name, error, "the process cannot go on and ends");
                return Err(Failed::ForGood(error.clone()));
            }
        };
        failures = seen.note(&job, &ticked, failures);
        let rung = async {
            // A ring does not shorten the pause after a failure, and a bell that is gone never rings.
            let heard = match &mut rings {
                Some(rings) if failures == 0 => rings.changed().await.is_ok(),
                _ => false,
            };
            if !heard {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            () = rung => {}
        }
    }
    Ok(())
}

/// Who is told of ticks.
struct Seen {
    metrics: Metrics,
    board: Arc<Board>,
}

impl Seen {
    /// Counts and logs a tick; the number of failures in a row.
    fn note(&self, job: &Job, ticked: &Result<Left, Failed>, failures: u32) -> u32 {
        let (outcome, error) = match ticked {
            Ok(Left::More) => (metrics::AGAIN, None),
            Ok(Left::Nothing) => (metrics::DONE, None),
            Err(Failed::Again(error) | Failed::ForGood(error)) => (metrics::FAILED, Some(error.as_str())),
        };
        let failures = if error.is_some() { failures.saturating_add(1) } else { 0 };
        self.metrics.job_ticked(job.name, outcome, self.board.clock.now());
        self.board.ended(job.name, outcome, error, failures);
        if let Some(error) = error {
            tracing::warn!(job = job.name, failures, error, "a background job failed and will try again");
        }
        failures
    }
}

/// Doubles with every failure in a row.
fn backoff(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX)
}

fn jitter(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.checked_rem(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn job(tick: Tick, bell: Option<Bell>) -> Job {
        Job { name: "test", interval: Duration::from_secs(3600), jitter: Duration::ZERO, bell, tick }
    }

    fn runner() -> Runner {
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("registered");
        let chance = (Arc::new(crate::clock::SystemClock) as Arc<dyn Clock>, Arc::new(Ids::seeded(1)));
        Runner::new(metrics, chance, CancellationToken::new())
    }

    #[tokio::test]
    async fn more_is_done_at_once_and_the_bell_wakes() {
        let (ticks, bell) = (Arc::new(AtomicU32::new(0)), Bell::default());
        let (counted, runner) = (Arc::clone(&ticks), runner());
        let tick: Tick = Arc::new(move || {
            let left = if counted.fetch_add(1, Ordering::SeqCst) < 3 { Left::More } else { Left::Nothing };
            Box::pin(async move { Ok(left) })
        });
        runner.start(job(tick, Some(bell.clone())));
        while ticks.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
        bell.ring();
        while ticks.load(Ordering::SeqCst) < 5 {
            bell.ring();
            tokio::task::yield_now().await;
        }
        runner.drain().await;
        let [state] = runner.board().jobs().try_into().expect("one job");
        assert!(state.ticks >= 5 && !state.is_running && state.ended_at >= state.began_at);
        assert_eq!((state.name, state.outcome, state.failures, state.error), ("test", Some("done"), 0, None));
    }

    #[test]
    fn failures_back_off_to_a_limit() {
        let second = Duration::from_secs(1);
        assert_eq!([0, 1, 3, 30].map(|n| backoff(second, n)), [1, 2, 8, 60].map(Duration::from_secs));
        assert!(jitter(second, u64::MAX) < second && jitter(Duration::ZERO, 5).is_zero());
    }
}
