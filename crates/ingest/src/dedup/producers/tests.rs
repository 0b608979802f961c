//! Sequences and epochs against what is known of a producer.

use super::*;
use crate::request::Durability;

const AT_US: i64 = 1_800_000_000_000_000;

fn namespace() -> Namespace {
    Namespace::parse("shop").expect("a name")
}

fn at(us: i64) -> Instant {
    Instant::from_micros(AT_US + us)
}

fn sequenced(epoch: u64, sequence: u64) -> Sequenced {
    Sequenced { id: "p".to_owned(), epoch, sequence }
}

fn receipt(system_time: Instant, producer: Sequenced) -> Receipt {
    let (positions, errors) = (Vec::new(), Vec::new());
    let durability = Durability::Local;
    Receipt {
        accepted: 3,
        duplicates: 0,
        rejected: 0,
        durability,
        system_time,
        positions,
        errors,
        duplicate: false,
        producer: Some(producer),
    }
}

#[tokio::test]
async fn requests_are_next_seen_too_early_or_too_late() {
    let index = ProducerIndex::new(10);
    index.remember(&namespace(), (1, 70), receipt(at(0), sequenced(5, 7)));
    let turn = index.turn(&namespace(), 1).await.expect("a turn");
    for (epoch, sequence, body, expected) in [
        (5, 8, 80, "next"),
        (6, 8, 80, "next"),
        (5, 7, 70, "seen 3"),
        (6, 7, 70, "seen 3"),
        (5, 7, 71, "sequence_mismatch"),
        (5, 3, 30, "seen 0"),
        (5, 9, 90, "sequence_gap"),
        (4, 8, 80, "old_epoch"),
        (4, 3, 30, "old_epoch"),
    ] {
        let judged = match turn.judge(&sequenced(epoch, sequence), body, at(1)) {
            Ok(Judged::Next) => "next".to_owned(),
            Ok(Judged::Seen(receipt)) => {
                assert!(receipt.duplicate && receipt.producer.is_none());
                format!("seen {}", receipt.accepted)
            }
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(judged, expected, "epoch {epoch}, sequence {sequence}, body {body}");
    }
    // Forgotten: only the first sequence can come.
    let late = at(WINDOW_US + 1);
    assert!(matches!(turn.judge(&sequenced(0, 1), 10, late), Ok(Judged::Next)));
    assert!(matches!(turn.judge(&sequenced(5, 8), 80, late), Err(Error::SequenceGap { expected: 1, .. })));
}

#[tokio::test]
async fn producers_are_capped_and_forgotten() {
    let index = ProducerIndex::new(2);
    index.remember(&namespace(), (1, 1), receipt(at(0), sequenced(1, 1)));
    let held = index.turn(&namespace(), 2).await.expect("a turn");
    assert!(index.turn(&namespace(), 3).await.is_none(), "two at most");
    assert!(index.turn(&namespace(), 1).await.is_some(), "who is known may go on");
    index.sweep(at(1));
    assert_eq!(index.len(), 2, "one is known, the other's turn is taken");
    drop(held);
    index.sweep(at(1));
    assert_eq!(index.len(), 1, "of one that stored nothing there is nothing to remember");
    index.sweep(at(WINDOW_US + 1));
    assert_eq!(index.len(), 0);
}

#[tokio::test]
async fn the_latest_counts_and_the_silent_are_told() {
    let index = ProducerIndex::new(10);
    index.remember(&namespace(), (1, 1), receipt(at(10), sequenced(1, 2)));
    index.remember(&namespace(), (1, 1), receipt(at(5), sequenced(1, 1)));
    index.remember(&namespace(), (2, 1), receipt(at(20), sequenced(1, 9)));
    let stand = index.stand(&namespace(), 1, at(30)).await.expect("known");
    assert_eq!(stand.at, sequenced(1, 2));
    let silent: Vec<u128> = index.silent(&namespace(), at(10), at(30)).into_iter().map(|(key, _)| key).collect();
    assert_eq!(silent, [1]);
    assert!(index.silent(&namespace(), at(10), at(WINDOW_US + 11)).is_empty());
    assert!(index.stand(&namespace(), 3, at(30)).await.is_none());
    assert_eq!(index.len(), 2, "asking makes nothing");
}
