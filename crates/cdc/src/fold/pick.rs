//! Whether a fold is due and which deltas it takes in: pure functions of the manifest.

use tidemark_catalog::{
    Base, CollectionManifest,
    manifest::{DeltaFile, Outside},
};
use tidemark_model::{Instant, Seq, position::BEFORE_ALL};

use crate::Config;

/// When a fold is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    ratio: f64,
    rows_min: u64,
    apart_rows: u64,
    bytes_max: u64,
}

impl Pace {
    pub(crate) const fn of(config: &Config) -> Self {
        let Config { fold_ratio, fold_rows_min, fold_rows_apart, fold_bytes_max, .. } = *config;
        Self { ratio: fold_ratio, rows_min: fold_rows_min, apart_rows: fold_rows_apart, bytes_max: fold_bytes_max }
    }

    /// Whether the changes since the last base reach their part of the live documents.
    pub(crate) fn is_due(&self, manifest: &CollectionManifest) -> bool {
        let changes: u64 = pending(manifest).map(|delta| delta.rows).sum();
        let live = manifest.bases.last().map_or(0, |base| base.rows);
        changes > 0 && changes >= self.rows_min && changes as f64 >= self.ratio * live as f64
    }
}

/// What the base becomes, which says where its files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next current state.
    State,
    /// A base bounded in source time.
    Checkpoint,
    /// A snapshot of this name.
    Snapshot(String),
}

/// What one fold takes in.
#[derive(Debug)]
pub(crate) struct Plan<'m> {
    /// The base it starts from; none is the empty one.
    pub(crate) base: Option<&'m Base>,
    /// Deltas that hold what the base leaves; rows beyond what follows are left out.
    pub(crate) deltas: Vec<&'m DeltaFile>,
    /// Only changes acknowledged up to here.
    pub(crate) system_time: Instant,
    /// Only changes that happened up to here.
    pub(crate) bound: Option<Instant>,
    /// The mark of what comes out, where it is not the last change folded.
    pub(crate) mark: Option<Seq>,
    /// What comes out.
    pub(crate) place: Place,
}

impl<'m> Plan<'m> {
    /// Everything acknowledged up to an instant, from the farthest base without a bound: the mark of a bounded one may lie
    /// beyond the instant. An error where that was dropped.
    pub(crate) fn as_of(manifest: &'m CollectionManifest, at: Instant, place: Place) -> Result<Self, Outside> {
        manifest.start(at, None)?;
        let whole = manifest.every_base().filter(|base| base.bound.is_none() && base.system_time <= at);
        let base = whole.max_by_key(|base| base.mark);
        let deltas = manifest.reaching(at, None).filter(|delta| base.is_none_or(|base| base.leaves(delta)));
        Ok(Self { base, deltas: deltas.collect(), system_time: at, bound: None, mark: None, place })
    }
}

/// Takes deltas in order up to a number of bytes, and of about as many changes as there are documents, at least one:
/// so no instant is farther from a base than that. `None` when nothing lies after the newest base.
pub(crate) fn plan<'m>(manifest: &'m CollectionManifest, pace: &Pace) -> Option<Plan<'m>> {
    let rows_max = manifest.bases.last().map_or(0, |base| base.rows).max(pace.apart_rows);
    let (mut bytes, mut rows) = (0, 0);
    let mut deltas: Vec<&DeltaFile> = Vec::new();
    for delta in pending(manifest) {
        bytes += delta.bytes;
        rows += delta.rows;
        if (bytes > pace.bytes_max || rows > rows_max) && !deltas.is_empty() {
            break;
        }
        deltas.push(delta);
    }
    let (base, place) = (manifest.bases.last(), Place::State);
    let plan = Plan { base, deltas, system_time: Instant::MAX, bound: None, mark: None, place };
    (!plan.deltas.is_empty()).then_some(plan)
}

/// Deltas are cut at marks and bases end at them, so a delta lies after a base as a whole or not at all.
fn pending(manifest: &CollectionManifest) -> impl Iterator<Item = &DeltaFile> {
    let mark = manifest.bases.last().map_or(BEFORE_ALL, |base| base.mark);
    manifest.deltas.iter().filter(move |delta| delta.seq.max > mark)
}

#[cfg(test)]
mod tests;
