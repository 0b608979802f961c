//! A start with ten thousand collections, and with a gibibyte of log to replay.
//!
//! 1. Ten thousand collections in four namespaces are made, each with a delta. 2. Starts are timed, three times, each after a kill.
//! 3. Events fill the log, which no flush releases, and the server is killed. 4. Copies of that lake are started: with settings under which all
//!    of it stays in memory, and as a server is set unless told otherwise, which flushes while it replays.
//!
//! Pages of the log are in the system's cache. Rows are counted after each replay.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Size, counted::Counted, load::each};
use crate::{
    Outcome, changes,
    lake::Lake,
    measure::{Cost, Spread},
    report::{Report, spread},
};

const NAMESPACES: u64 = 4;
const COLLECTIONS: u64 = 10_000;
const REPEATS: usize = 3;
/// Collections of a request.
const REQUEST: u64 = 500;
const LOG_BYTES: u64 = 1 << 30;
/// Seconds in which deltas of all collections have to come.
const DELTAS_WITHIN_S: u64 = 1800;
const BUILD: &str = "[ingest]\nflush_age_s = 1\n[cdc]\ndelta_age_s = 1\n[publish]\nenabled = false\n";
/// Nothing is flushed: all that comes stays in the log and in memory.
const KEEP: &str = "[ingest]\nflush_age_s = 1000000\nflush_bytes = 68719476736\nflush_rows = 1000000000\nlog_bytes = 68719476736\nunflushed_bytes_max = 17179869184\n";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Starts of three kinds.
pub(super) async fn run(size: Size) -> Outcome {
    let (collections, log_bytes) = (size.of(COLLECTIONS), size.of(LOG_BYTES));
    let what = format!(
        "{collections} collections in {NAMESPACES} namespaces, each with one delta; from the start of the process until it answers, after a kill; median \
         (min–max) of {REPEATS}. Replay is what a start takes longer than without a log. Requests are those to the store until it answers{}",
        size.told()
    );
    let head = [
        "start",
        "log MiB",
        "events",
        "ready s",
        "CPU s",
        "replay MB/s",
        "peak MiB",
        "get",
        "head",
        "list",
        "put",
        "target",
    ];
    let mut table = Report::new("scale", what, &head);
    let home = build(collections).await?;
    let bare = timed(&home, "", 0).await?;
    table.row(bare.cells("no log", (0, 0), (None, "≤ 5 s")));
    let (events, bytes) = fill(&home, log_bytes).await?;
    for (name, settings, target) in
        [("log, all of it stays in memory", KEEP, "≥ 200 MB/s"), ("log, settings as they come", "", "≥ 200 MB/s")]
    {
        let started = timed(&home, settings, events).await?;
        table.row(started.cells(name, (events, bytes), (Some(bare.wall().median), target)));
    }
    Ok(table.finish_part("start")?)
}

