//! One request through the room: prepare → claim → judge → log → ack.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant as Stopwatch},
};

use arrow::error::ArrowError;
use tidemark_catalog::allowance::Counted;
use tidemark_model::{Instant, Namespace, Principal};
use tidemark_storage::log::{EncodedRows, KeyRecord, LogBatch};
use tokio::time::sleep;
use tracing::Instrument as _;

use crate::{
    batch::{IdEntry, ValidBatch},
    budget::Reservation,
    dedup::{
        self,
        ids::{Claimed, IdClaim, Verdict},
        keys::{self, KeyClaim},
    },
    error::Error,
    front::Room,
    observe::{self, Touched},
    prepare::{self, Door, Key, Prepared},
    receipt::{Outcome, Receipt},
    refusal::{Code, Refusal, Refused},
    rejected::Noted,
    request::{Durability, Encoding, OnError, Request},
    standing,
    visible::{Pending, unflushed_bytes},
};

/// Bodies up to here are worked on in place; larger ones on a thread that may block.
pub(crate) const IN_PLACE_BYTES_MAX: usize = 48 << 10;

/// How long somebody waits for room that others have taken, and the pause between two looks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Valid rows that are new, and what the receipt will say.
struct Judged {
    batch: ValidBatch,
    outcome: Outcome,
    /// Refused records that are kept.
    noted: Vec<Noted>,
}

/// A batch ready for the log.
struct Ready {
    batch: LogBatch,
    touched: Vec<Touched>,
    pending: Pending,
}

impl Room {
    /// Runs a request to its end.
    pub(crate) async fn append(self: &Arc<Self>, namespace: &Namespace, request: Request) -> Result<Receipt, Error> {
        let prepared = self.read(namespace, request).await?;
        let Some(key) = prepared.key.clone() else { return self.store_all(namespace, prepared, None).await };
        let named = || standing::collections(&prepared.batch.groups);
        self.stands_now(namespace, named())?;
        let since = self.lives_since(namespace, named());
        match self.claim_key(namespace, &key, since).await? {
            Ok(claim) => {
                let receipt = self.store_all(namespace, prepared, Some(&key)).await?;
                claim.settle(receipt.clone());
                Ok(receipt)
            }
            Err(first) => {
                self.metrics.duplicate_request();
                Ok(Receipt { duplicate: true, ..Receipt::clone(&first) })
            }
        }
    }

    /// Reads a request, unless there is no room for what it holds.
    pub(crate) async fn read(self: &Arc<Self>, namespace: &Namespace, request: Request) -> Result<Prepared, Error> {
        if request.durability > self.durability {
            return Err(Error::Durability);
        }
        self.has_room()?;
        let large = request.batch.encoding != Encoding::Identity || request.batch.bytes.len() > IN_PLACE_BYTES_MAX;
        let by = request.by.clone();
        let prepared = self.prepare(namespace, request, large).await?;
        self.count(by.as_ref(), prepared.total)?;
        Ok(prepared)
    }

    /// Counts what somebody sends.
    fn count(&self, by: Option<&Principal>, records: usize) -> Result<(), Error> {
        let Some((by, allowance)) = by.zip(self.allowance.get()) else { return Ok(()) };
        Ok(allowance.take(by, Counted::Events, u32::try_from(records).unwrap_or(u32::MAX))?)
    }

    /// Refuses when acknowledged bytes that are in no file take all the room there is.
    pub(crate) fn has_room(&self) -> Result<(), Error> {
        let unflushed = &self.visible.unflushed;
        if unflushed.used() >= unflushed.max() { Err(self.unflushed_full()) } else { Ok(()) }
    }

    async fn prepare(
        self: &Arc<Self>,
        namespace: &Namespace,
        request: Request,
        large: bool,
    ) -> Result<Prepared, Error> {
        let (room, namespace) = (Arc::clone(self), namespace.clone());
        let prepared = run(large, move || {
            let door = Door {
                limits: &room.config,
                ids: &room.ids,
                admission: &room.visible.admission,
                rules: &room.rules,
                shards: room.catalog.shards(),
                now: room.clock.now(),
                can_truncate: room.documents().is_some(),
                notes: room.rejects.is_on(),
            };
            prepare::prepare(&namespace, request, &door)
        });
        let prepared = prepared.await?;
        self.metrics.refused(match &prepared {
            Ok(prepared) => prepared.refused.count as u64,
            Err(Error::Records { count, .. }) => *count as u64,
            Err(_) => 0,
        });
        prepared
    }

