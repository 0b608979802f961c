//! What `shadow` promises, as tables of input and expectation.

use tidemark_model::Ids;

use super::*;
use crate::{
    rows::{Change, below, changes, fold, history, keys, read},
    winner::{Counts, winners},
};

/// A base: documents in non-overlapping parts, tombstones apart, and the greatest (`_ts`, `_bookmark`) folded.
struct Base {
    files: Vec<Vec<Change>>,
    greatest: Option<Greatest>,
}

fn base(random: &Ids, rows: &[Change]) -> Base {
    let (tombstones, mut live): (Vec<_>, Vec<_>) = fold(rows, &Counts::ALL).into_iter().partition(|row| row.delete);
    let mut files = Vec::new();
    while !live.is_empty() {
        let rest = live.split_off(usize::try_from(1 + below(random, 12)).expect("small").min(live.len()));
        files.push(std::mem::replace(&mut live, rest));
    }
    files.push(tombstones);
    let of = |row: &Change| Greatest { ts: Instant::from_micros(row.ts), bookmark: row.bookmark.clone() };
    Base { files, greatest: rows.iter().map(of).max() }
}

fn batches(file: &[Change], random: &Ids) -> BaseKeys {
    let size = usize::try_from(1 + below(random, 9)).expect("small");
    BaseKeys { batches: file.chunks(size).map(keys).collect() }
}

/// The base rows that are not hidden and the overlay's rows are together the fold of everything.
#[test]
fn base_and_overlay_together_are_the_fold_of_all() {
    let (mut dropped, mut hidden_tombstones) = (0, 0);
    for seed in 0..500 {
        let random = Ids::seeded(seed);
        let early = history(&random, 0, usize::try_from(below(&random, 200)).expect("small"));
        let late = history(&random, 200, usize::try_from(1 + below(&random, 200)).expect("small"));
        let base = base(&random, &early);
        let overlay = winners(&[changes(&late)], &Counts::ALL).expect("folds");
        let files: Vec<BaseKeys> = base.files.iter().map(|file| batches(file, &random)).collect();
        let shadows = resolve(&overlay, base.greatest.as_ref(), &files).expect("resolves");
        let mut found = read(&shadows.overlay);
        dropped += overlay.num_rows() - found.len();
        for (file, hidden) in base.files.iter().zip(&shadows.hidden) {
            assert!(hidden.is_sorted_by(|a, b| a < b), "seed {seed}");
            let stays = |(row, _): &(usize, &Change)| !hidden.contains(&(*row as u64));
            found.extend(file.iter().enumerate().filter(stays).map(|(_, change)| change.clone()));
        }
        hidden_tombstones += shadows.hidden.last().map_or(0, Vec::len);
        found.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        let all: Vec<Change> = early.into_iter().chain(late).collect();
        assert_eq!(found, fold(&all, &Counts::ALL), "seed {seed}");
    }
    assert!(dropped > 100 && hidden_tombstones > 100, "the cases occur: {dropped} {hidden_tombstones}");
}

fn change(id: &str, ts: i64, delete: bool) -> Change {
    Change { id: id.to_owned(), delete, ts, system_time: ts, seq: ts, bookmark: None }
}

/// What stands and what is hidden, by hand: a base of one part and its tombstones, with one winner at a time.
#[test]
fn look_up_by_hand() {
    let part = BaseKeys { batches: vec![keys(&[change("b", 10, false), change("d", 10, false)])] };
    let tombs = BaseKeys { batches: vec![keys(&[change("c", 10, true)])] };
    let greatest = Greatest { ts: Instant::from_micros(10), bookmark: None };
    for (winner, stands, hidden) in [
        (change("a", 5, false), true, [vec![], vec![]]),
        (change("a", 5, true), true, [vec![], vec![]]),
        (change("b", 5, false), false, [vec![], vec![]]),
        (change("b", 5, true), false, [vec![], vec![]]),
        (change("b", 11, true), true, [vec![0], vec![]]),
        (change("d", 10, false), true, [vec![1], vec![]]),
        (change("c", 5, false), false, [vec![], vec![]]),
        (change("c", 12, false), true, [vec![], vec![0]]),
        (change("e", 12, false), true, [vec![], vec![]]),
    ] {
        let overlay = changes(std::slice::from_ref(&winner));
        let found = resolve(&overlay, Some(&greatest), &[part.clone(), tombs.clone()]).expect("resolves");
        assert_eq!((found.overlay.num_rows() == 1, found.hidden), (stands, hidden.to_vec()), "{winner:?}");
    }
}

/// Where every winner lies above what was folded, ids alone resolve like ids with their order.
#[test]
fn ids_alone_decide_above_the_greatest() {
    let base = keys(&[change("b", 10, false), change("d", 10, false)]);
    let alone = base.project(&[base.schema().index_of("_id").expect("a column")]).expect("projects");
    let greatest = Greatest { ts: Instant::from_micros(10), bookmark: None };
    for (ts, is_above) in [(11, true), (10, false), (9, false)] {
        let winners = changes(&[change("b", ts, false), change("c", 12, true), change("d", 12, true)]);
        assert_eq!(are_above(&winners, &greatest).expect("fits"), is_above, "{ts}");
        let resolved = |batch: &RecordBatch| {
            let file = BaseKeys { batches: vec![batch.clone()] };
            resolve(&winners, Some(&greatest), &[file]).map(|found| (found.overlay, found.hidden))
        };
        if is_above {
            assert_eq!(resolved(&alone).expect("resolves"), resolved(&base).expect("resolves"));
        } else {
            assert!(resolved(&alone).is_err());
        }
    }
}
