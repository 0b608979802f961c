//! From what was found to a running log: a new segment behind it, and the writer's thread.

use std::{collections::BTreeMap, io, sync::Arc};

use tidemark_model::{Instant, Namespace, Seq, Shard};

use super::{Recovery, failed};
use crate::log::{
    Log, LogDeps, LogError, LogOptions,
    disk::is_out_of_space,
    group::{GroupBuffer, Place},
    handle::Front,
    ledger::Ledger,
    medium::{Medium, Prepared},
    metrics::LogMetrics,
    record::{self, Clocks},
    segments::{Segments, SegmentsOptions},
    sequencer::{Sequencer, Start},
    space::Floor,
    writer::Writer,
};

/// A segment that is spent is left where it is below this part of its size.
const SPENT_PART: u64 = 16;

/// Offsets of a segment are 32 bits wide; half of that leaves room for one large group behind the end.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

impl Recovery {
    /// Begins writing behind what was found. `next` is the first free sequence of every (namespace, shard) as far as
    /// committed manifests tell, `above` the greatest system time they cover; the log takes the greater of these and
    /// of what it holds, and starts above its durable horizon.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::OutOfSpace`].
    pub fn start(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
    ) -> Result<Log, LogError> {
        self.start_with(next, above, deps, |segments| Box::new(segments))
    }

    /// The same with something around the medium.
    pub(crate) fn start_with(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
        wrap: impl FnOnce(Segments) -> Box<dyn Medium>,
    ) -> Result<Log, LogError> {
        let metrics = LogMetrics::new(&deps.metrics)
            .map_err(|error| failed("make its metrics")(io::Error::other(error.to_string())))?;
        let clocks = self.learned.clocks.and(Clocks { last: above, ..Clocks::NONE });
        let next = greater(next, &self.learned.next);
        let log = self.log.unwrap_or_else(|| deps.ids.ulid(deps.clock.now()).into());
        let mut medium = wrap(self.medium(log, &metrics));
        let kept: Vec<_> = self.segments.into_iter().map(|segment| segment.kept).collect();
        let spent_bytes_min = self.options.segment_bytes / SPENT_PART;
        let ledger = Arc::new(Ledger::new(Arc::clone(&self.disk), metrics.clone(), kept, spent_bytes_min));
        let room = begin(medium.as_mut(), &ledger, clocks)?;
        let LogOptions { queue_bytes_max, group_bytes_max, free_space_min_percent, .. } = self.options;
        let start = Start { clock: deps.clock, next, clocks, queue_bytes_max, group_bytes_max, room };
        let sequencer = Arc::new(Sequencer::new(start));
        let writer = Writer {
            sequencer: Arc::clone(&sequencer),
            medium,
            ledger: Arc::clone(&ledger),
            sink: deps.sink,
            metrics: metrics.clone(),
            clocks,
            held: self.held,
        };
        let thread = std::thread::Builder::new().name("tidemark-log".to_owned());
        thread.spawn(move || writer.run()).map_err(failed("start its writer thread"))?;
        Ok(Log::new(Front { sequencer, ledger, floor: Floor::new(self.disk, free_space_min_percent), metrics }))
    }

    fn medium(&self, log: u128, metrics: &LogMetrics) -> Segments {
        let last = self.segments.last();
        let end = last.map_or_else(Place::default, |last| Place { segment: last.kept.number, offset: last.end });
        let LogOptions { cluster, epoch, segment_bytes, .. } = self.options.clone();
        let segment_bytes = segment_bytes.min(SEGMENT_BYTES_MAX);
        let options = SegmentsOptions { log, cluster, epoch, segment_bytes };
        Segments::behind(end, Arc::clone(&self.disk), options, metrics.clone())
    }
}

/// Opens the first segment of this owner; says how much fits into it.
fn begin(medium: &mut dyn Medium, ledger: &Ledger, clocks: Clocks) -> Result<u64, LogError> {
    let opening = |error: io::Error| {
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
