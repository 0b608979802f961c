//! The winner of every key: our kernel beside DataFusion's and DuckDB's best plan, on the same rows.

use std::{fs::File, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::sum,
    datatypes::Int64Type,
};
use datafusion::{datasource::MemTable, prelude::*};
use parquet::arrow::ArrowWriter;
use tidemark_fold::{columns, winner};
use tidemark_model::{Instant, position::BEFORE_ALL};

use crate::{
    Outcome, changes,
    measure::{Spread, Stopwatch},
    peer,
    report::{Report, spread},
};

const REPEATS: usize = 5;
const BATCH: usize = 65_536;

/// `changes` rows over a tenth as many keys.
pub(crate) async fn run(changes: usize) -> Outcome {
    let batches = changes_of(changes)?;
    let expected = ours(&batches)?;
    let mut table = Report::new(
        "winner",
        format!("{changes} changes over {} keys, in memory; CPU seconds of {REPEATS} repeats", changes / 10),
        &["engine", "CPU s", "wall s", "M rows/s/core"],
    );
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let watch = Stopwatch::start();
        assert_same(&ours(&batches)?, &expected)?;
        costs.0.push(watch.stop());
        let watch = Stopwatch::start();
        assert_same(&datafusion_plan(&batches).await?, &expected)?;
        costs.1.push(watch.stop());
    }
    let duck = duckdb(&batches)?;
    duck.answers.iter().try_for_each(|answer| assert_same(answer, &expected))?;
    for (name, costs) in [("tidemark fold::winner", &costs.0), ("DataFusion, max by key semi join", &costs.1)] {
        table.row(row(
            name,
            changes,
            costs.iter().map(|c| c.cpu_s).collect(),
            costs.iter().map(|c| c.wall_s).collect(),
        ));
    }
    table.row(row(&duck.peer, changes, duck.cpu_s, duck.wall_s));
    Ok(table.finish()?)
}

fn row(name: &str, changes: usize, cpu: Vec<f64>, wall: Vec<f64>) -> Vec<String> {
    let cpu = Spread::of(cpu);
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = changes as f64 / cpu.median / 1e6;
    vec![name.to_owned(), spread(cpu), spread(Spread::of(wall)), format!("{rate:.2}")]
}

fn assert_same(got: &[i64], want: &[i64]) -> Outcome {
    if got == want { Ok(()) } else { Err(format!("answers differ: {got:?} and {want:?}").into()) }
}

fn changes_of(changes: usize) -> Result<Vec<RecordBatch>, arrow::error::ArrowError> {
    let schema = columns::changes_schema(&changes::two_integers());
    (0..changes)
        .step_by(BATCH)
        .map(|from| batch(&schema, from, BATCH.min(changes - from), changes as u64 / 10))
        .collect()
}

fn batch(
    schema: &arrow::datatypes::SchemaRef,
    from: usize,
    rows: usize,
    keys: u64,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let range = i64::try_from(from).unwrap_or(0)..i64::try_from(from + rows).unwrap_or(0);
    let ids: StringArray =
        (from..from + rows).map(|n| n as u64).map(|n| Some(changes::key(changes::mix(n) % keys))).collect();
    let seq = Int64Array::from_iter_values(range.clone());
    let time = |_: ()| {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(range.clone().map(|s| 1_600_000_000_000_000 + s * 10))
                .with_timezone("UTC"),
        ) as ArrayRef
    };
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value; rows])) as ArrayRef;
    let number = |f: fn(i64) -> i64| Arc::new(Int64Array::from_iter_values(range.clone().map(f))) as ArrayRef;
    let columns = vec![
        Arc::new(ids) as ArrayRef,
        text(Some("update")),
        time(()),
        time(()),
        Arc::new(seq),
        text(None),
        text(None),
        text(None),
        text(None),
        text(None),
        number(|s| s % 1000),
        number(|s| s % 77),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn ours(batches: &[RecordBatch]) -> Result<Vec<i64>, Box<dyn std::error::Error + Send + Sync>> {
    let all = winner::Counts { after: BEFORE_ALL, system_time: Instant::MAX, valid_time: None };
    let won = winner::winners(batches, &all)?;
    let total = |name: &str| won.column_by_name(name).map_or(0, |c| sum(c.as_primitive::<Int64Type>()).unwrap_or(0));
    Ok(vec![i64::try_from(won.num_rows())?, total("a"), total("_seq")])
}

async fn datafusion_plan(batches: &[RecordBatch]) -> Result<Vec<i64>, Box<dyn std::error::Error + Send + Sync>> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let half = batches.len() / 2;
    let table = MemTable::try_new(batches[0].schema(), vec![batches[..half].to_vec(), batches[half..].to_vec()])?;
    context.register_table("c", Arc::new(table))?;
    let won =
        context.sql("SELECT * FROM c WHERE _seq IN (SELECT max(_seq) FROM c GROUP BY _id)").await?.collect().await?;
    let total =
        |name: &str| won.iter().filter_map(|b| sum(b.column_by_name(name)?.as_primitive::<Int64Type>())).sum::<i64>();
    Ok(vec![i64::try_from(won.iter().map(RecordBatch::num_rows).sum::<usize>())?, total("a"), total("_seq")])
}

fn duckdb(batches: &[RecordBatch]) -> Result<peer::Told, Box<dyn std::error::Error + Send + Sync>> {
    let file = tempfile::Builder::new().suffix(".parquet").tempfile()?;
    let mut writer = ArrowWriter::try_new(File::create(file.path())?, batches[0].schema(), None)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.close()?;
    peer::run("winner.py", &[&file.path().to_string_lossy(), &REPEATS.to_string()])
}
