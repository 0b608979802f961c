//! Whether a fold is due and which deltas it takes in: pure functions of the manifest.

use tidemark_catalog::{Base, CollectionManifest, manifest::DeltaFile};
use tidemark_model::position::BEFORE_ALL;

use crate::Config;

/// When a fold is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    ratio: f64,
    rows_min: u64,
    pub(crate) bytes_max: u64,
}

impl Pace {
    pub(crate) const fn of(config: &Config) -> Self {
        Self { ratio: config.fold_ratio, rows_min: config.fold_rows_min, bytes_max: config.fold_bytes_max }
    }

    /// Whether the changes since the last base reach their part of the live documents.
    pub(crate) fn is_due(&self, manifest: &CollectionManifest) -> bool {
        let changes: u64 = pending(manifest).map(|delta| delta.rows).sum();
        let live = manifest.bases.last().map_or(0, |base| base.rows);
        changes > 0 && changes >= self.rows_min && changes as f64 >= self.ratio * live as f64
    }
}

/// What one fold takes in.
#[derive(Debug)]
pub(crate) struct Plan<'m> {
    /// The base it starts from; none is the empty one.
    pub(crate) base: Option<&'m Base>,
    /// Deltas after its mark, in order; at least one.
    pub(crate) deltas: Vec<&'m DeltaFile>,
}

/// Takes deltas in order up to a number of bytes, at least one; `None` when nothing lies after the newest base.
pub(crate) fn plan(manifest: &CollectionManifest, bytes_max: u64) -> Option<Plan<'_>> {
    let mut bytes = 0;
    let mut deltas: Vec<&DeltaFile> = Vec::new();
    for delta in pending(manifest) {
        bytes += delta.bytes;
        if bytes > bytes_max && !deltas.is_empty() {
            break;
        }
        deltas.push(delta);
    }
    (!deltas.is_empty()).then(|| Plan { base: manifest.bases.last(), deltas })
}

/// Deltas are cut at marks and bases end at them, so a delta lies after a base as a whole or not at all.
fn pending(manifest: &CollectionManifest) -> impl Iterator<Item = &DeltaFile> {
    let mark = manifest.bases.last().map_or(BEFORE_ALL, |base| base.mark);
    manifest.deltas.iter().filter(move |delta| delta.seq.max > mark)
}

#[cfg(test)]
mod tests;
