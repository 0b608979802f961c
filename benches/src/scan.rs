//! The present of a collection beside plain DataFusion over one Parquet file with exactly those rows.

use std::{fs::File, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema},
};
use datafusion::prelude::*;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use crate::{
    Outcome, changes,
    lake::Lake,
    measure::{Cost, Spread, Stopwatch},
    report::{Report, spread},
};

const REPEATS: usize = 5;
/// Runs of a query in one repeat: CPU is told in hundredths of a second.
const RUNS: usize = 20;
const REQUEST: u64 = 10_000;

const QUERIES: [(&str, &str); 3] = [
    ("count", "SELECT count(*), count(name) FROM {t}"),
    ("filter", "SELECT count(*), sum(a) FROM {t} WHERE b < 7 AND status = 'paid'"),
    (
        "group by",
        "SELECT max(n), sum(s) FROM (SELECT status, count(*) AS n, sum(a) AS s FROM {t} GROUP BY status) AS g",
    ),
];

/// A collection of `documents`, with 0, 1 and just under 10 % of them changed since the last fold.
pub(crate) async fn run(documents: u64) -> Outcome {
    let what = format!("{documents} documents; CPU seconds of {RUNS} runs, median of {REPEATS} (min–max)");
    let mut table =
        Report::new("scan", what, &["changed", "query", "tidemark CPU s", "DataFusion CPU s", "ratio", "target"]);
    let mut lake = Lake::start()?;
    let mut documents_now: Vec<u64> = (0..documents).collect();
    send(&lake, &documents_now, &numbers(0..documents)).await?;
    lake.restart()?;
    let mut sent = documents;
    for (percent, target) in [(0, 1.1), (1, 1.3), (9, 2.0)] {
        let news = documents * percent / 100;
        let keys: Vec<u64> = (0..news).map(|n| changes::mix(sent + n) % documents).collect();
        send(&lake, &keys, &numbers(sent..sent + news)).await?;
        keys.iter().zip(sent..).for_each(|(key, n)| documents_now[usize::try_from(*key).unwrap_or(0)] = n);
        sent += news;
        lake.settle().await;
        let plain = plain(&documents_now)?;
        for (name, query) in QUERIES {
            let (ours, peer) = compare(&lake, &plain, query).await?;
            let (ours, peer) = (Spread::of(ours.iter().map(|c| c.cpu_s)), Spread::of(peer.iter().map(|c| c.cpu_s)));
            table.row(vec![
                format!("{percent} %"),
                name.to_owned(),
                spread(ours),
                spread(peer),
                format!("{:.2}", ours.median / peer.median),
                format!("≤ {target}"),
            ]);
        }
    }
    Ok(table.finish()?)
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

/// Key, `a`, `b`, name, status.
type Document = (String, i64, i64, String, &'static str);

/// Document `key` in the version that change number `n` made.
fn document(key: u64, n: u64) -> Document {
    let change = changes::change(n, 1);
    (changes::key(key), change.a, change.b, format!("customer {key}"), changes::status(change.a))
}

async fn send(lake: &Lake, keys: &[u64], numbers: &[u64]) -> Outcome {
    let pairs: Vec<(u64, u64)> = keys.iter().copied().zip(numbers.iter().copied()).collect();
    for part in pairs.chunks(usize::try_from(REQUEST)?) {
        let line = |(key, n): &(u64, u64)| {
            let (id, a, b, name, status) = document(*key, *n);
            format!(
                r#"{{"op":"update","id":"{id}","ts":"{}","doc":{{"a":{a},"b":{b},"name":"{name}","status":"{status}"}}}}"#,
                changes::source_time(*n)
            )
        };
        lake.send("/v1/bench/docs/changes", part.iter().map(line).collect::<Vec<_>>().join("\n").into_bytes()).await?;
    }
    Ok(())
}

/// One Parquet file with exactly the rows of the present, as a table of plain DataFusion would have them.
fn plain(versions: &[u64]) -> Result<tempfile::NamedTempFile, Box<dyn std::error::Error + Send + Sync>> {
    let rows: Vec<_> = versions.iter().zip(0..).map(|(n, key)| document(key, *n)).collect();
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![text("_id"), int("a"), int("b"), text("name"), text("status")]));
    let file = tempfile::Builder::new().suffix(".parquet").tempfile()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(131_072));
    let mut writer = ArrowWriter::try_new(File::create(file.path())?, Arc::clone(&schema), Some(properties.build()))?;
    for part in rows.chunks(65_536) {
        let text = |f: &dyn Fn(&Document) -> String| {
            Arc::new(part.iter().map(|row| Some(f(row))).collect::<StringArray>()) as ArrayRef
        };
        let int = |f: &dyn Fn(&Document) -> i64| Arc::new(Int64Array::from_iter_values(part.iter().map(f))) as ArrayRef;
        let columns = vec![
            text(&|r| r.0.clone()),
            int(&|r| r.1),
            int(&|r| r.2),
            text(&|r| r.3.clone()),
            text(&|r| r.4.to_owned()),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close()?;
    Ok(file)
}

async fn compare(
    lake: &Lake,
    plain: &tempfile::NamedTempFile,
    query: &str,
) -> Result<(Vec<Cost>, Vec<Cost>), Box<dyn std::error::Error + Send + Sync>> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    context.register_parquet("plain", plain.path().to_string_lossy(), ParquetReadOptions::default()).await?;
    let (ours_sql, peer_sql) = (query.replace("{t}", "bench.docs"), query.replace("{t}", "plain"));
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for repeat in 0..=REPEATS {
        let (watch, cpu) = (Stopwatch::start(), lake.cpu());
        let mut answer = Vec::new();
        for _ in 0..RUNS {
            answer = lake.measure(&ours_sql).await?.0;
        }
        let cost = Cost { cpu_s: lake.cpu() - cpu, wall_s: watch.stop().wall_s };
        let watch = Stopwatch::start();
        let mut expected = Vec::new();
        for _ in 0..RUNS {
            let batches = context.sql(&peer_sql).await?.collect().await?;
            expected = batches[0].columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect();
        }
        let peer_cost = watch.stop();
        if answer != expected {
            return Err(format!("answers differ: {answer:?} and {expected:?} to {query}").into());
        }
        if repeat > 0 {
            ours.push(cost);
            peer.push(peer_cost);
        }
    }
    Ok((ours, peer))
}
