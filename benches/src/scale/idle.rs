//! What a lake of a hundred collections asks of its store while nobody sends anything.
//!
//! It is aged first, so that there is something to wait for: states were folded and published, then deltas were rolled up, and
//! the files before wait for the grace of questions. Both kinds of log are watched at once; what a start asks is told by itself.

use std::time::{Duration, Instant};

use super::{
    Size,
    counted::{Counted, Requests},
    load::each,
};
use crate::{Outcome, lake::Lake, report::Report};

const COLLECTIONS: u64 = 100;
/// Watched; longer than the longest rest of a job (ten minutes and a quarter).
const SECONDS: u64 = 800;
/// After a start, until its jobs have looked at everything once.
const SETTLE: Duration = Duration::from_secs(60);
/// How long a step of aging may take, s.
const AGE_WITHIN_S: u64 = 300;
/// Deltas, published tables, and states as soon as there is something; two deltas between two states are rolled up.
const FOLDING: &str = "[ingest]\nflush_age_s = 1\n[cdc]\ndelta_age_s = 1\nfold_rows_min = 1\nfold_ratio = 0.0\nrollup_files = 2\n[publish]\ninterval_s = 2\n";
/// Deltas and no states.
const GATHERING: &str = "[ingest]\nflush_age_s = 1\n[cdc]\ndelta_age_s = 1\nfold_rows_min = 1000000\n";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Both kinds of log.
pub(super) async fn run(size: Size) -> Outcome {
    let seconds = size.of(SECONDS);
    let what = format!(
        "{COLLECTIONS} collections that were folded, rolled up and published; requests to the store of {seconds} s in which nobody sends or asks \
         anything, as of an hour; the price is of a month (730 hours). A start is what its first {} s ask, once, and the price of that once{}",
        SETTLE.as_secs(),
        size.told()
    );
    let head = ["what", "log", "put", "list", "get", "head", "delete", "S3 $", "R2 $", "CPU s/h", "MiB"];
    let mut table = Report::new("scale", what, &head);
    let (local, object) = tokio::try_join!(watch("", seconds), watch("log = \"object\"\n", seconds))?;
    for (log, watched) in [("local", local), ("object", object)] {
        table.row(row(("a start", log), (watched.start, 1.0), [String::new(), String::new()]));
        let told = [format!("{:.1}", watched.cpu_s), watched.mib.to_string()];
        table.row(row(("an idle hour", log), (watched.hour, 730.0), told));
        let lease = Requests { puts: watched.hour.leases, heads: watched.hour.leases, ..Requests::default() };
        let lease = Requests { deletes: watched.hour.leases, ..lease };
        table.row(row(("of it renewals of the lease", log), (lease, 730.0), [String::new(), String::new()]));
    }
    Ok(table.finish_part("idle")?)
}

fn row((what, log): (&str, &str), (requests, times): (Requests, f64), more: [String; 2]) -> Vec<String> {
    let mut cells = vec![what.to_owned(), log.to_owned()];
    cells.extend(requests.cells());
    cells.extend(requests.times(times).dollars());
    cells.extend(more);
    cells
}

struct Watched {
    /// In the first minute.
    start: Requests,
    /// In an hour.
    hour: Requests,
    cpu_s: f64,
    mib: u64,
}

#[allow(clippy::cast_precision_loss, reason = "an hour of some minutes")]
async fn watch(log: &str, seconds: u64) -> Result<Watched, Error> {
    let mut lake = Lake::start_with(&format!("{log}{FOLDING}"))?;
    lake.post("/v1/bench/events", each(0..COLLECTIONS, 0)).await?;
    aged(&lake, "tidemark_cdc_steps_total", ("step=\"fold\"", COLLECTIONS)).await?;
    aged(&lake, "tidemark_publish_total", ("outcome=\"published\"", COLLECTIONS)).await?;
    lake.restart_with(&format!("{log}{GATHERING}"))?;
    for round in 1..=2 {
        lake.post("/v1/bench/events", each(0..COLLECTIONS, round)).await?;
        aged(&lake, "tidemark_cdc_steps_total", ("step=\"delta\"", COLLECTIONS * round)).await?;
    }
    lake.restart_with(&format!("{log}{FOLDING}"))?;
    aged(&lake, "tidemark_cdc_steps_total", ("step=\"rollup\"", COLLECTIONS)).await?;
    lake.restart_with(log)?;
    tokio::time::sleep(SETTLE).await;
    let (before, cpu, began) = (Counted::of(&lake).await?, lake.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = Counted::of(&lake).await?;
    let per_hour = 3600.0 / began.elapsed().as_secs_f64();
    eprintln!("  idle ({}): {}", log.trim(), after.told_since(&before));
    Ok(Watched {
        start: before.since(&Counted::default()),
        hour: after.since(&before).times(per_hour),
        cpu_s: (lake.cpu() - cpu) * per_hour,
        mib: lake.resident_now_mib(),
    })
}

/// Waits until a counter of one label has come so far.
#[allow(clippy::cast_precision_loss, reason = "some hundred steps")]
async fn aged(lake: &Lake, name: &str, (label, least): (&str, u64)) -> Result<(), Error> {
    for _second in 0..AGE_WITHIN_S {
        if Counted::of(lake).await?.sum(name, label) >= least as f64 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(format!("the lake was not aged: fewer than {least} of {name} {label} within {AGE_WITHIN_S} s").into())
}
