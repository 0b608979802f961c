//! From what was found to a running log: room behind it, and the writer's thread.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tidemark_model::{Instant, Namespace, Seq, Shard};

use super::failed;
use crate::log::{
    Log, LogDeps, LogError,
    disk::{Held, is_out_of_space},
    group::GroupBuffer,
    handle::Front,
    ledger::{Kept, Ledger},
    medium::{self, Medium, Prepared},
    metrics::LogMetrics,
    record::{self, Clocks},
    scan::Learned,
    sequencer::{Sequencer, Start},
    shelf::Shelf,
    space::Floor,
    writer::Writer,
};

/// A log that is about to be written to.
#[derive(Debug)]
pub(super) struct Beginning {
    /// The log that is written to.
    pub(super) log: u128,
    /// Where its groups go.
    pub(super) medium: Box<dyn Medium>,
    /// Where released segments go.
    pub(super) shelf: Arc<dyn Shelf>,
    /// What was found, the oldest first.
    pub(super) found: Vec<Kept>,
    /// What it says.
    pub(super) learned: Learned,
    /// Below so many bytes of appends, a spent segment is left where it is.
    pub(super) spent_bytes_min: u64,
    /// See [`LogOptions`](crate::log::LogOptions).
    pub(super) queue_bytes_max: usize,
    /// See [`LogOptions`](crate::log::LogOptions).
    pub(super) group_bytes_max: usize,
    /// The shortest time between the beginnings of two groups.
    pub(super) window: Duration,
    /// How full the medium may be.
    pub(super) floor: Floor,
    /// The lock on the directory, if there is one.
    pub(super) held: Option<Held>,
}

/// What a log begins above, and with what.
#[derive(Debug)]
pub(super) struct Begun {
    /// The first free sequence of every shard, as manifests tell.
    pub(super) next: BTreeMap<(Namespace, Shard), Seq>,
    /// The greatest system time they cover.
    pub(super) above: Instant,
    /// Its surroundings.
    pub(super) deps: LogDeps,
    /// Its instruments.
    pub(super) metrics: LogMetrics,
}

impl Beginning {
    /// Takes room behind what was found and starts the writer.
    pub(super) fn begin(self, begun: Begun) -> Result<Log, LogError> {
        let Self { log, mut medium, shelf, found, learned, queue_bytes_max, group_bytes_max, .. } = self;
        let Begun { next, above, deps, metrics } = begun;
        let clocks = learned.clocks.and(Clocks { last: above, ..Clocks::NONE });
        let next = greater(next, &learned.next);
        let ledger = Arc::new(Ledger::new((log, found), shelf, metrics.clone(), self.spent_bytes_min));
        let room = open_first(medium.as_mut(), &ledger, clocks)?;
        let start = Start { clock: deps.clock, next, clocks, queue_bytes_max, group_bytes_max, room };
        let sequencer = Arc::new(Sequencer::new(start));
        let writer = Writer {
            sequencer: Arc::clone(&sequencer),
            medium,
            ledger: Arc::clone(&ledger),
            sink: deps.sink,
            metrics: metrics.clone(),
            clocks,
            window: self.window,
            held: self.held,
        };
        let thread = std::thread::Builder::new().name("tidemark-log".to_owned());
        thread.spawn(move || writer.run()).map_err(failed("start its writer thread"))?;
        Ok(Log::new(Front { sequencer, ledger, floor: self.floor, metrics }))
    }
}

/// Opens the first segment of this owner; says how much fits into it.
fn open_first(medium: &mut dyn Medium, ledger: &Ledger, clocks: Clocks) -> Result<u64, LogError> {
    let opening = |error: io::Error| {
        if let LogError::Fenced = medium::lost(&error) {
            return LogError::Fenced;
        }
        if is_out_of_space(&error) { LogError::OutOfSpace } else { failed("open a new segment")(error) }
    };
    let room = match medium.prepare(0).map_err(opening)? {
        Prepared::Room(room) => room,
        Prepared::Refused(error) => return Err(opening(error)),
    };
    let mut first = GroupBuffer::new();
    record::put_clocks(first.payload(), clocks);
    ledger.advanced(medium.advance(&mut first).map_err(opening)?);
    ledger.sweep().map_err(failed("delete empty segments"))?;
    Ok(room)
}

fn greater(
    mut next: BTreeMap<(Namespace, Shard), Seq>,
    found: &BTreeMap<(Namespace, Shard), Seq>,
) -> BTreeMap<(Namespace, Shard), Seq> {
    for (key, seq) in found {
        let next = next.entry(key.clone()).or_insert(0);
        *next = (*seq).max(*next);
    }
    next
}
