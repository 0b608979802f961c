//! What the sequencer's lock guards, and what happens to it under the lock.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
};

use tidemark_model::{Instant, Namespace, Positions, Seq, Shard};

use super::{Item, Phase};
use crate::log::{Assigned, LogBatch, LogError};

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) last: Instant,
    pub(super) next: HashMap<Namespace, BTreeMap<Shard, Seq>>,
    /// System times between the lock and the sink.
    pub(super) in_flight: VecDeque<Instant>,
    pub(super) queue: VecDeque<Item>,
    /// Bytes of groups that still fit in front of the next advance.
    pub(super) room: u64,
    /// Bytes of groups that fit behind it.
    pub(super) prepared: Option<u64>,
    /// Bytes the writer should prepare.
    pub(super) wanted: Option<u64>,
    /// The size of ordinary rooms: below half of it the next one is asked for.
    pub(super) room_full: u64,
    /// How often room was prepared or refused, and why the last time.
    pub(super) attempts: u64,
    pub(super) refusal: Option<(u64, io::ErrorKind, String)>,
    /// An advance stands in the queue.
    pub(super) is_advancing: bool,
    /// The open segment is spent: advance when nothing is queued.
    pub(super) is_spent: bool,
    /// It failed because another owner has ended the log.
    pub(super) is_fenced: bool,
    /// The highest horizon asked for.
    pub(super) horizon: Instant,
}

impl State {
    /// The state above these clocks.
    pub(super) fn new(last: Instant, horizon: Instant, room: u64, next: BTreeMap<(Namespace, Shard), Seq>) -> Self {
        let mut by_namespace: HashMap<Namespace, BTreeMap<Shard, Seq>> = HashMap::new();
        for ((namespace, shard), seq) in next {
            by_namespace.entry(namespace).or_default().insert(shard, seq);
        }
        Self {
            phase: Phase::Open,
            last,
            next: by_namespace,
            in_flight: VecDeque::new(),
            queue: VecDeque::new(),
            room,
            prepared: None,
            wanted: None,
            room_full: room,
            attempts: 0,
            refusal: None,
            is_advancing: false,
            is_spent: false,
            is_fenced: false,
            horizon,
        }
    }

    /// Whether appends are taken.
    pub(super) fn check_open(&self) -> Result<(), LogError> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closing => Err(LogError::Closed),
            Phase::Failed => Err(self.failed_with()),
        }
    }

    /// What became of what was under way when the log failed.
    pub(super) fn failed_with(&self) -> LogError {
        if self.is_fenced { LogError::Fenced } else { LogError::Unknown }
    }

    /// Takes room in front of the next advance, or advances; otherwise asks the writer to prepare more.
    pub(super) fn take_room(&mut self, bytes: u64) -> bool {
        if bytes > self.room && self.prepared.is_some_and(|prepared| bytes <= prepared) {
            self.room = self.prepared.take().unwrap_or(0);
            self.queue.push_back(Item::Advance);
            self.is_advancing = true;
        }
        if bytes > self.room {
            self.wanted = self.wanted.max(Some(bytes));
            return false;
        }
        self.room -= bytes;
        // A refusal that nobody waited for is not repeated for every append, only when room is really needed.
        if self.room < self.room_full / 2 && self.prepared.is_none() && self.refusal.is_none() {
            self.wanted = self.wanted.max(Some(0));
        }
        true
    }

    /// Gives a request its time and positions.
    pub(super) fn assign(&mut self, now: Instant, batch: &LogBatch) -> Assigned {
        self.last = now.max(self.last.plus_micros(1));
        let shards = match self.next.get_mut(&batch.namespace) {
            Some(shards) => shards,
            None => self.next.entry(batch.namespace.clone()).or_default(),
        };
        let runs = batch.counts.iter().filter(|(_shard, count)| *count > 0);
        let positions = runs.map(|(shard, count)| {
            let next = shards.entry(*shard).or_insert(0);
            let first = *next;
            *next += i64::from(*count);
            Positions { shard: *shard, first, last: *next - 1 }
        });
        let positions = positions.collect();
        Assigned { system_time: self.last, positions }
    }
}
