//! AS OF at distinct instants on both axes, cold overlays, beside DuckDB over the full change log.

use std::{fs::File, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use tidemark_fold::columns;
use tidemark_model::Instant;

use crate::{
    Outcome, changes,
    lake::{Lake, REQUEST},
    measure::Spread,
    peer,
    report::{Report, spread},
};

const INSTANTS: u64 = 10;

/// `total` changes over a tenth as many documents.
pub(crate) async fn run(total: u64) -> Outcome {
    let keys = (total / 10).max(1);
    let mut lake = Lake::start()?;
    let log = tempfile::Builder::new().suffix(".parquet").tempfile()?;
    let times = load(&lake, total, keys, log.path()).await?;
    let loaded = lake.settle().await;
    let peak = lake.resident_mib();
    let ended = lake.restart()?;
    let upkeep = lake.settle().await;
    let what = format!(
        "{total} changes over {keys} documents, {INSTANTS} distinct instants each asked once after a restart. Loading took {ended:.1} CPU s in all, \
         log, events, deltas and folds included ({loaded:.1} s before the final flush), checkpoints and other upkeep after the restart \
         {upkeep:.1} CPU s; peak memory {peak} MiB"
    );
    let mut table = Report::new(
        if total > 1_000_000 { "asof" } else { "asof_1m" },
        what,
        &["axis", "tidemark CPU s per question", "DuckDB CPU s per question", "ratio of totals", "target"],
    );
    for axis in ["system", "valid"] {
        compare(&lake, axis, &times, (&log.path().to_string_lossy(), &mut table)).await?;
    }
    Ok(table.finish()?)
}

async fn compare(lake: &Lake, axis: &str, times: &[Instant], (log, table): (&str, &mut Report)) -> Outcome {
    let requests = times.len() as u64;
    let chosen: Vec<Instant> = (0..INSTANTS)
        .map(|n| changes::mix(n + 1000) % requests)
        .map(|request| match axis {
            "system" => times[usize::try_from(request).unwrap_or(0)],
            _ => changes::source_time(request * REQUEST + REQUEST / 3),
        })
        .collect();
    let clause = if axis == "system" { "SYSTEM_TIME" } else { "VALID_TIME" };
    let mut ours = Vec::new();
    let mut answers = Vec::new();
    for at in &chosen {
        let (answer, cost) = lake
            .measure(&format!("SELECT count(*), sum(a), sum(b) FROM bench.docs FOR {clause} AS OF TIMESTAMP '{at}'"))
            .await?;
        answers.push(answer);
        ours.push(cost.cpu_s);
    }
    let micros: Vec<String> = chosen.iter().map(|at| at.micros().to_string()).collect();
    let mut args = vec![log, axis];
    args.extend(micros.iter().map(String::as_str));
    let duck = peer::run("asof.py", &args)?;
    if duck.answers != answers {
        return Err(format!("answers differ: {answers:?} and {:?}", duck.answers).into());
    }
    let ratio = duck.cpu_s.iter().sum::<f64>() / ours.iter().sum::<f64>().max(0.001);
    table.row(vec![
        format!("{axis} time"),
        spread(Spread::of(ours)),
        format!("{} ({})", spread(Spread::of(duck.cpu_s)), duck.peer),
        format!("{ratio:.1} × less CPU"),
        "≥ 5 ×".to_owned(),
    ]);
    Ok(())
}

/// Sends the changes and writes the peer's log with the system times of the receipts.
pub(crate) async fn load(
    lake: &Lake,
    total: u64,
    keys: u64,
    log: &std::path::Path,
) -> Result<Vec<Instant>, Box<dyn std::error::Error + Send + Sync>> {
    let schema = log_schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(131_072));
    let mut writer = ArrowWriter::try_new(File::create(log)?, Arc::clone(&schema), Some(properties.build()))?;
    let mut times = Vec::new();
    lake.load((total, keys), |range, time| {
        writer.write(&rows(&schema, range, (keys, time))?)?;
        times.push(time);
        Ok(())
    })
    .await?;
    writer.close()?;
    Ok(times)
}

fn log_schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let time = |name: &str| Field::new(name, columns::timestamp(), false);
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("_id"),
        text("_op"),
        time("_ts"),
        time("_system_time"),
        int("_seq"),
        int("a"),
        int("b"),
    ]))
}

fn rows(
    schema: &SchemaRef,
    range: std::ops::Range<u64>,
    (keys, at): (u64, Instant),
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let all: Vec<changes::Change> = range.clone().map(|n| changes::change(n, keys)).collect();
    let time = |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef;
    let int = |f: &dyn Fn(&changes::Change) -> i64| {
        Arc::new(all.iter().map(|c| (!c.delete).then(|| f(c))).collect::<Int64Array>()) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(all.iter().map(|c| Some(changes::key(c.key))).collect::<StringArray>()),
        Arc::new(all.iter().map(|c| Some(if c.delete { "delete" } else { "update" })).collect::<StringArray>()),
        time(all.iter().map(|c| c.ts.micros()).collect()),
        time(vec![at.micros(); all.len()]),
        Arc::new(range.map(|n| i64::try_from(n).ok()).collect::<Int64Array>()),
        int(&|c| c.a),
        int(&|c| c.b),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}
