//! The statements that run, and the last ones that have ended: what `system.queries` shows.
//!
//! A statement is noted when it arrives and until it has ended; one that nobody waits for any more ends as `cancelled`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidemark_model::{Clock, Instant, Namespace, Principal};

/// Statements that have ended and are remembered.
const ENDED_MAX: usize = 1_000;
/// The longest text that is remembered of a statement, characters.
const TEXT_CHARS_MAX: usize = 4_096;
/// The outcome of what nobody waited for.
const CANCELLED: &str = "cancelled";

/// How far a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for a place.
    Waiting,
    /// It is planned.
    Planning,
    /// Its rows are computed and fetched.
    Running,
    /// It has ended.
    Ended,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// A statement.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its number since the process began.
    pub(crate) id: u64,
    /// Who asks: the id of a token, `root`, `anonymous`.
    pub(crate) who: String,
    /// The namespace of unqualified names.
    pub(crate) namespace: Option<Namespace>,
    /// What is asked, cut.
    pub(crate) text: String,
    /// How far it is.
    pub(crate) state: State,
    /// When it arrived.
    pub(crate) began_at: Instant,
    /// When it ended.
    pub(crate) ended_at: Option<Instant>,
    /// How long it waited for a place.
    pub(crate) waited: Option<Duration>,
    /// How long it was planned.
    pub(crate) planned: Option<Duration>,
    /// Rows told so far.
    pub(crate) rows: u64,
    /// `ok`, `cancelled`, or the code of the error.
    pub(crate) outcome: Option<&'static str>,
}

/// Remembers statements.
#[derive(Debug)]
pub(crate) struct Log {
    clock: Arc<dyn Clock>,
    statements: Mutex<Statements>,
}

#[derive(Debug, Default)]
struct Statements {
    last: u64,
    under_way: BTreeMap<u64, Entry>,
    ended: VecDeque<Entry>,
}

impl Log {
    /// One that knows none.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, statements: Mutex::default() })
    }

    /// Notes a statement that arrives.
    pub(crate) fn begin(self: &Arc<Self>, by: &Principal, namespace: Option<&Namespace>, text: &str) -> Noted {
        let (began_at, namespace) = (self.clock.now(), namespace.cloned());
        let (who, text) = (by.id().to_owned(), text.chars().take(TEXT_CHARS_MAX).collect());
        let state = State::Waiting;
        let (ended_at, waited, planned, outcome) = (None, None, None, None);
        let id = self.with(|statements| {
            statements.last += 1;
            let id = statements.last;
            let entry =
                Entry { id, who, namespace, text, state, began_at, ended_at, waited, planned, rows: 0, outcome };
            statements.under_way.insert(id, entry);
            id
        });
        Noted { log: Arc::clone(self), id }
    }

    /// Those under way, oldest first, then those that have ended, newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.with(|statements| statements.under_way.values().chain(statements.ended.iter().rev()).cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Statements) -> T) -> T {
        work(&mut self.statements.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A statement that is noted. Dropped before it is told how it ended, it was cancelled.
#[derive(Debug)]
pub(crate) struct Noted {
    log: Arc<Log>,
    id: u64,
}

impl Noted {
    /// It has a place, for which it waited.
    pub(crate) fn entered(&self, waited: Duration) {
        self.change(|entry| (entry.state, entry.waited) = (State::Planning, Some(waited)));
    }

    /// It is planned.
    pub(crate) fn planned(&self, took: Duration) {
        self.change(|entry| (entry.state, entry.planned) = (State::Running, Some(took)));
    }

    /// It told rows.
    pub(crate) fn told(&self, rows: usize) {
        self.change(|entry| entry.rows += rows as u64);
    }

    /// It ended like this; whether that was not known before.
    pub(crate) fn ended(&self, outcome: &'static str) -> bool {
        let now = self.log.clock.now();
        self.log.with(|statements| {
            let Some(mut entry) = statements.under_way.remove(&self.id) else { return false };
            (entry.state, entry.ended_at, entry.outcome) = (State::Ended, Some(now), Some(outcome));
            statements.ended.push_back(entry);
            if statements.ended.len() > ENDED_MAX {
                statements.ended.pop_front();
            }
            true
        })
    }

    fn change(&self, how: impl FnOnce(&mut Entry)) {
        self.log.with(|statements| statements.under_way.get_mut(&self.id).map(how));
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.ended(CANCELLED);
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::clock::ManualClock;

    use super::*;

    fn log() -> Arc<Log> {
        Log::new(Arc::new(ManualClock::at(Instant::from_micros(1 << 50))))
    }

    #[test]
    fn a_statement_is_shown_while_it_runs_and_after() {
        let log = log();
        let first = log.begin(&Principal::lake(), None, "SELECT 1");
        let second = log.begin(&Principal::lake(), None, &"x".repeat(2 * TEXT_CHARS_MAX));
        first.entered(Duration::from_millis(1));
        first.planned(Duration::from_millis(2));
        first.told(7);
        let shown = log.entries();
        assert_eq!((shown[0].state, shown[0].rows, shown[1].state), (State::Running, 7, State::Waiting));
        assert_eq!(shown[1].text.len(), TEXT_CHARS_MAX);
        assert!(first.ended("ok") && !first.ended("timed_out"), "it ends once");
        drop(first);
        drop(second);
        let outcomes: Vec<_> = log.entries().into_iter().map(|entry| (entry.id, entry.outcome)).collect();
        assert_eq!(outcomes, [(2, Some(CANCELLED)), (1, Some("ok"))]);
    }

    #[test]
    fn so_many_are_remembered() {
        let log = log();
        for _ in 0..ENDED_MAX + 5 {
            log.begin(&Principal::lake(), None, "SELECT 1").ended("ok");
        }
        let ids: Vec<u64> = log.entries().into_iter().map(|entry| entry.id).collect();
        assert_eq!((ids.len(), ids[0]), (ENDED_MAX, ENDED_MAX as u64 + 5));
    }
}
