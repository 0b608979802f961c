//! Files round trip in every kind, and pruning never changes an answer.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::concat_batches,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use tidemark_fold::columns;
use tidemark_model::DocSchema;

use super::*;

/// Rows of any of our schemas: texts and numbers that follow the row number.
fn rows(schema: &SchemaRef, count: usize) -> RecordBatch {
    let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
        let nth = |at: usize| (!field.is_nullable() || !at.is_multiple_of(3)).then_some(at);
        match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from_iter(
                (0..count).map(|at| nth(at).map(|at| format!("{}-{at:07}", field.name()))),
            )),
            DataType::Int64 => Arc::new(Int64Array::from_iter((0..count).map(|at| nth(at).map(|at| at as i64)))),
            DataType::Timestamp(..) => Arc::new(
                TimestampMicrosecondArray::from_iter((0..count).map(|at| nth(at).map(|at| at as i64 * 1_000_003)))
                    .with_timezone("UTC"),
            ),
            other => panic!("no rows of {other}"),
        }
    };
    RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect()).unwrap()
}

fn doc_schema() -> DocSchema {
    serde_json::from_str(r#"{"id":1,"fields":[{"id":1,"name":"origin","kinds":32},{"id":2,"name":"delay","kinds":2}]}"#)
        .unwrap()
}

fn schema_of(kind: FileKind) -> SchemaRef {
    match kind {
        FileKind::Events => columns::events_schema(),
        FileKind::Delta => columns::changes_schema(&doc_schema()),
        FileKind::State => columns::state_schema(&doc_schema()),
        FileKind::Tombstones => columns::tombstones_schema(),
        FileKind::Idempotency => Arc::new(arrow::datatypes::Schema::new(vec![
            arrow::datatypes::Field::new("hash", DataType::Utf8, false),
            arrow::datatypes::Field::new("receipt", DataType::Utf8, true),
        ])),
    }
}

const KINDS: [FileKind; 5] =
    [FileKind::Events, FileKind::Delta, FileKind::State, FileKind::Tombstones, FileKind::Idempotency];

async fn stored(store: &Store, kind: FileKind, batch: RecordBatch) -> Written {
    let metadata = vec![("schema_id".to_owned(), "1".to_owned())];
    let content = Content { schema: batch.schema(), batches: vec![batch], metadata };
    write(store, kind, Path::from(format!("x/{}.parquet", kind.as_str())), content).await.unwrap()
}

#[tokio::test]
async fn a_file_that_is_written_and_read_bit_by_bit_is_the_same() {
    let store = Store::memory();
    let batch = rows(&schema_of(FileKind::Events), 150_000);
    let metadata = vec![("namespace".to_owned(), "shop".to_owned())];
    let whole = Content { schema: batch.schema(), batches: vec![batch.clone()], metadata: metadata.clone() };
    let whole = write(&store, FileKind::Events, Path::from("whole.parquet"), whole).await.unwrap();
    let place = (FileKind::Events, Path::from("bits.parquet"));
    let mut writer = Writer::begin(&store, place, batch.schema(), (150_000, &metadata)).unwrap();
    for from in (0..150_000).step_by(10_000) {
        writer.write(batch.slice(from, 10_000)).await.unwrap();
    }
    assert!(!store.exists(&Path::from("bits.parquet")).await.unwrap(), "not before its end");
    let bits = writer.finish().await.unwrap();
    assert_eq!((bits.rows, bits.bytes), (whole.rows, store.size(&bits.path).await.unwrap().unwrap()));
    assert_eq!(bits.sha256, store.checksum(&bits.path).await.unwrap());

    let mut reader = Rows::open(&store, &bits.path, 1 << 20).await.unwrap();
    let mut read = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        assert!(batch.num_rows() <= 8192, "{} rows at once", batch.num_rows());
        read.push(batch);
    }
    assert!(read.len() > 150_000 / 8192);
    assert_eq!(concat_batches(&batch.schema(), &read).unwrap(), batch);
}

#[tokio::test]
async fn what_is_looked_up_by_id_has_small_pages() {
    let store = Store::memory();
    for (kind, most) in [(FileKind::Delta, 4096), (FileKind::State, 8192)] {
        let written = stored(&store, kind, rows(&schema_of(kind), 20_000)).await;
        let pages = Opened::open(&store, written.path).await.unwrap().pages(columns::doc::ID).unwrap();
        let counts: Vec<u64> = pages.iter().map(|page| page.rows).collect();
        assert_eq!(counts.iter().sum::<u64>(), 20_000, "{kind:?}");
        assert!(counts.iter().all(|rows| *rows <= most), "{kind:?}: {counts:?}");
    }
}

