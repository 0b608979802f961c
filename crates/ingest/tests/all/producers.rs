//! Producers: each sequence once and in order, over restarts, take-overs and the horizon of sidecars.

use tidemark_ingest::{Config, Error, Format, RawBatch, Receipt, Request, Sequenced, Target};
use tidemark_model::{Standing, Table};

use crate::bed::{Bed, End, ns, quiet};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

fn at(epoch: u64, sequence: u64) -> Sequenced {
    Sequenced { id: "loader".to_owned(), epoch, sequence }
}

fn request(sequence: u64) -> Request {
    let body = format!(r#"[{{"type":"a","subject":"s{sequence}"}},{{"type":"a","subject":"s{sequence}"}}]"#);
    Request::new(Target::Events, RawBatch::plain(Format::Json, body))
}

async fn send(bed: &Bed, epoch: u64, sequence: u64) -> Result<Receipt, Error> {
    bed.ingest.append_sequenced(&ns("shop"), at(epoch, sequence), Some(request(sequence))).await
}

/// Epoch and last durable sequence.
async fn stand(bed: &Bed) -> Option<(u64, u64)> {
    let standing = bed.ingest.producer(&ns("shop"), "loader").await.expect("answers");
    standing.map(|standing| (standing.epoch, standing.durable))
}

fn code(outcome: Result<Receipt, Error>) -> &'static str {
    outcome.expect_err("refused").code()
}

#[tokio::test]
async fn a_sequence_is_stored_once_over_restarts() {
    let mut bed = Bed::new().await;
    assert_eq!(stand(&bed).await, None);
    assert_eq!(code(send(&bed, 1, 2).await), "sequence_gap");
    assert_eq!(code(send(&bed, 1, 0).await), "invalid_parameter");
    let mut sequence = 0;
    for end in [None, Some(End::Killed), Some(End::Drained), Some(End::Killed), Some(End::Drained)] {
        if let Some(end) = end {
            bed = bed.restart(end).await;
            assert_eq!(stand(&bed).await, Some((1, sequence)), "{end:?}");
        }
        let first = send(&bed, 1, sequence + 1).await.expect("stored");
        sequence += 1;
        assert_eq!((first.accepted, first.duplicate), (2, false), "{end:?}");
        let again = send(&bed, 1, sequence).await.expect("answered");
        assert_eq!(again, Receipt { duplicate: true, ..first }, "{end:?}");
        assert_eq!(code(send(&bed, 1, sequence + 2).await), "sequence_gap", "{end:?}");
        let other = bed.ingest.append_sequenced(&ns("shop"), at(1, sequence), Some(request(99))).await;
        assert_eq!(code(other), "sequence_mismatch", "{end:?}");
        if sequence > 1 {
            let earlier = send(&bed, 1, 1).await.expect("answered");
            assert_eq!((earlier.accepted, earlier.duplicate), (0, true), "{end:?}");
        }
        assert_eq!(bed.count(&Table::Events).await as u64, 2 * sequence, "{end:?}");
    }
    assert_eq!(stand(&bed).await, Some((1, sequence)));
}

#[tokio::test]
async fn a_newer_epoch_fences_the_older_one_also_after_a_kill() {
    let bed = Bed::new().await;
    let open = |bed: &Bed, epoch: u64| {
        let ingest = bed.ingest.clone();
        async move { ingest.open_producer(&ns("shop"), "loader", epoch).await.map(|standing| standing.durable) }
    };
    assert_eq!(open(&bed, 3).await.expect("opened"), 0);
    send(&bed, 3, 1).await.expect("stored");
    assert_eq!(open(&bed, 3).await.expect("opened again"), 1);
    assert_eq!(open(&bed, 4).await.expect("taken over"), 1);
    let bed = bed.restart(End::Killed).await;
    assert_eq!(stand(&bed).await, Some((4, 1)));
    assert_eq!(code(send(&bed, 3, 2).await), "old_epoch");
    assert_eq!(open(&bed, 3).await.expect_err("fenced").code(), "old_epoch");
    send(&bed, 4, 2).await.expect("stored");
    let bed = bed.restart(End::Drained).await;
    assert_eq!(code(send(&bed, 3, 3).await), "old_epoch");
    // A request may begin an epoch of its own accord, and goes on where the one before ended.
    send(&bed, 7, 3).await.expect("stored");
    assert_eq!(code(send(&bed, 4, 4).await), "old_epoch");
    assert_eq!(bed.count(&Table::Events).await, 6);
}

#[tokio::test]
async fn of_an_erased_namespace_sequences_begin_anew() {
    let bed = Bed::new().await;
    send(&bed, 1, 1).await.expect("stored");
    send(&bed, 1, 2).await.expect("stored");
    let last = send(&bed, 1, 3).await.expect("stored").system_time;
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    bed.ingest.stand(&ns("shop"), None, Standing::Erased { at: last }).await.expect("erases");
    assert_eq!(stand(&bed).await, None);
    assert_eq!(code(send(&bed, 1, 3).await), "sequence_gap");
    let first = send(&bed, 1, 1).await.expect("stored");
    assert_eq!((first.accepted, first.duplicate), (2, false), "an acknowledged record is stored");
    assert_eq!(stand(&bed).await, Some((1, 1)));
}