    /// The claim, or the receipt of the request that used the key first; what was used before an instant is forgotten.
    async fn claim_key(
        &self,
        namespace: &Namespace,
        key: &Key,
        since: Instant,
    ) -> Result<Result<KeyClaim, Arc<Receipt>>, Error> {
        loop {
            match self.flusher.seen_keys.claim(namespace, key, (self.log.now(), since)) {
                keys::Claimed::Taken(claim) => return Ok(Ok(claim)),
                keys::Claimed::Seen(receipt) => return Ok(Err(receipt)),
                keys::Claimed::Mismatch => return Err(Error::KeyMismatch { key: key.shown.clone() }),
                keys::Claimed::Wait(outcome) => dedup::settled(outcome).await,
                keys::Claimed::Full(what, limit) => return Err(Error::Pressure { what, limit }),
            }
        }
    }

    async fn claim_ids(&self, namespace: &Namespace, ids: &[(u32, IdEntry)]) -> Result<(IdClaim, Vec<Verdict>), Error> {
        loop {
            match self.flusher.seen_ids.claim(namespace, ids, self.log.now()) {
                Claimed::Taken(claim, verdicts) => return Ok((claim, verdicts)),
                Claimed::Wait(outcome) => dedup::settled(outcome).await,
                Claimed::Full => {
                    let limit = self.flusher.seen_ids.max();
                    return Err(Error::Pressure { what: "the number of event ids of 24 hours", limit });
                }
            }
        }
    }

    /// Stores a request, in parts where it has some.
    pub(crate) async fn store_all(
        self: &Arc<Self>,
        namespace: &Namespace,
        prepared: Prepared,
        key: Option<&Key>,
    ) -> Result<Receipt, Error> {
        if prepared.rest.is_empty() {
            return self.store(namespace, prepared, key, None).await;
        }
        self.store_in_parts(namespace, prepared, key).await
    }

    /// Everything behind the key: ids, log, ack. What was done of the request before stands in what its key is remembered by.
    pub(crate) async fn store(
        self: &Arc<Self>,
        namespace: &Namespace,
        mut prepared: Prepared,
        key: Option<&Key>,
        before: Option<&Receipt>,
    ) -> Result<Receipt, Error> {
        let (decoded, sender) = (prepared.decoded, prepared.sender.clone());
        let _held = (prepared.place.take(), std::mem::take(&mut prepared.proposal));
        self.stands_now(namespace, standing::collections(&prepared.batch.groups))?;
        self.may_be(namespace)?;
        let (claim, verdicts) = self.claim_ids(namespace, &prepared.batch.ids).await?;
        let note_bytes = self.rejects.is_on().then_some(self.config.rejected_record_bytes_max);
        let Judged { batch, mut outcome, noted } = judge(prepared, &verdicts, note_bytes)?;
        outcome.durability = self.durability;
        // Before the receipt, which tells of them.
        self.rejects.keep(namespace, &sender, noted).await?;
        self.metrics.duplicate_events(outcome.duplicates);
        if batch.rows.num_rows() == 0 && key.is_none() {
            // Nothing to append: what the request spoke of is stored, or was refused.
            return Ok(outcome.at(self.log.closed(), Vec::new()));
        }
        let whole = || before.map_or_else(|| outcome.clone(), |before| outcome.after(before));
        let receipt = |key: &Key| whole().of_producer(key.producer.clone()).encode();
        let record = key.map(|key| KeyRecord { key: key.key, body: key.body, receipt: receipt(key) });
        // What is stored in part would be stored in part again: it waits.
        let patience = before.map_or(Duration::ZERO, |_part| PATIENCE);
        let place = self.place(unflushed_bytes(&batch.rows, record.as_ref()), patience).await?;
        let stands = self.stands(namespace, standing::collections(&batch.groups)).await?;
        let ready = self.ready(namespace, batch, (record, place, decoded > IN_PLACE_BYTES_MAX)).await?;
        let receipt = self.log(namespace, ready, outcome).await?;
        claim.settle(receipt.system_time);
        drop(stands);
        self.metrics.accepted(receipt.accepted, decoded);
        tracing::debug!(%namespace, events = receipt.accepted, "buffered events");
        Ok(receipt)
    }

    /// Room for acknowledged bytes, as soon as there is.
    async fn place(&self, bytes: usize, patience: Duration) -> Result<Reservation, Error> {
        let begun = Stopwatch::now();
        loop {
            if let Some(place) = self.visible.unflushed.reserve(bytes) {
                return Ok(place);
            }
            let full = self.unflushed_full();
            if begun.elapsed() >= patience {
                return Err(full);
            }
            sleep(PAUSE).await;
        }
    }

