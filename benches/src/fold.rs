//! The fold of a long history into one state, deltas in files → state in files, beside peers that read the same deltas and
//! write the winners as Parquet.

use std::path::Path;

use datafusion::{config::TableParquetOptions, dataframe::DataFrameWriteOptions, prelude::*};

use crate::{
    Outcome,
    lake::Lake,
    measure::{Cost, Stopwatch},
    peer,
    report::Report,
};

/// While changes come, nothing but deltas is made.
const LOADING: &str = "[cdc]\nfold_rows_min = 1_000_000_000_000\ncheckpoints_max = 0\nsnapshots_daily = 0\nsnapshots_monthly = 0\n\
                       rollup_files = 0\n[publish]\nenabled = false\n";
/// Then everything is folded at once, and nothing else is done.
const FOLDING: &str = "[cdc]\nfold_rows_apart = 1_000_000_000_000\nfold_bytes_max = 1_000_000_000_000\ncheckpoints_max = 0\n\
                       snapshots_daily = 0\nsnapshots_monthly = 0\nrollup_files = 0\n[publish]\nenabled = false\n";

/// `total` changes over a tenth as many documents, of eight columns.
pub(crate) async fn run(total: u64) -> Outcome {
    let keys = (total / 10).max(1);
    let mut lake = Lake::start_with(LOADING)?;
    lake.load((total, keys), |_, _| Ok(())).await?;
    lake.settle().await;
    let loaded = lake.resident_mib();
    lake.restart_with(FOLDING)?;
    let wall = std::time::Instant::now();
    let cpu_s = lake.settle().await;
    // Settling sees the end of work a second late.
    let ours = Cost { cpu_s, wall_s: wall.elapsed().as_secs_f64() - 1.0 };
    let peak = lake.resident_mib();
    let (answer, _) = lake.measure("SELECT count(*), sum(a), sum(_seq) FROM bench.docs").await?;
    lake.stop()?;
    let docs = lake.directory().join("lake/bench/docs");
    let folds = std::fs::read_dir(docs.join("state"))?.filter_map(Result::ok);
    let parts = folds.filter(|file| file.path().extension().is_some_and(|end| end == "parquet")).count();
    let mut table = Report::new(
        if total > 10_000_000 { "fold_100m" } else { "fold" },
        format!(
            "{total} changes over {keys} documents: deltas in files to a state in files ({parts} parts), all at once. Peak memory of the \
             server {peak} MiB while it folded, {loaded} MiB while it loaded"
        ),
        &["engine", "CPU s", "wall s", "M changes/s/core", "tidemark uses"],
    );
    let rate = |cost: Cost| format!("{:.2}", total as f64 / cost.cpu_s / 1e6);
    let row = |name: &str, cost: Cost| {
        let ratio = format!("{:.2} × less CPU", cost.cpu_s / ours.cpu_s);
        vec![name.to_owned(), format!("{:.2}", cost.cpu_s), format!("{:.2}", cost.wall_s), rate(cost), ratio]
    };
    table.row(row("tidemark, a restarted server, until it is idle", ours));
    let deltas = docs.join("deltas");
    for (name, query) in DATAFUSION {
        let (found, cost) = datafusion(&deltas, query).await?;
        same(&found, &answer)?;
        table.row(row(name, cost));
    }
    let glob = deltas.join("*.parquet").to_string_lossy().into_owned();
    for way in ["duckdb", "polars"] {
        let told = peer::run("fold.py", &[way, &glob])?;
        same(&told.answers[0], &answer)?;
        table.row(row(&told.peer, Cost { cpu_s: told.cpu_s[0], wall_s: told.wall_s[0] }));
    }
    Ok(table.finish()?)
}

fn same(found: &[i64], wanted: &[i64]) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("answers differ: {found:?} and {wanted:?}").into()) }
}

/// Sequences rise with the source time here, so the greatest sequence of a key is its winner.
const DATAFUSION: [(&str, &str); 2] = [
    (
        "DataFusion, max by key semi join",
        "SELECT * FROM c WHERE _seq IN (SELECT max(_seq) FROM c GROUP BY _id) AND _op <> 'delete'",
    ),
    (
        "DataFusion, row_number() over a window",
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY _id ORDER BY _seq DESC) AS n FROM c) \
         WHERE n = 1 AND _op <> 'delete'",
    ),
];

async fn datafusion(deltas: &Path, query: &str) -> Result<(Vec<i64>, Cost), Box<dyn std::error::Error + Send + Sync>> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    context.register_parquet("c", &*deltas.to_string_lossy(), ParquetReadOptions::default()).await?;
    let out = tempfile::tempdir()?;
    let path = out.path().join("state.parquet");
    let mut options = TableParquetOptions::default();
    options.global.compression = Some("zstd(1)".to_owned());
    let watch = Stopwatch::start();
    let winners = context.sql(query).await?.select_columns(&[
        "_id",
        "_ts",
        "_system_time",
        "_seq",
        "_doc",
        "a",
        "b",
        "name",
        "status",
    ])?;
    let write = DataFrameWriteOptions::new().with_single_file_output(true);
    winners.write_parquet(&path.to_string_lossy(), write, Some(options)).await?;
    let cost = watch.stop();
    context.register_parquet("s", &*path.to_string_lossy(), ParquetReadOptions::default()).await?;
    let told = context.sql("SELECT count(*) AS n, sum(a) AS a, sum(_seq) AS s FROM s").await?.collect().await?;
    let number = |at: usize| {
        use arrow::{array::AsArray, datatypes::Int64Type};
        told.first().map_or(0, |batch| batch.column(at).as_primitive::<Int64Type>().value(0))
    };
    Ok(((0..3).map(number).collect(), cost))
}