#[tokio::test]
async fn every_kind_round_trips_with_its_schema_and_footer() {
    let store = Store::memory();
    for kind in KINDS {
        let batch = rows(&schema_of(kind), 1000);
        let written = stored(&store, kind, batch.clone()).await;
        let bytes = store.get(&written.path).await.unwrap();
        assert_eq!((written.rows, written.bytes), (1000, bytes.len() as u64));
        assert_eq!(written.sha256.len(), 64);
        let read = read(&store, &written.path, &Wanted::default()).await.unwrap();
        assert_eq!(read[0].schema(), batch.schema(), "{kind:?}");
        assert_eq!(read, [batch]);

        let reader = SerializedFileReader::new(bytes).unwrap();
        let footer = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let entry = |key: &str| footer.iter().find(|one| one.key == key).and_then(|one| one.value.clone());
        assert_eq!(entry("tidemark.format").as_deref(), Some("1"));
        assert_eq!(entry("tidemark.kind").as_deref(), Some(kind.as_str()));
        assert_eq!(entry("tidemark.schema_id").as_deref(), Some("1"));
        let group = reader.metadata().row_group(0);
        assert!(!group.sorting_columns().unwrap().is_empty());
        for column in group.columns() {
            let (name, is_document) =
                (column.column_path().string(), layout_skips(kind, column.column_path().parts()[0].as_str()));
            assert_eq!(column.statistics().is_none(), is_document, "statistics of {name} in {kind:?}");
            let has_bloom = column.bloom_filter_offset().is_some();
            assert_eq!(has_bloom, is_looked_up(kind, &name), "bloom of {name} in {kind:?}");
        }
    }
}

fn layout_skips(kind: FileKind, name: &str) -> bool {
    match kind {
        FileKind::Events => ["data", "prev", "subject", "meta", "actor", "bookmark"].contains(&name),
        FileKind::Delta => !["_id", "_ts", "_system_time", "_seq"].contains(&name),
        _ => ["_doc", "_prev"].contains(&name),
    }
}

fn is_looked_up(kind: FileKind, name: &str) -> bool {
    matches!((kind, name), (FileKind::Events, "id") | (FileKind::Delta | FileKind::State, "_id"))
}

#[tokio::test]
async fn checksums_are_those_of_the_bytes() {
    let store = Store::memory();
    let written = stored(&store, FileKind::Tombstones, rows(&columns::tombstones_schema(), 3)).await;
    let bytes = store.get(&written.path).await.unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written.sha256, expected);
}

#[tokio::test]
async fn filters_and_projections_answer_as_a_full_read_does() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::local(directory.path().to_owned()).unwrap()] {
        // Three row groups.
        let batch = rows(&schema_of(FileKind::State), 300_000);
        let written = stored(&store, FileKind::State, batch.clone()).await;
        let full = read(&store, &written.path, &Wanted::default()).await.unwrap();
        assert!(full.iter().all(|batch| batch.num_rows() <= 64 * 1024));
        assert_eq!(concat_batches(&batch.schema(), &full).unwrap(), batch);
        for (above, equal) in [
            (Some(-1), None),
            (Some(0), None),
            (Some(131_071), None),
            (Some(200_123), None),
            (Some(299_999), None),
            (None, Some("_id-0000000")),
            (None, Some("_id-0131072")),
            (None, Some("_id-0299999")),
            (None, Some("_id-0299999x")),
            (None, Some("")),
            (Some(100), Some("_id-0000101")),
            (Some(101), Some("_id-0000101")),
        ] {
            let wanted = Wanted {
                columns: Some(vec!["delay".into(), "_id".into(), "_seq".into(), "not there".into()]),
                above: above.map(|above| ("_seq".into(), above)),
                equal: equal.map(|text: &str| ("_id".into(), text.into())),
                ..Wanted::default()
            };
            let read = read(&store, &written.path, &wanted).await.unwrap();
            let found: Vec<i64> = read.iter().flat_map(|batch| seqs(batch).values().to_vec()).collect();
            let expected: Vec<i64> = (0..300_000)
                .filter(|seq| above.is_none_or(|above| *seq > above))
                .filter(|seq| equal.is_none_or(|text| format!("_id-{seq:07}") == text))
                .collect();
            assert_eq!(found, expected, "{wanted:?}");
            let names = |batch: &RecordBatch| -> Vec<String> {
                batch.schema().fields().iter().map(|field| field.name().clone()).collect()
            };
            assert!(read.iter().all(|batch| names(batch) == ["_id", "_seq", "delay"]), "{wanted:?}");
        }
    }
}

