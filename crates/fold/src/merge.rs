//! A sorted file of a base and a sorted overlay → the file that follows: hidden rows go, overlay rows come in between.

use arrow::array::RecordBatch;

use crate::{
    FoldError,
    order::Order,
    runs::{Run, copy},
    shadow::gallop,
};

/// The rows of a file that are not hidden and those of the overlay, ascending by `_id`, in batches of at most `rows_max`
/// rows. All batches have one schema; file and overlay are sorted; an id of the overlay that the file has is hidden
/// there (`shadow::resolve`).
///
/// # Errors
/// When a column is not as [`crate::columns`] says.
pub fn merge(
    file: &[RecordBatch],
    hidden: &[u64],
    overlay: &RecordBatch,
    rows_max: usize,
) -> Result<Vec<RecordBatch>, FoldError> {
    let mut runs = Vec::new();
    let (incoming, mut next, mut hidden, mut first_row) = (Order::of(overlay)?, 0, hidden, 0u64);
    for (batch, rows) in file.iter().enumerate() {
        let entries = Order::of(rows)?;
        let mut entry = 0;
        while entry < entries.len() {
            let to = stretch(&entries, entry, &incoming, next);
            hidden = push_visible(&mut runs, Run { batch, from: entry, to }, first_row, hidden);
            entry = to;
            if entry < entries.len() {
                let to = arrivals(&incoming, next, entries.id(entry));
                runs.push(Run { batch: file.len(), from: next, to });
                next = to;
            }
        }
        first_row += rows.num_rows() as u64;
    }
    runs.push(Run { batch: file.len(), from: next, to: incoming.len() });
    let sources: Vec<&RecordBatch> = file.iter().chain([overlay]).collect();
    cut(runs, rows_max.max(1)).iter().map(|runs| Ok(copy(&sources, runs)?)).collect()
}

/// Where the entries end that stand before the next incoming row.
fn stretch(entries: &Order<'_>, entry: usize, incoming: &Order<'_>, next: usize) -> usize {
    if next == incoming.len() {
        return entries.len();
    }
    let wanted = incoming.id(next);
    if entries.id(entry) < wanted { gallop(entry, entries.len(), |at| entries.id(at) < wanted) } else { entry }
}

/// Where the incoming rows end that stand before or replace an entry; at least one does.
fn arrivals(incoming: &Order<'_>, next: usize, id: &[u8]) -> usize {
    gallop(next, incoming.len(), |at| incoming.id(at) <= id)
}

/// Adds a run without its hidden rows; what remains hidden comes back.
fn push_visible<'h>(runs: &mut Vec<Run>, run: Run, first_row: u64, mut hidden: &'h [u64]) -> &'h [u64] {
    let mut from = run.from;
    while let [row, rest @ ..] = hidden
        && *row < first_row + run.to as u64
    {
        let at = usize::try_from(row - first_row).unwrap_or(run.to);
        runs.push(Run { from, to: at, ..run });
        (from, hidden) = (at + 1, rest);
    }
    runs.push(Run { from, ..run });
    hidden
}

/// Cuts runs into groups of at most `rows_max` rows; empty runs go.
fn cut(runs: Vec<Run>, rows_max: usize) -> Vec<Vec<Run>> {
    let (mut groups, mut group, mut room) = (Vec::new(), Vec::new(), rows_max);
    for mut run in runs {
        while run.from < run.to {
            let to = run.to.min(run.from + room);
            group.push(Run { to, ..run });
            room -= to - run.from;
            run.from = to;
            if room == 0 {
                groups.push(std::mem::take(&mut group));
                room = rows_max;
            }
        }
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use tidemark_model::Ids;

    use super::*;
    use crate::{
        rows::{below, changes, fold, history, read},
        shadow::{BaseKeys, resolve},
        winner::Counts,
    };

    /// What follows is the file's visible rows and the overlay's, in order, in batches of the wanted size; also when
    /// few rows change among many, so that runs are copied as slices.
    #[test]
    fn a_file_and_its_overlay_merge_in_order() {
        for seed in 0..600 {
            let random = Ids::seeded(seed);
            let size = |end| usize::try_from(below(&random, end)).expect("small");
            let file = fold(&history(&random, 0, size(900)), &Counts::ALL);
            let winners = fold(&history(&random, 900, size(40) + 1), &Counts::ALL);
            let batches: Vec<_> = file.chunks(1 + size(60)).map(changes).collect();
            let keys = BaseKeys { batches: batches.clone() };
            let shadows = resolve(&changes(&winners), None, &[keys]).expect("resolves");
            let rows_max = 1 + size(50);
            let merged = merge(&batches, &shadows.hidden[0], &shadows.overlay, rows_max).expect("merges");
            let full = &merged[..merged.len().saturating_sub(1)];
            assert!(full.iter().all(|batch| batch.num_rows() == rows_max), "seed {seed}");
            let hidden = |row: usize| shadows.hidden[0].contains(&(row as u64));
            let visible = file.iter().enumerate().filter(|(row, _)| !hidden(*row)).map(|(_, change)| change.clone());
            let mut expected: Vec<_> = visible.chain(read(&shadows.overlay)).collect();
            expected.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
            assert_eq!(merged.iter().flat_map(read).collect::<Vec<_>>(), expected, "seed {seed}");
        }
    }
}
