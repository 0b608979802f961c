//! Merging against sorting everything at once.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array},
    compute::concat_batches,
};
use tidemark_catalog::manifest::Range;
use tidemark_fold::columns::events_schema;
use tidemark_model::{Ids, Instant};
use tidemark_storage::files::{self, Content, FileKind};

use super::*;

type Row = (Option<String>, String, i64, i64);

/// Rows of one file in its order; the last number is unique and ascends from file to file.
fn rows(random: &Ids, count: u64, first: i64) -> Vec<Row> {
    let below = |end: u64| (random.random() >> 16) % end;
    let mut rows: Vec<Row> = (0..count)
        .map(|_| {
            let collection = Some(below(4)).filter(|of| *of > 0).map(|of| format!("c{of}"));
            (collection, format!("t{}", below(3)), i64::try_from(below(50)).expect("small"), 0)
        })
        .collect();
    rows.sort();
    rows.iter_mut().zip(first..).for_each(|(row, at)| row.3 = at);
    rows
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = events_schema();
    let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
        let texts =
            |of: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
        let times = || TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.2)).with_timezone("UTC");
        match field.name().as_str() {
            event::COLLECTION => texts(&|row| row.0.clone()),
            event::TYPE => texts(&|row| Some(row.1.clone())),
            event::ID => texts(&|row| Some(format!("e{}", row.3))),
            event::TS | event::SYSTEM_TIME => Arc::new(times()),
            event::SEQ | event::SHARD => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
            _ => texts(&|row| Some("x".repeat(usize::try_from(row.3 % 5).unwrap_or(0)))),
        }
    };
    RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect()).expect("a batch")
}

async fn stored(store: &Store, number: usize, rows: &[Row]) -> EventsFile {
    let content = Content { schema: events_schema(), batches: vec![batch(rows)], metadata: Vec::new() };
    let path = Path::from(format!("{number}.parquet"));
    let written = files::write(store, FileKind::Events, path, content).await.expect("writes");
    let at = Range { min: Instant::from_micros(0), max: Instant::from_micros(0) };
    EventsFile {
        path: written.path.to_string(),
        planned_on: 0,
        rows: written.rows,
        bytes: written.bytes,
        sha256: written.sha256,
        positions: Vec::new(),
        system_time: at,
        ts: at,
        collections: Vec::new(),
    }
}

#[tokio::test]
async fn the_rows_of_sorted_files_come_in_order_and_ties_by_arrival() {
    for seed in 0..10 {
        let (store, random) = (Store::memory(), Ids::seeded(seed));
        let (mut all, mut entries): (Vec<Row>, _) = (Vec::new(), Vec::new());
        for number in 0..1 + usize::try_from(random.random() >> 60).expect("small") {
            let size = [0, 1, 7, 900, 20_000][usize::try_from((random.random() >> 16) % 5).expect("small")];
            let rows = rows(&random, size, i64::try_from(all.len()).expect("small"));
            entries.push(stored(&store, number, &rows).await);
            all.extend(rows);
        }
        let mut merge = Merge::open(&store, &entries).await.expect("opens");
        let mut merged = Vec::new();
        while let Some(batch) = merge.next().await.expect("merges") {
            assert!(batch.num_rows() > 0 && batch.num_rows() <= CHUNK_ROWS);
            merged.push(batch);
        }
        all.sort();
        if all.is_empty() {
            assert!(merged.is_empty());
            continue;
        }
        let merged = concat_batches(&events_schema(), &merged).expect("one batch");
        assert_eq!(merged, batch(&all), "seed {seed}");
    }
}