/// Every cut of a sorted file into spans gives each row once, and where pages begin is where rows are.
#[tokio::test]
async fn spans_of_a_sorted_file_hold_every_row_once() {
    let store = Store::memory();
    for kind in [FileKind::State, FileKind::Delta, FileKind::Tombstones] {
        let batch = rows(&schema_of(kind), 300_000);
        let written = stored(&store, kind, batch.clone()).await;
        let opened = Opened::open(&store, written.path).await.unwrap();
        let pages = opened.pages("_id").unwrap();
        assert_eq!(pages.iter().map(|page| page.rows).sum::<u64>(), 300_000);
        assert!(pages.is_sorted_by(|one, next| one.least < next.least) && pages.len() >= 3, "{kind:?}");
        assert!(pages.iter().all(|page| page.bytes > page.rows), "{kind:?}");
        let cuts =
            [pages[0].least.as_str(), "_id-0000001", "_id-0131072", &pages[2].least, "_id-0299999", "_id-1", "x"];
        let mut ends: Vec<Option<String>> = cuts.map(|cut| Some(cut.to_owned())).into();
        ends.sort_unstable();
        let ends: Vec<Option<String>> = std::iter::once(None).chain(ends).chain([None]).collect();
        let mut found = Vec::new();
        for pair in ends.windows(2) {
            let span = Span { column: "_id".to_owned(), from: pair[0].clone(), below: pair[1].clone() };
            let read = opened.read(&Wanted { span: Some(span.clone()), ..Wanted::default() }).await.unwrap();
            let id = |batch: &RecordBatch, row| {
                batch.column_by_name("_id").unwrap().as_string::<i32>().value(row).to_owned()
            };
            assert!(read.iter().all(|batch| span.holds(&id(batch, 0), &id(batch, batch.num_rows() - 1))), "{span:?}");
            found.extend(read);
        }
        assert_eq!(concat_batches(&batch.schema(), &found).unwrap(), batch, "{kind:?}");
    }
}

/// A span reads the pages it meets: another page of the same row group may be damaged.
#[tokio::test]
async fn a_narrow_span_reads_its_pages_alone() {
    let store = Store::memory();
    let written = stored(&store, FileKind::State, rows(&schema_of(FileKind::State), 300_000)).await;
    let mut bytes = store.get(&written.path).await.unwrap().to_vec();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).unwrap();
    let page = usize::try_from(reader.metadata().row_group(1).column(0).data_page_offset()).unwrap();
    bytes[page..page + 16].fill(0);
    let damaged = Path::from("x/damaged.parquet");
    store.put(&damaged, bytes.into()).await.unwrap();
    let opened = Opened::open(&store, damaged).await.unwrap();
    let within = |from: &str, below: &str| {
        let span = Span { column: "_id".into(), from: Some(from.into()), below: Some(below.into()) };
        Wanted { span: Some(span), ..Wanted::default() }
    };
    let read = opened.read(&within("_id-0200000", "_id-0200010")).await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert!(opened.read(&within("_id-0131080", "_id-0131090")).await.is_err());
}

fn seqs(batch: &RecordBatch) -> &Int64Array {
    batch.column_by_name("_seq").unwrap().as_primitive::<Int64Type>()
}

#[tokio::test]
async fn a_filter_reads_only_the_row_groups_that_can_answer() {
    let registry = prometheus::Registry::new();
    let store = Store::memory();
    let written = stored(&store, FileKind::State, rows(&schema_of(FileKind::State), 300_000)).await;
    let metered = store.metered(&registry);
    // Between the least and the greatest key, but in no bloom: only footer and bloom are read.
    let equal = Some(("_id".to_owned(), "_id-0000500x".to_owned()));
    let read = read(&metered, &written.path, &Wanted { equal, ..Wanted::default() }).await.unwrap();
    assert_eq!(read.len(), 0);
    let families = registry.gather();
    let counted = families.iter().find(|family| family.name() == "tidemark_store_requests_total").unwrap();
    let requests: f64 = counted.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
    assert!(requests > 0.0);
    assert!(requests <= 4.0, "{requests} requests");
}