#[tokio::test]
async fn a_refused_sequence_is_free_and_can_be_passed_over() {
    let bed = Bed::new().await;
    let bad = || Request::new(Target::Events, RawBatch::plain(Format::Json, r#"{"type":"a b"}"#));
    let refused = bed.ingest.append_sequenced(&ns("shop"), at(1, 1), Some(bad())).await;
    assert_eq!(code(refused), "invalid_type");
    assert_eq!(stand(&bed).await, None, "nothing is known of a producer that stored nothing");
    send(&bed, 1, 1).await.expect("stored");
    let refused = bed.ingest.append_sequenced(&ns("shop"), at(1, 2), Some(bad())).await;
    assert_eq!(code(refused), "invalid_type");
    let passed = bed.ingest.append_sequenced(&ns("shop"), at(1, 2), None).await.expect("passed over");
    assert_eq!(passed.accepted, 0);
    let bed = bed.restart(End::Killed).await;
    assert_eq!(stand(&bed).await, Some((1, 2)));
    send(&bed, 1, 3).await.expect("stored");
    assert_eq!(bed.count(&Table::Events).await, 4);
}

#[tokio::test]
async fn requests_that_come_together_are_stored_in_order_or_refused() {
    let bed = Bed::new().await;
    let sent: Vec<_> = futures::future::join_all((1..=20).map(|sequence| send(&bed, 1, sequence.min(10)))).await;
    let stored = sent.iter().flatten().filter(|receipt| !receipt.duplicate).count();
    let Some((1, durable)) = stand(&bed).await else { panic!("the producer is known") };
    assert_eq!(stored as u64, durable);
    assert_eq!(bed.count(&Table::Events).await as u64, 2 * durable);
    for refused in sent.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refused.code(), "sequence_gap");
    }
}

/// A producer outlives the sidecar it stood in: the commit that leaves that one out carries it over, for seven days.
#[tokio::test]
async fn a_silent_producer_is_remembered_for_seven_days() {
    let mut bed = Bed::new().await;
    send(&bed, 2, 1).await.expect("stored");
    bed.ingest.flush_all().await.expect("flushed");
    for day in 1..=6 {
        bed.clock.step(DAY_US + HOUR_US / 2);
        bed.events(r#"{"type":"other"}"#).await.ok();
        bed.ingest.flush_all().await.expect("flushed");
        let sidecars = bed.catalog.events(&ns("shop")).sidecars.len();
        assert!(sidecars <= 2, "{sidecars} sidecars on day {day}");
        bed = bed.restart(if day % 2 == 0 { End::Killed } else { End::Drained }).await;
        assert_eq!(stand(&bed).await, Some((2, 1)), "day {day}");
        assert!(send(&bed, 2, 1).await.expect("answered").duplicate, "day {day}");
    }
    bed.clock.step(DAY_US);
    assert_eq!(stand(&bed).await, None);
    assert_eq!(code(send(&bed, 2, 2).await), "sequence_gap");
    let bed = bed.restart(End::Drained).await;
    assert_eq!(stand(&bed).await, None);
    assert!(!send(&bed, 2, 1).await.expect("stored").duplicate, "it begins anew");
}

/// A lake that stood still for days remembers its producers when it is started again.
#[tokio::test]
async fn a_lake_at_rest_remembers_its_producers() {
    let bed = Bed::new().await;
    send(&bed, 1, 1).await.expect("stored");
    let stopped = bed.stop(End::Drained).await;
    stopped.clock().step(3 * DAY_US);
    let bed = stopped.start().await.expect("opens");
    assert_eq!(stand(&bed).await, Some((1, 1)));
    bed.events(r#"{"type":"other"}"#).await.ok();
    bed.ingest.flush_all().await.expect("flushed");
    let bed = bed.restart(End::Killed).await;
    assert!(send(&bed, 1, 1).await.expect("answered").duplicate);
}

#[tokio::test]
async fn producers_are_capped() {
    let bed = Bed::with(Config { producers_max: 1, ..quiet() }).await;
    send(&bed, 1, 1).await.expect("stored");
    let other = Sequenced { id: "other".to_owned(), epoch: 1, sequence: 1 };
    let refused = bed.ingest.append_sequenced(&ns("shop"), other, Some(request(1))).await;
    assert_eq!(code(refused), "back_pressure");
    send(&bed, 1, 2).await.expect("who is known goes on");
    for id in ["", &"x".repeat(129)] {
        let wrong = Sequenced { id: id.to_owned(), epoch: 1, sequence: 1 };
        let refused = bed.ingest.append_sequenced(&ns("shop"), wrong, Some(request(1))).await;
        assert_eq!(code(refused), "invalid_parameter");
    }
}