    /// What can be done before the log's lock: kinds of values, encoding.
    async fn ready(
        self: &Arc<Self>,
        namespace: &Namespace,
        batch: ValidBatch,
        (key, place, large): (Option<KeyRecord>, Reservation, bool),
    ) -> Result<Ready, Error> {
        let (room, namespace) = (Arc::clone(self), namespace.clone());
        run(large, move || {
            let in_force = room.rules.in_force(&namespace);
            let mut touched = observe::touched(&batch.rows, &batch.groups, in_force.as_ref())?;
            room.rules.observe(&namespace, &mut touched);
            room.visible.admission.without_known(&namespace, &mut touched)?;
            let encoded = EncodedRows::encode(&batch.rows)?;
            let entries = batch.ids.iter().map(|(_, entry)| *entry).collect();
            let counts = batch.counts();
            let pending = Pending { groups: batch.groups, entries, place };
            Ok(Ready { batch: LogBatch { namespace, counts, encoded, rows: batch.rows, key }, touched, pending })
        })
        .await?
    }

    async fn log(&self, namespace: &Namespace, ready: Ready, outcome: Outcome) -> Result<Receipt, Error> {
        let Ready { batch, touched, pending } = ready;
        let appended = self.log.append(batch, |assigned| {
            // Under the log's lock: no parsing, no I/O.
            self.visible.expect(assigned.system_time, pending);
            self.visible.admission.admit(namespace, &touched, assigned.system_time)
        });
        let appended = appended.instrument(tracing::info_span!("append")).await?;
        Ok(outcome.assigned(&appended.assigned))
    }

    fn unflushed_full(&self) -> Error {
        self.visible.due.notify_one();
        let limit = self.visible.unflushed.max();
        Error::Pressure { what: "the bytes that wait for a flush", limit }
    }

    /// One turn of the background loop.
    pub(crate) async fn tick(&self) -> Result<(), Error> {
        let now = self.log.now();
        self.flusher.seen_ids.sweep(now);
        self.flusher.seen_keys.sweep(now);
        if let Err(error) = self.rejects.tick().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old refusals were not let go");
        }
        let flushed = self.flusher.tick().await;
        let (used, max) = (self.visible.unflushed.used(), self.visible.unflushed.max());
        self.metrics.unflushed(used, max, &self.visible.totals());
        self.flusher.producers.sweep(now);
        let flusher = &self.flusher;
        self.metrics.remembered(flusher.seen_ids.len(), flusher.seen_keys.len(), flusher.producers.len());
        self.metrics.bodies(self.bodies.used());
        flushed
    }
}

/// Runs work that takes CPU time: in place if it is small, else where it holds nobody up.
pub(crate) async fn run<T: Send + 'static>(large: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if !large {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|ended| Error::Internal(format!("the task that reads a request ended early: {ended}")))
}

/// Leaves duplicates out; a conflict refuses the request or, with `partial`, its record.
fn judge(prepared: Prepared, verdicts: &[Verdict], note_bytes: Option<usize>) -> Result<Judged, Error> {
    let Prepared { batch, mut refused, on_error, total, .. } = prepared;
    let mut dropped = Vec::new();
    let mut conflicts = Vec::new();
    for ((row, _), verdict) in batch.ids.iter().zip(verdicts) {
        match verdict {
            Verdict::New => continue,
            Verdict::Duplicate => {}
            Verdict::Conflict => conflicts.push(*row),
        }
        dropped.push(*row);
    }
    conflicts.sort_unstable_by_key(|row| batch.indexes[*row as usize]);
    for row in &conflicts {
        refused.add(|| conflict(&batch, *row));
        if let (Some(bytes_max), OnError::Partial) = (note_bytes, on_error) {
            let data = || crate::columns::EventColumns::of(&batch.rows).data(*row as usize).map(str::to_owned);
            refused.note(conflict(&batch, *row), bytes_max, data);
        }
    }
    let Refused { count, mut listed, noted, .. } = refused;
    listed.sort_by_key(|error| error.index);
    if let (OnError::Reject, false) = (on_error, conflicts.is_empty()) {
        return Err(Error::Records { count, total, first: conflict_refusal(), errors: listed });
    }
    let duplicates = (dropped.len() - conflicts.len()) as u64;
    let batch = batch.without(&dropped).map_err(rows)?;
    let outcome = Outcome {
        accepted: batch.rows.num_rows() as u64,
        duplicates,
        rejected: count as u64,
        durability: Durability::Local,
        errors: listed,
        producer: None,
        before: Vec::new(),
    };
    Ok(Judged { batch, outcome, noted })
}

fn rows(error: ArrowError) -> Error {
    Error::Rows("filtered", error)
}

fn conflict(batch: &ValidBatch, row: u32) -> tidemark_proto::problem::RecordError {
    let columns = crate::columns::EventColumns::of(&batch.rows);
    let row = row as usize;
    let index = batch.indexes[row] as usize;
    let refusal = conflict_refusal();
    let pointer = if columns.collection(row).is_some() { "/event_id" } else { "/id" };
    Refusal { pointer: Cow::Borrowed(pointer), ..refusal }.of_record(index, Some(columns.id(row)))
}

fn conflict_refusal() -> Refusal {
    Refusal::new(Code::IdConflict, "", "an event with this id and other content was stored within 24 hours")
}
