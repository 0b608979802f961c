//! One document as of an instant, over HTTP, beside PostgreSQL with an index on (key, sequence).

use std::io::Write;

use tidemark_model::Instant;

use crate::{Outcome, asof, changes, lake::Lake, measure::quantile, peer, report::Report};

const QUESTIONS: u64 = 300;
/// Asked before anything is measured: connections, footers.
const WARM: u64 = 20;

/// `total` changes over a tenth as many documents.
pub(crate) async fn run(total: u64) -> Outcome {
    let keys = (total / 10).max(1);
    let mut lake = Lake::start()?;
    let log = tempfile::Builder::new().suffix(".parquet").tempfile()?;
    let times = asof::load(&lake, total, keys, log.path()).await?;
    lake.settle().await;
    lake.restart()?;
    lake.settle().await;
    let what = format!(
        "{total} changes over {keys} documents; {QUESTIONS} distinct questions SELECT a, b … AS OF … WHERE _id = …, each of another document \
         at another instant, one after the other; ours over HTTP with planning, the peer as a prepared statement over its socket"
    );
    let name = if total > 1_000_000 { "point" } else { "point_1m" };
    let mut table = Report::new(name, what, &["axis", "tidemark p50 ms", "p99 ms", "peer p50 ms", "p99 ms", "target"]);
    let (ours, answers) = ask(&lake, &times, keys).await?;
    let told = beside(&log.path().to_string_lossy(), &times, keys)?;
    if told.answers != answers {
        return Err("answers differ".into());
    }
    let [ours, peer] = [ours, told.wall_s].map(|mut wall_s| {
        wall_s.sort_by(f64::total_cmp);
        [quantile(&wall_s, 0.5), quantile(&wall_s, 0.99)].map(|seconds| format!("{:.2}", seconds * 1e3))
    });
    table.row(vec![
        "system time".to_owned(),
        ours[0].clone(),
        ours[1].clone(),
        format!("{} ({})", peer[0], told.peer),
        peer[1].clone(),
        "p50 ≤ 5 ms, flat in size".to_owned(),
    ]);
    Ok(table.finish()?)
}

/// Which document, and when.
fn question(n: u64, times: &[Instant], keys: u64) -> (String, Instant) {
    let at = changes::mix(n + 77) % times.len() as u64;
    (changes::key(changes::mix(n + 7_777) % keys), times[usize::try_from(at).unwrap_or(0)])
}

/// Seconds and answers: `a` and `b`, nothing of a document that was not there.
async fn ask(
    lake: &Lake,
    times: &[Instant],
    keys: u64,
) -> Result<(Vec<f64>, Vec<Vec<i64>>), Box<dyn std::error::Error + Send + Sync>> {
    let (mut seconds, mut answers) = (Vec::new(), Vec::new());
    for n in (QUESTIONS..QUESTIONS + WARM).chain(0..QUESTIONS) {
        let (id, at) = question(n, times, keys);
        let sql = format!("SELECT a, b FROM bench.docs FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' WHERE _id = '{id}'");
        let (answer, cost) = lake.measure(&sql).await?;
        if n < QUESTIONS {
            seconds.push(cost.wall_s);
            answers.push(answer);
        }
    }
    Ok((seconds, answers))
}

fn beside(log: &str, times: &[Instant], keys: u64) -> Result<peer::Told, Box<dyn std::error::Error + Send + Sync>> {
    let mut file = tempfile::NamedTempFile::new()?;
    for n in 0..QUESTIONS {
        let (id, at) = question(n, times, keys);
        writeln!(file, "{id},{}", at.micros())?;
    }
    file.flush()?;
    peer::run("point.py", &[log, &file.path().to_string_lossy()])
}
