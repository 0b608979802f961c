//! Which segments are kept, and for whom: decides what a release deletes.
//!
//! A segment goes when every namespace with an append in it has been released up to its last append there, and only
//! from the oldest on, so that a segment that is missing between two others is damage and nothing else.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemark_model::{Instant, Namespace};

use super::{Append, Pressure, medium::Advanced, metrics::LogMetrics, record::Spot, shelf::Shelf};

/// One segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// The log it belongs to.
    pub(crate) log: u128,
    /// Its number in it.
    pub(crate) number: u32,
    /// Its bytes on the medium.
    pub(crate) bytes: u64,
    /// Bytes of its appends, encoded.
    pub(crate) used: u64,
    /// The last append of every namespace in it.
    pub(crate) last: BTreeMap<Namespace, Instant>,
    /// What it says is needed no more.
    pub(crate) released: Option<Spot>,
    /// It ends its log.
    pub(crate) is_fence: bool,
}

impl Kept {
    /// An append of the namespace stands in it.
    pub(crate) fn note(&mut self, namespace: &Namespace, system_time: Instant, bytes: usize) {
        self.used += bytes as u64;
        match self.last.get_mut(namespace) {
            Some(last) => *last = system_time,
            None => {
                self.last.insert(namespace.clone(), system_time);
            }
        }
    }
}

/// What to do after a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Released {
    /// Nothing.
    Done,
    /// The segment that is written to holds nothing that is needed: moving on lets it be deleted.
    ActiveIsSpent,
}

/// The books of a log's segments, the oldest first; the last is written to.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The log that is written to.
    log: u128,
    shelf: Arc<dyn Shelf>,
    metrics: LogMetrics,
    books: Mutex<Books>,
    /// Held while files are deleted, so that they go in order.
    sweeping: Mutex<()>,
    /// Below so many bytes of appends, a spent segment is left where it is.
    spent_bytes_min: u64,
}

#[derive(Debug, Default)]
struct Books {
    segments: VecDeque<Kept>,
    released: HashMap<Namespace, Instant>,
}

impl Books {
    /// Namespaces that keep the segment.
    fn keepers<'a>(&'a self, segment: &'a Kept) -> impl Iterator<Item = &'a Namespace> {
        let is_kept = |(namespace, last): &(&Namespace, &Instant)| self.released.get(*namespace) < Some(*last);
        segment.last.iter().filter(is_kept).map(|(namespace, _last)| namespace)
    }

    fn spent_back(&self) -> Option<&Kept> {
        self.segments.back().filter(|back| !back.last.is_empty() && self.keepers(back).next().is_none())
    }

    fn spent_front(&self, left_min: usize) -> Option<Spot> {
        let front = self.segments.front().filter(|_front| self.segments.len() > left_min)?;
        self.keepers(front).next().is_none().then_some(Spot { log: front.log, number: front.number })
    }
}

impl Ledger {
    /// Books of what recovery found.
    pub(crate) fn new(
        (log, found): (u128, Vec<Kept>),
        shelf: Arc<dyn Shelf>,
        metrics: LogMetrics,
        spent_bytes_min: u64,
    ) -> Self {
        let books = Books { segments: found.into(), released: HashMap::new() };
        Self { log, shelf, metrics, books: Mutex::new(books), sweeping: Mutex::new(()), spent_bytes_min }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer moved on to a new segment.
    pub(crate) fn advanced(&self, to: Advanced) {
        let mut books = self.books();
        if let (Some(closed), Some(bytes)) = (books.segments.back_mut(), to.closed_bytes) {
            closed.bytes = bytes;
        }
        books.segments.push_back(Kept { log: self.log, number: to.opened, bytes: to.opened_bytes, ..Kept::default() });
        self.measure(&books);
    }

    /// These appends are durable in the segment that is written to.
    pub(crate) fn note(&self, appends: &[Arc<Append>]) {
        let mut books = self.books();
        if let Some(active) = books.segments.back_mut() {
            for append in appends {
                active.note(&append.namespace, append.assigned.system_time, append.encoded_bytes);
            }
        }
    }

    /// Everything of the namespace up to there is committed elsewhere.
    pub(crate) fn release(&self, namespace: &Namespace, system_time: Instant) -> io::Result<Released> {
        {
            let mut books = self.books();
            let released = books.released.entry(namespace.clone()).or_insert(system_time);
            *released = system_time.max(*released);
        }
        self.sweep()?;
        let books = self.books();
        let active =
            books.spent_back().filter(|active| books.segments.len() == 1 && active.used >= self.spent_bytes_min);
        Ok(if active.is_some() { Released::ActiveIsSpent } else { Released::Done })
    }

    /// Whether the segment that is written to holds appends, and none that is needed.
    pub(crate) fn is_spent(&self) -> bool {
        self.books().spent_back().is_some()
    }

    /// Deletes what nobody keeps, the oldest first, never the last.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        self.sweep_down_to(1)
    }

    /// Deletes what nobody keeps, the last too: nothing will be written to it any more.
    pub(crate) fn sweep_all(&self) -> io::Result<()> {
        self.sweep_down_to(0)
    }

    fn sweep_down_to(&self, left_min: usize) -> io::Result<()> {
        let _in_order = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(spent) = self.books().spent_front(left_min) else { return Ok(()) };
            self.shelf.discard(spent)?;
            tracing::debug!(number = spent.number, "a log segment is needed no more");
            let mut books = self.books();
            books.segments.pop_front();
            self.measure(&books);
        }
    }

    /// Size and age of what is kept.
    pub(crate) fn pressure(&self) -> Pressure {
        let books = self.books();
        Pressure {
            segments: books.segments.len(),
            bytes: books.segments.iter().map(|segment| segment.bytes).sum(),
            oldest: books.segments.front().map_or_else(Vec::new, |front| books.keepers(front).cloned().collect()),
        }
    }

    fn measure(&self, books: &Books) {
        self.metrics.kept(books.segments.len(), books.segments.iter().map(|segment| segment.bytes).sum());
    }
}
