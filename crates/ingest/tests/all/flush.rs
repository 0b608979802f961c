//! Files and commits: exactly once, sorted, and everything the manifest says of them is true.

use arrow::array::{Array, AsArray};
use tidemark_ingest::Config;
use tidemark_model::{CollectionName, Instant, Table};

use crate::bed::{Bed, End, collection, ns, quiet};

fn some(from: usize, to: usize) -> String {
    let line = |n: usize| match n % 3 {
        0 => format!(r#"{{"type":"seen","id":"e{n}","ts":{}}}"#, 1_000_000 - n),
        1 => format!(r#"{{"collection":"orders","op":"insert","id":"{n}","doc":{{"n":{n}}},"event_id":"e{n}"}}"#),
        _ => format!(r#"{{"collection":"carts","op":"delete","id":"{n}","event_id":"e{n}","ts":{n}}}"#),
    };
    format!("[{}]", (from..to).map(line).collect::<Vec<_>>().join(","))
}

fn ids(to: usize) -> Vec<String> {
    let mut ids: Vec<String> = (0..to).map(|n| format!("e{n}")).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn every_event_once_through_flushes_and_restarts() {
    let mut bed = Bed::new().await;
    let mut sent = 0;
    for (round, end) in [End::Killed, End::Drained, End::Killed, End::Killed].into_iter().enumerate() {
        bed.events(&some(sent, sent + 10)).await.ok();
        if round % 2 == 0 {
            bed.ingest.flush(&ns("shop")).await.expect("flushes");
        }
        bed.events(&some(sent + 10, sent + 17)).await.ok();
        sent += 17;
        assert_eq!(bed.texts(&Table::Events, "id").await, ids(sent), "before end {round}");
        bed = bed.restart(end).await;
        assert_eq!(bed.texts(&Table::Events, "id").await, ids(sent), "after end {round}");
        let orders = (0..sent).filter(|n| n % 3 == 1).count();
        assert_eq!(bed.count(&collection("orders")).await, orders, "orders after end {round}");
    }
}

#[tokio::test]
async fn positions_have_no_gaps_over_restarts() {
    let mut bed = Bed::new().await;
    let mut sent = 0;
    for end in [End::Killed, End::Drained, End::Killed] {
        bed.events(&some(sent, sent + 30)).await.ok();
        sent += 30;
        bed = bed.restart(end).await;
    }
    let mut positions = Vec::new();
    for batch in bed.rows(&Table::Events).await {
        let column =
            |name| batch.column_by_name(name).expect("a column").as_primitive::<arrow::datatypes::Int64Type>().clone();
        let (shards, seqs) = (column("_shard"), column("_seq"));
        positions.extend(shards.values().iter().zip(seqs.values()).map(|(shard, seq)| (*shard, *seq)));
    }
    positions.sort_unstable();
    assert_eq!(positions.len(), sent);
    for pair in positions.windows(2) {
        let follows = if pair[0].0 == pair[1].0 { pair[0].1 + 1 == pair[1].1 } else { pair[1].1 == 0 };
        assert!(follows, "{pair:?}");
    }
}

#[tokio::test]
async fn a_file_is_sorted_and_its_entry_is_true() {
    let bed = Bed::new().await;
    bed.events(&some(0, 10)).await.ok();
    bed.events(&some(10, 40)).await.ok();
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    let manifest = bed.catalog.events(&ns("shop"));
    let [file] = &manifest.files[..] else { panic!("one file, not {:?}", manifest.files) };
    assert_eq!(file.rows, 40);
    assert_eq!(file.positions.iter().map(tidemark_model::Positions::count).sum::<u64>(), 40);
    assert!(file.positions.iter().all(|run| run.first == 0 && manifest.mark.seq(run.shard) == run.last));
    assert_eq!(file.system_time.max, manifest.system_time);
    let contents: Vec<_> =
        file.collections.iter().map(|rows| (rows.collection.as_str(), rows.rows, rows.schema_id)).collect();
    assert_eq!(contents, [("carts", 13, 0), ("orders", 13, 1)]);
    let mut keys = Vec::new();
    let mut times = Vec::new();
    for batch in bed.rows(&Table::Events).await {
        let text = |name: &str| batch.column_by_name(name).expect("a column").as_string::<i32>().clone();
        let (collections, types) = (text("collection"), text("type"));
        let ts = batch
            .column_by_name("ts")
            .expect("a column")
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
            .clone();
        for row in 0..batch.num_rows() {
            let collection = collections.is_valid(row).then(|| collections.value(row).to_owned());
            keys.push((collection, types.value(row).to_owned(), ts.value(row)));
            times.push(ts.value(row));
        }
    }
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(
        (file.ts.min.micros(), file.ts.max.micros()),
        (*times.iter().min().expect("some"), *times.iter().max().expect("some"))
    );
}

#[tokio::test]
async fn a_full_tail_is_flushed_by_itself() {
    let bed = Bed::with(Config { flush_rows: 50, ..quiet() }).await;
    let mut bell = bed.ingest.bell().listen();
    bed.events(&some(0, 60)).await.ok();
    tokio::time::timeout(std::time::Duration::from_secs(30), bell.changed()).await.expect("rings").expect("a bell");
    assert_eq!(bed.catalog.events(&ns("shop")).files.len(), 1);
    assert_eq!(bed.count(&Table::Events).await, 60);
}

#[tokio::test]
async fn a_key_without_rows_survives_a_flush() {
    let mut bed = Bed::new().await;
    bed.events(r#"{"type":"a","id":"e1"}"#).await.ok();
    let keyed = [("idempotency-key", "k")];
    let first = bed.post("/v1/shop/events", r#"{"type":"a","id":"e1"}"#, &keyed).await.ok();
    assert_eq!(first["accepted"], 0);
    for end in [End::Killed, End::Drained, End::Killed] {
        bed = bed.restart(end).await;
        let again = bed.post("/v1/shop/events", r#"{"type":"a","id":"e1"}"#, &keyed).await.ok();
        assert_eq!((&again["duplicate"], &again["system_time"]), (&true.into(), &first["system_time"]), "{end:?}");
    }
    assert_eq!(bed.count(&Table::Events).await, 1);
}

#[tokio::test]
async fn small_sidecars_are_merged() {
    let bed = Bed::new().await;
    for n in 0..70 {
        bed.events(&format!(r#"{{"type":"a","id":"e{n}"}}"#)).await.ok();
        bed.ingest.flush(&ns("shop")).await.expect("flushes");
    }
    let sidecars = bed.catalog.events(&ns("shop")).sidecars.clone();
    assert!(sidecars.len() < 10, "{} sidecars", sidecars.len());
    assert_eq!(sidecars.iter().map(|sidecar| sidecar.rows).sum::<u64>(), 70);
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.events(r#"{"type":"a","id":"e0"}"#).await.ok()["duplicates"], 1);
}

/// Else a change that was acknowledged would be older than its collection, and in no past.
#[tokio::test]
async fn no_change_is_older_than_its_collection_whatever_the_clock_does() {
    for end in [None, Some(End::Killed), Some(End::Drained)] {
        let mut bed = Bed::new().await;
        let orders = CollectionName::parse("orders").expect("a name");
        assert!(bed.ingest.create(&ns("shop"), Some(&orders)).await.expect("creates"));
        bed.clock.step(-600_000_000);
        if let Some(end) = end {
            bed = bed.restart(end).await;
        }
        let receipt = bed.events(r#"{"collection":"orders","op":"insert","id":"a","doc":{}}"#).await.ok();
        let stored_at = Instant::parse(receipt["system_time"].as_str().expect("a text")).expect("an instant");
        let created_at = bed.catalog.collection(&ns("shop"), &orders).expect("is there").created_at;
        assert!(stored_at >= created_at, "{end:?}: {stored_at} {created_at}");
    }
}
