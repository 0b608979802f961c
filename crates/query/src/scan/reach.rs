//! Which base a question starts from, and how far the changes that count reach.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use tidemark_catalog::{Base, CollectionManifest, View, manifest::Outside};
use tidemark_fold::columns::event;
use tidemark_model::{CollectionName, Instant, Seq, Table, position::BEFORE_ALL};

use super::At;

/// The base that holds nothing beyond the question's instants and leaves the least to read; `None` is the empty base.
///
/// # Errors
/// [`Outside`] when what was dropped is needed.
pub(crate) fn base(manifest: &CollectionManifest, at: At) -> Result<Option<&Base>, Outside> {
    manifest.start(at.system_time, at.valid_time)
}

/// How far the changes acknowledged up to an instant reach: what visible is always a prefix of positions, so the last
/// position says it exactly, and questions at different instants share an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Up to this position, included.
    Position(Seq),
    /// Up to this system time, where the position is not known without reading files.
    Time(Instant),
}

/// How far the collection's changes up to the instant reach in this view.
pub(crate) fn reach(view: &View, manifest: &CollectionManifest, at: Instant) -> Reach {
    let Table::Collection(name) = &view.table else { return Reach::Time(at) };
    if let Some(last) = view.tail.batches.iter().rev().find_map(|batch| last_up_to(batch, at)) {
        return Reach::Position(last);
    }
    let pending = view.pending_files().map(|file| (file.system_time.max, last_of(file, name)));
    let deltas = manifest.deltas.iter().map(|delta| (delta.system_time.max, delta.seq.max));
    let (newest, last) = match pending.max_by_key(|(_, last)| *last) {
        Some(pending) => pending,
        None => deltas.max_by_key(|(_, last)| *last).unwrap_or((Instant::MIN, BEFORE_ALL)),
    };
    if newest <= at { Reach::Position(last) } else { Reach::Time(at) }
}

fn last_of(file: &tidemark_catalog::manifest::EventsFile, name: &CollectionName) -> Seq {
    file.collections.iter().filter(|held| held.collection == *name).map(|held| held.seq.max).max().unwrap_or(BEFORE_ALL)
}

/// The last position of a batch with a system time up to the instant; both ascend within a collection.
fn last_up_to(batch: &RecordBatch, at: Instant) -> Option<Seq> {
    let times = batch.column_by_name(event::SYSTEM_TIME)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let positions = batch.column_by_name(event::SEQ)?.as_primitive_opt::<Int64Type>()?;
    let count = times.values().partition_point(|time| *time <= at.micros());
    count.checked_sub(1).map(|row| positions.value(row))
}
