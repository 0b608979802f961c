//! Which log goes with a lake: what was acknowledged into another one is never taken for stored.

use axum::body::Body;
use tidemark_model::Table;

use crate::bed::{Bed, End, Stopped, copy, ns, quiet};

async fn send(bed: &Bed, id: &str) {
    bed.events(&format!(r#"{{"type":"a","id":"{id}"}}"#)).await.ok();
}

async fn flush(bed: &Bed) {
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
}

/// Puts a log that was left behind where the next process looks for the first one.
fn back_on(stopped: Stopped, log: &std::path::Path) -> Stopped {
    let stopped = stopped.with_log("");
    copy(log, &stopped.log());
    stopped
}

#[tokio::test]
async fn a_log_that_another_one_overtook_refuses_the_start() {
    let bed = Bed::new().await;
    send(&bed, "e1").await;
    flush(&bed).await;
    send(&bed, "acknowledged and in no file").await;
    let first = bed.stop(End::Killed).await;
    let log = first.log();
    let other = first.with_log("other").start().await.expect("opens");
    other.clock.step(1_000_000);
    send(&other, "e2").await;
    send(&other, "e3").await;
    let stopped = other.stop(End::Drained).await;
    let other_log = stopped.log();

    let (stopped, error) = *back_on(stopped, &log).start().await.expect_err("must not start");
    let error = error.to_string();
    assert!(error.contains("appends of shop") && error.contains("epoch 2"), "{error}");
    let stopped = stopped.with_log("other");
    assert_eq!(stopped.log(), other_log, "nothing has moved");
    let bed = stopped.start().await.expect("the other log goes with the lake");
    assert_eq!(bed.texts(&Table::Events, "id").await, ["e1", "e2", "e3"]);
}

#[tokio::test]
async fn a_log_that_is_in_files_goes_on_after_another() {
    let bed = Bed::new().await;
    send(&bed, "e1").await;
    flush(&bed).await;
    let first = bed.stop(End::Killed).await;
    let log = first.log();
    let other = first.with_log("other").start().await.expect("opens");
    other.clock.step(1_000_000);
    send(&other, "e2").await;
    let stopped = other.stop(End::Drained).await;
    let mut bed = back_on(stopped, &log).start().await.expect("holds nothing that is not in files");
    send(&bed, "e3").await;
    for end in [End::Killed, End::Killed, End::Drained] {
        bed = bed.restart(end).await;
        assert_eq!(bed.texts(&Table::Events, "id").await, ["e1", "e2", "e3"], "{end:?}");
    }
}

#[tokio::test]
async fn a_namespace_that_nobody_else_wrote_to_comes_back() {
    let bed = Bed::new().await;
    send(&bed, "e1").await;
    let first = bed.stop(End::Killed).await;
    let log = first.log();
    let other = first.with_log("other").start().await.expect("opens");
    other.post("/v1/elsewhere/events", Body::from(r#"{"type":"a"}"#), &[]).await.ok();
    let stopped = other.stop(End::Drained).await;
    let bed = back_on(stopped, &log).start().await.expect("opens");
    assert_eq!(bed.texts(&Table::Events, "id").await, ["e1"]);
}

/// An owner that only put files together has given no position away.
#[tokio::test]
async fn a_log_goes_on_after_another_owner_who_only_compacted() {
    let bed = Bed::with(tidemark_ingest::Config { compact_after_s: 0, ..quiet() }).await;
    for id in ["e1", "e2"] {
        send(&bed, id).await;
        flush(&bed).await;
    }
    send(&bed, "e3, acknowledged and in no file").await;
    let first = bed.stop(End::Killed).await;
    let log = first.log();
    let other = first.with_log("other").start().await.expect("opens");
    other.clock.step(100_000_000_000);
    let _more = other.ingest.upkeep(tidemark_ingest::Duty::Compaction).await.expect("compacts");
    assert_eq!(other.catalog.events(&ns("shop")).files.len(), 1);
    let stopped = other.stop(End::Killed).await;
    let bed = back_on(stopped, &log).start().await.expect("opens");
    assert_eq!(bed.texts(&Table::Events, "id").await, ["e1", "e2", "e3, acknowledged and in no file"]);
}

#[tokio::test]
async fn a_missing_first_segment_refuses_the_start() {
    let bed = Bed::new().await;
    let noise = |n: u64| {
        let word = |at: u64| (n * 100_000 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..35_000).map(|at| format!("{:016x}", word(at))).collect::<String>()
    };
    for n in 0..6 {
        // Of one collection, so that all stand in one shard.
        bed.changes(&format!(r#"{{"op":"insert","id":"{n}","doc":{{"noise":"{}"}}}}"#, noise(n))).await.ok();
    }
    let stopped = bed.stop(End::Killed).await;
    let mut segments: Vec<_> = std::fs::read_dir(stopped.log())
        .expect("lists")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    let (taken, kept) = (segments[0].clone(), std::fs::read(&segments[0]).expect("reads"));
    std::fs::remove_file(&taken).expect("removes");
    let (stopped, error) = *stopped.start().await.expect_err("must not start");
    assert!(error.to_string().contains("a segment of the log is missing"), "{error}");
    std::fs::write(&taken, kept).expect("writes");
    assert_eq!(stopped.start().await.expect("opens").count(&Table::Events).await, 6);
}