/// A lake of collections with a delta each.
async fn build(collections: u64) -> Result<Arc<TempDir>, Error> {
    let lake = Lake::start_with(BUILD)?;
    let began = Instant::now();
    for namespace in 0..NAMESPACES {
        for from in (0..collections / NAMESPACES).step_by(usize::try_from(REQUEST)?) {
            let body = each(from..(from + REQUEST).min(collections / NAMESPACES), 0);
            lake.post(&format!("/v1/bench{namespace}/events"), body).await?;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "some thousand collections")]
    let wanted = collections as f64;
    loop {
        let deltas = Counted::of(&lake).await?.sum("tidemark_cdc_files_total", "kind=\"delta\"");
        if deltas >= wanted {
            break;
        }
        if began.elapsed() > Duration::from_secs(DELTAS_WITHIN_S) {
            return Err(format!("{deltas} of {collections} deltas within {DELTAS_WITHIN_S} s").into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (took, cpu, mib) = (began.elapsed().as_secs_f64(), lake.cpu(), lake.resident_mib());
    eprintln!("  {collections} collections with deltas: {took:.0} s, {cpu:.0} CPU s, {mib} MiB");
    lake.kill()
}

/// Fills the log with events of a namespace of their own; how many, and bytes of the log.
async fn fill(home: &Arc<TempDir>, bytes: u64) -> Result<(u64, u64), Error> {
    let lake = Lake::start_on(home, KEEP)?;
    let mut sent = 0;
    loop {
        lake.post("/v1/bench/events", changes::events_ndjson(sent..sent + 5000)).await?;
        sent += 5000;
        if sent.is_multiple_of(100_000) && directory_bytes(home, "log")? >= bytes {
            break;
        }
    }
    eprintln!("  {sent} events in the log: {:.0} CPU s, {} MiB", lake.cpu(), lake.resident_mib());
    lake.kill()?;
    Ok((sent, directory_bytes(home, "log")?))
}

/// Bytes of the files in a directory of a lake.
fn directory_bytes(home: &TempDir, directory: &str) -> Result<u64, Error> {
    let entries = std::fs::read_dir(home.path().join(directory))?;
    let sizes = entries.map(|entry| Ok(entry?.metadata()?).map(|of| if of.is_file() { of.len() } else { 0 }));
    sizes.sum::<Result<u64, std::io::Error>>().map_err(Into::into)
}

/// Starts of one kind.
#[derive(Debug, Default)]
struct Started {
    costs: Vec<Cost>,
    peak_mib: u64,
    requests: super::counted::Requests,
}

/// Starts copies of a lake, each of which must know so many events.
async fn timed(home: &TempDir, settings: &str, events: u64) -> Result<Started, Error> {
    let mut started = Started::default();
    for _ in 0..REPEATS {
        let copy = copy(home)?;
        let began = Instant::now();
        let lake = Lake::start_on(&copy, settings)?;
        started.costs.push(Cost { cpu_s: lake.cpu(), wall_s: began.elapsed().as_secs_f64() });
        started.peak_mib = started.peak_mib.max(lake.resident_mib());
        started.requests = Counted::of(&lake).await?.since(&Counted::default());
        if events > 0 {
            let rows = lake.ask("SELECT count(*) FROM bench.events").await?;
            if rows[0][0].as_u64() != Some(events) {
                return Err(format!("{events} events were acknowledged, {rows:?} are there").into());
            }
        }
    }
    Ok(started)
}

fn copy(home: &TempDir) -> Result<Arc<TempDir>, Error> {
    let copy = tempfile::tempdir()?;
    let copied = Command::new("cp").arg("-a").arg(home.path().join(".")).arg(copy.path()).status()?;
    // What is written back later is not charged to the start.
    let synced = Command::new("sync").arg("-f").arg(copy.path()).status()?;
    if copied.success() && synced.success() { Ok(Arc::new(copy)) } else { Err("the lake could not be copied".into()) }
}

impl Started {
    fn wall(&self) -> Spread {
        Spread::of(self.costs.iter().map(|cost| cost.wall_s))
    }

    #[allow(clippy::cast_precision_loss, reason = "rates for people")]
    fn cells(&self, name: &str, (events, bytes): (u64, u64), (bare, target): (Option<f64>, &str)) -> Vec<String> {
        // A start with a log that took no longer than one without says nothing about replay.
        let longer = bare.map(|bare| self.wall().median - bare).filter(|longer| *longer > 0.0);
        let rate = longer.map(|longer| bytes as f64 / 1e6 / longer);
        vec![
            name.to_owned(),
            (bytes >> 20).to_string(),
            events.to_string(),
            spread(self.wall()),
            spread(Spread::of(self.costs.iter().map(|cost| cost.cpu_s))),
            rate.map_or_else(String::new, |rate| format!("{rate:.0}")),
            self.peak_mib.to_string(),
            format!("{:.0}", self.requests.gets),
            format!("{:.0}", self.requests.heads),
            format!("{:.0}", self.requests.lists),
            format!("{:.0}", self.requests.puts),
            target.to_owned(),
        ]
    }
}
