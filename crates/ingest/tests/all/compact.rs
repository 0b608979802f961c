//! Compaction and clean-up of the events table: the same rows in fewer files, and nothing left behind.

use std::time::Duration;

use arrow::{
    array::{Array, AsArray, RecordBatch, UInt32Array},
    compute::{concat_batches, lexsort_to_indices, take_record_batch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use tidemark_catalog::{CollectionManifest, manifest::EventsFile};
use tidemark_fold::columns::events_schema;
use tidemark_ingest::{Config, Duty, More};
use tidemark_model::{CollectionName, Table};
use tidemark_storage::files::{self, Wanted};

use crate::{
    bed::{Bed, End, ns, quiet},
    flaky::{Answer, Verb, store},
};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 1440 * MINUTE_US;
/// After so many ticks a duty is never done.
const TICKS_MAX: usize = 100;

fn hasty() -> Config {
    Config { compact_after_s: 0, grace_s: 0, external_retention_s: 0, ..quiet() }
}

/// Ticks until nothing is due.
async fn done(bed: &Bed, duty: Duty) {
    for _tick in 0..TICKS_MAX {
        if bed.ingest.upkeep(duty).await.expect("ticks") == More::No {
            return;
        }
    }
    panic!("{duty:?} is never done");
}

async fn flush(bed: &Bed) {
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
}

/// Plain events of some types, with source times that go back and forth.
fn plain(from: usize, to: usize) -> String {
    let line = |n: usize| {
        format!(r#"{{"type":"t{}","id":"e{n}","ts":{},"data":{{"n":{n}}}}}"#, n % 3, 1_000_000 + n * 7919 % 1000)
    };
    format!("[{}]", (from..to).map(line).collect::<Vec<_>>().join(","))
}

fn changes(from: usize, to: usize) -> String {
    let line = |n: usize| {
        let name = if n.is_multiple_of(2) { "orders" } else { "carts" };
        format!(r#"{{"collection":"{name}","op":"insert","id":"{n}","doc":{{"n":{n}}},"event_id":"e{n}"}}"#)
    };
    format!("[{}]", (from..to).map(line).collect::<Vec<_>>().join(","))
}

/// Files that begin ten minutes apart, each with ten rows.
async fn fill(bed: &Bed, files: usize, body: fn(usize, usize) -> String) {
    for n in 0..files {
        bed.events(&body(n * 10, n * 10 + 10)).await.ok();
        flush(bed).await;
        bed.clock.step(10 * MINUTE_US);
    }
}

/// Every row there is, in order of positions.
async fn rows(bed: &Bed) -> RecordBatch {
    let all = concat_batches(&events_schema(), &bed.rows(&Table::Events).await).expect("one batch");
    let column = |name: &str| arrow::compute::SortColumn {
        values: all.column_by_name(name).expect("a column").clone(),
        options: None,
    };
    let order: UInt32Array = lexsort_to_indices(&[column("_shard"), column("_seq")], None).expect("sorts");
    take_record_batch(&all, &order).expect("takes")
}

fn files(bed: &Bed) -> Vec<EventsFile> {
    bed.catalog.events(&ns("shop")).files.clone()
}

/// What an entry says against what the file holds.
async fn is_true(bed: &Bed, file: &EventsFile) {
    let read = files::read(bed.catalog.store(), &file.path.as_str().into(), &Wanted::default()).await.expect("reads");
    let all = concat_batches(&events_schema(), &read).expect("one batch");
    assert_eq!(
        (all.num_rows() as u64, bed.catalog.store().checksum(&file.path.as_str().into()).await.expect("reads")),
        (file.rows, file.sha256.clone())
    );
    let times = |name: &str| {
        let times = all.column_by_name(name).expect("a column").as_primitive::<TimestampMicrosecondType>();
        (arrow::compute::min(times).expect("some"), arrow::compute::max(times).expect("some"))
    };
    assert_eq!(times("ts"), (file.ts.min.micros(), file.ts.max.micros()));
    assert_eq!(times("_system_time"), (file.system_time.min.micros(), file.system_time.max.micros()));
    let numbers =
        |name: &str| all.column_by_name(name).expect("a column").as_primitive::<Int64Type>().values().to_vec();
    let mut positions: Vec<(i64, i64)> = numbers("_shard").into_iter().zip(numbers("_seq")).collect();
    positions.sort_unstable();
    let told = file.positions.iter().flat_map(|run| (run.first..=run.last).map(|seq| (i64::from(run.shard.0), seq)));
    assert_eq!(positions, told.collect::<Vec<_>>());
    let (collections, types) = (
        all.column_by_name("collection").expect("a column").as_string::<i32>(),
        all.column_by_name("type").expect("a column").as_string::<i32>(),
    );
    let ts = all.column_by_name("ts").expect("a column").as_primitive::<TimestampMicrosecondType>();
    let key = |row: usize| (collections.is_valid(row).then(|| collections.value(row)), types.value(row), ts.value(row));
    assert!((0..all.num_rows()).map(key).is_sorted());
    for held in &file.collections {
        let own = (0..all.num_rows())
            .filter(|row| collections.is_valid(*row) && collections.value(*row) == held.collection.as_str());
        let seqs: Vec<i64> = own.map(|row| numbers("_seq")[row]).collect();
        assert_eq!(
            (seqs.len() as u64, seqs.iter().min(), seqs.iter().max()),
            (held.rows, Some(&held.seq.min), Some(&held.seq.max))
        );
    }
    let names = collections.iter().flatten().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        file.collections.iter().map(|held| held.collection.as_str()).collect::<Vec<_>>(),
        names.into_iter().collect::<Vec<_>>()
    );
}

/// Says that the deltas of a collection hold everything up to where the events table reaches.
async fn take_in(bed: &Bed, name: &str) {
    let (namespace, name) = (ns("shop"), CollectionName::parse(name).expect("a name"));
    let (on, events) = (bed.catalog.manifest(&namespace, &name), bed.catalog.events(&namespace));
    let shard = bed.catalog.collection(&namespace, &name).expect("is known").shard;
    let next = CollectionManifest { mark: events.mark.seq(shard), ..CollectionManifest::clone(&on) };
    let _committed = bed.catalog.commit_collection((&namespace, &name), &on, next).await.expect("commits");
}

#[tokio::test]
async fn small_files_of_closed_hours_then_days_become_one_and_no_row_changes() {
    let bed = Bed::with(hasty()).await;
    fill(&bed, 15, plain).await;
    let (before, mark) = (rows(&bed).await, bed.catalog.events_mark(&ns("shop")));
    // Two hours of six files are over; the third is not.
    for (step_us, expected) in [(0, 5), (30 * MINUTE_US - 1, 5), (1, 3), (DAY_US, 1)] {
        bed.clock.step(step_us);
        done(&bed, Duty::Compaction).await;
        assert_eq!(files(&bed).len(), expected, "after {step_us}");
        assert_eq!(rows(&bed).await, before, "after {step_us}");
        for file in files(&bed) {
            is_true(&bed, &file).await;
        }
    }
    assert_eq!(bed.catalog.events_mark(&ns("shop")), mark);
    // Whoever holds the manifest before still finds its files, until clean-up takes what no manifest names.
    let listed = bed.catalog.store().list(&"shop/events/2026".into()).await.expect("lists").len();
    assert_eq!(listed, 15 + 2 + 1 + 1);
    done(&bed, Duty::CleanUp).await;
    assert_eq!(bed.catalog.store().list(&"shop/events/2026".into()).await.expect("lists").len(), 1);
    assert_eq!(rows(&bed).await, before);
    // Keys and ids are remembered as before, over a restart too; and what comes later goes on behind.
    let bed = bed.restart(End::Killed).await;
    assert_eq!(rows(&bed).await, before);
    bed.events(&plain(1000, 1010)).await.ok();
    flush(&bed).await;
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.events(&plain(1000, 1010)).await.ok()["duplicates"], 10);
    assert_eq!(bed.count(&Table::Events).await, 160);
}

#[tokio::test]
async fn files_that_a_collection_still_needs_are_left_alone() {
    let bed = Bed::with(hasty()).await;
    fill(&bed, 6, changes).await;
    bed.clock.step(2 * DAY_US);
    let before = rows(&bed).await;
    for (takes_in, expected) in [(None, 6), (Some("orders"), 6), (Some("carts"), 1)] {
        if let Some(name) = takes_in {
            take_in(&bed, name).await;
        }
        done(&bed, Duty::Compaction).await;
        assert_eq!(files(&bed).len(), expected, "{takes_in:?}");
        assert_eq!(rows(&bed).await, before);
    }
    is_true(&bed, &files(&bed)[0]).await;
}

#[tokio::test]
async fn a_compaction_whose_commit_has_an_unknown_outcome_is_not_done_twice() {
    let (store, rules) = store();
    let bed = Bed::on(store, hasty()).await;
    fill(&bed, 6, plain).await;
    bed.clock.step(DAY_US);
    let before = rows(&bed).await;
    // The commit is applied, but neither its answer nor what was written can be read.
    rules.set(|verb, path| match verb {
        Verb::Put if path.contains("/_manifest/") => Answer::DoneButFailed,
        Verb::Get if path.contains("/_manifest/") => Answer::Failed,
        _ => Answer::Honest,
    });
    bed.ingest.upkeep(Duty::Compaction).await.expect_err("nobody knows");
    rules.heal();
    assert_eq!(files(&bed).len(), 6, "nobody has told");
    assert_eq!(rows(&bed).await, before);
    done(&bed, Duty::Compaction).await;
    assert_eq!(files(&bed).len(), 1);
    assert_eq!(rows(&bed).await, before);
    done(&bed, Duty::CleanUp).await;
    assert_eq!(bed.catalog.store().list(&"shop/events/2026".into()).await.expect("lists").len(), 1);
    assert_eq!(rows(&bed).await, before);
}

/// Clean-up finds files that are written and not committed yet, and takes them: the flush writes them anew.
#[tokio::test]
async fn flushes_compactions_and_clean_ups_at_once_lose_nothing() {
    let bed = Bed::with(hasty()).await;
    let compact = async {
        loop {
            let _more = bed.ingest.upkeep(Duty::Compaction).await.expect("ticks");
            tokio::task::yield_now().await;
        }
    };
    // Once per commit, at various moments of the flush that follows: more often it would have no chance.
    let clean_up = async {
        let mut bell = bed.ingest.bell().listen();
        for n in 0.. {
            bell.changed().await.expect("a bell");
            tokio::time::sleep(Duration::from_micros(n * 137 % 3000)).await;
            let _more = bed.ingest.upkeep(Duty::CleanUp).await.expect("ticks");
        }
    };
    let flushes = async {
        for n in 0..150 {
            bed.events(&plain(n * 2, n * 2 + 2)).await.ok();
            flush(&bed).await;
            bed.clock.step(13 * MINUTE_US);
        }
    };
    tokio::select! {
        () = compact => {}
        () = clean_up => {}
        () = flushes => {}
    }
    let mut expected: Vec<String> = (0..300).map(|n| format!("e{n}")).collect();
    expected.sort_unstable();
    assert_eq!(bed.texts(&Table::Events, "id").await, expected);
    assert!(bed.catalog.events(&ns("shop")).head.orphans_below > 0, "nothing was cleaned up");
    assert!(files(&bed).len() < 100, "nothing was compacted");
}