/// Callers keep what they read, and count its rows: room that was laid out for other rows would be counted by nobody.
#[tokio::test]
async fn a_few_rows_of_many_take_the_room_of_a_few() {
    let store = Store::memory();
    let written = stored(&store, FileKind::State, rows(&schema_of(FileKind::State), 60_000)).await;
    let span = Span { column: "_id".into(), from: Some("_id-0030000".into()), below: Some("_id-0030010".into()) };
    let by_id = ("_id".to_owned(), "_id-0030000".to_owned());
    for wanted in [
        Wanted { span: Some(span), ..Wanted::default() },
        Wanted { equal: Some(by_id), ..Wanted::default() },
        Wanted { above: Some(("_seq".to_owned(), 59_990)), ..Wanted::default() },
    ] {
        let batches = read(&store, &written.path, &wanted).await.unwrap();
        assert!(batches.iter().any(|batch| batch.num_rows() > 0), "nothing of {wanted:?}");
        for batch in batches {
            assert!(batch.num_rows() <= 10, "{} rows of {wanted:?}", batch.num_rows());
            let column = batch.get_array_memory_size() / batch.num_columns();
            assert!(column < 4096, "{column} bytes a column for {} rows of {wanted:?}", batch.num_rows());
        }
    }
}

#[tokio::test]
async fn rows_that_the_footer_vouches_for_are_as_exact_as_others() {
    let store = Store::memory();
    let long = "x".repeat(100);
    for (values, equal, expected) in [
        (vec![Some("a"), Some("a"), Some("a")], "a", 3),
        (vec![Some("a"), None, Some("a")], "a", 2),
        (vec![Some("a"), Some("b"), Some("a")], "a", 2),
        (vec![None, None, None], "a", 0),
        (vec![Some(long.as_str()), Some(&long[..99]), Some(&long[..64])], &long[..64], 1),
        (vec![Some(long.as_str()), Some(&long), Some(&long)], &long, 3),
    ] {
        let mut columns = rows(&columns::events_schema(), values.len()).columns().to_vec();
        let at = columns::events_schema().index_of("collection").unwrap();
        columns[at] = Arc::new(StringArray::from(values.clone()));
        let written =
            stored(&store, FileKind::Events, RecordBatch::try_new(columns::events_schema(), columns).unwrap());
        let equal = Some(("collection".to_owned(), equal.to_owned()));
        let wanted = Wanted {
            equal,
            above: Some(("_seq".to_owned(), -1)),
            columns: Some(vec!["_seq".to_owned()]),
            ..Wanted::default()
        };
        let read = read(&store, &written.await.path, &wanted).await.unwrap();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), expected, "{values:?} {wanted:?}");
    }
}

#[tokio::test]
async fn empty_and_missing_and_broken_files() {
    let store = Store::memory();
    let empty = stored(&store, FileKind::Delta, RecordBatch::new_empty(schema_of(FileKind::Delta))).await;
    assert_eq!(empty.rows, 0);
    let read_all = |path: Path| {
        let store = store.clone();
        async move { read(&store, &path, &Wanted::default()).await }
    };
    assert_eq!(read_all(empty.path).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    let missing = read_all(Path::from("x/missing.parquet")).await.unwrap_err();
    assert!(
        matches!(&missing, FileError::Store(StoreError::NotFound { path }) if path == "x/missing.parquet"),
        "{missing:?}"
    );
    for bytes in ["", "PAR1", "no parquet at all, only text"] {
        store.put(&Path::from("x/broken.parquet"), bytes.into()).await.unwrap();
        let broken = read_all(Path::from("x/broken.parquet")).await.unwrap_err();
        assert!(broken.to_string().contains("x/broken.parquet"), "{broken}");
    }
    let no_column = Wanted { above: Some(("nope".into(), 1)), ..Wanted::default() };
    let written = stored(&store, FileKind::State, rows(&schema_of(FileKind::State), 3)).await;
    assert!(matches!(read(&store, &written.path, &no_column).await, Err(FileError::Parquet { .. })));
}
