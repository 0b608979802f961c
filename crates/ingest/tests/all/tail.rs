//! The live tail is exact: rows after the mark, of the table, each once.

use arrow::array::{AsArray, RecordBatch};
use tidemark_catalog::{Behind, LiveTail};
use tidemark_model::{Mark, Seq, Shard, Table};

use crate::bed::{Bed, collection, ns};

async fn read(bed: &Bed, table: &Table, after: &Mark) -> Result<Vec<RecordBatch>, Behind> {
    bed.ingest.tail(&ns("shop"), table, after).await.map(|tail| tail.batches)
}

fn seqs(batches: &[RecordBatch]) -> Vec<Seq> {
    let seqs = |batch: &RecordBatch| {
        let column = batch.column_by_name("_seq").expect("a column");
        column.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    };
    batches.iter().flat_map(seqs).collect()
}

#[tokio::test]
async fn rows_after_a_mark_are_exact() {
    let bed = Bed::new().await;
    for n in 0..4 {
        let (a, b, c) = (3 * n, 3 * n + 1, 3 * n + 2);
        let line = |n: i32| format!(r#"{{"op":"insert","id":"{n}","doc":{{}}}}"#);
        bed.changes(&[line(a), line(b), line(c)].join("\n")).await.ok();
        bed.events(r#"[{"type":"a"},{"type":"b"},{"type":"c"}]"#).await.ok();
    }
    let shard = bed.catalog.collections(&ns("shop"))[0].shard;
    let orders = collection("orders");
    for after in -1..12 {
        let mut mark = Mark::default();
        mark.raise(shard, after);
        let rows = read(&bed, &orders, &mark).await.expect("not behind");
        let of_orders = seqs(&rows);
        assert!(of_orders.iter().all(|seq| *seq > after), "after {after}: {of_orders:?}");
        let documents: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let whole = seqs(&read(&bed, &orders, &Mark::default()).await.expect("not behind"));
        assert_eq!(documents, whole.iter().filter(|seq| **seq > after).count(), "after {after}");
    }
    assert_eq!(seqs(&read(&bed, &Table::Events, &Mark::default()).await.expect("not behind")).len(), 24);
    let mut all = Mark::default();
    (0..16).for_each(|shard| all.raise(Shard(shard), 100));
    assert!(read(&bed, &Table::Events, &all).await.expect("not behind").is_empty());
    assert!(read(&bed, &collection("carts"), &Mark::default()).await.expect("not behind").is_empty());
}

#[tokio::test]
async fn a_view_older_than_the_tail_is_behind() {
    let bed = Bed::new().await;
    bed.changes(r#"{"op":"delete","id":"1"}"#).await.ok();
    let before = bed.catalog.events_mark(&ns("shop"));
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    assert_eq!(read(&bed, &collection("orders"), &before).await.err(), Some(Behind));
    let now = bed.catalog.events_mark(&ns("shop"));
    assert!(read(&bed, &collection("orders"), &now).await.expect("not behind").is_empty());
    bed.changes(r#"{"op":"delete","id":"2"}"#).await.ok();
    assert_eq!(read(&bed, &Table::Events, &now).await.expect("not behind").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_whole_while_rows_move() {
    let bed = Bed::new().await;
    let writing = async {
        for n in 0..60 {
            bed.changes(&format!(r#"{{"op":"insert","id":"{n}","doc":{{"n":{n}}}}}"#)).await.ok();
            if n % 7 == 0 {
                bed.ingest.flush(&ns("shop")).await.expect("flushes");
            }
        }
    };
    let reading = async {
        let mut last = 0;
        while last < 60 {
            let mut seen: Vec<Seq> = seqs(&bed.rows(&collection("orders")).await);
            seen.sort_unstable();
            assert_eq!(seen, (0..i64::try_from(seen.len()).expect("small")).collect::<Vec<_>>());
            assert!(seen.len() >= last, "acknowledged rows went away");
            last = seen.len();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn many_small_appends_are_few_batches() {
    let bed = Bed::new().await;
    for n in 0..200 {
        bed.changes(&format!(r#"{{"op":"insert","id":"{n}","doc":{{}}}}"#)).await.ok();
        if n == 100 {
            bed.ingest.flush(&ns("shop")).await.expect("flushes");
        }
    }
    let mark = bed.catalog.events_mark(&ns("shop"));
    for table in [Table::Events, collection("orders")] {
        let rows = read(&bed, &table, &mark).await.expect("not behind");
        assert_eq!(seqs(&rows), (101..200).collect::<Vec<_>>());
        assert!(rows.len() <= 64, "{} batches", rows.len());
        assert_eq!(bed.count(&table).await, 200);
    }
}
