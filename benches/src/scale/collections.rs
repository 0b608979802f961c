//! A namespace of five thousand collections, each changing once a minute, one change a request.
//!
//! Hours are compressed to six minutes: the ages of flushes, deltas, compaction and publishing are a tenth, the rate of changes is not. So a
//! delta takes in a tenth of what it usually does, and everything that goes by age comes ten times as often.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    Size,
    counted::Counted,
    load::{each, one, open_loop},
};
use crate::{Outcome, lake::Lake, measure::quantile, report::Report};

const COLLECTIONS: u64 = 5_000;
/// Two compressed hours.
const SECONDS: u64 = 720;
const COMPRESSED: &str =
    "[ingest]\nflush_age_s = 60\ncompact_after_s = 90\n[cdc]\ndelta_age_s = 360\n[publish]\ninterval_s = 30\n";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One lake, watched for two compressed hours.
#[allow(clippy::cast_precision_loss, reason = "rates for people")]
pub(super) async fn run(size: Size) -> Outcome {
    let (collections, seconds) = (size.of(COLLECTIONS), size.of(SECONDS));
    let rate = collections as f64 / 60.0;
    let lake = Lake::start_with(COMPRESSED)?;
    for from in (0..collections).step_by(500) {
        lake.post("/v1/bench/events", each(from..(from + 500).min(collections), 0)).await?;
    }
    let (before, cpu, began, is_over) = (Counted::of(&lake).await?, lake.cpu(), Instant::now(), AtomicBool::new(false));
    let sent = async {
        let body = |n: u64| one(n % collections, 1 + n / collections).into_bytes();
        let seen = open_loop(&lake, "/v1/bench/events", (rate, seconds), body).await;
        is_over.store(true, Ordering::Relaxed);
        seen
    };
    let (seen, watched) = tokio::join!(sent, watch(&lake, &is_over));
    let (watched, after) = (watched?, Counted::of(&lake).await?);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), lake.cpu() - cpu);
    let rows = lake.ask("SELECT count(*) FROM bench.events").await?;
    let wanted = collections + seen.acks_ms.len() as u64;
    if rows[0][0].as_u64() != Some(wanted) {
        return Err(format!("{wanted} changes were acknowledged, {rows:?} are there").into());
    }
    eprintln!("  {}", after.told_since(&before));
    let requests = after.since(&before).without_leases().times(60.0 / wall);
    let flushes = after.sum("tidemark_ingest_flush_seconds_count", "");
    let flush_s = after.sum("tidemark_ingest_flush_seconds_sum", "") / flushes.max(1.0);
    let what = format!(
        "{collections} collections of one namespace, {rate:.1} changes/s, one a request, for {seconds} s; ages of flushes, deltas, compaction and \
         publishing are a tenth of what they usually are; log on the disk{}",
        size.told()
    );
    let mut table = Report::new("scale", what, &["what", "figure"]);
    let mut tell = |what: &str, figure: String| table.row(vec![what.to_owned(), figure]);
    tell("changes acknowledged, refused", format!("{}, {}", seen.acks_ms.len(), seen.refused));
    let acks = [0.5, 0.99, 1.0].map(|q| format!("{:.1}", quantile(&seen.acks_ms, q)));
    tell("ack p50, p99, max ms", acks.join(", "));
    tell("server CPU, of one core", format!("{:.1} %", cpu / wall * 100.0));
    tell("resident MiB: at the end, at most", format!("{}, {}", lake.resident_now_mib(), lake.resident_mib()));
    tell("requests a minute: put, list, get, head, delete", requests.cells().join(", "));
    tell("$ a month of these: S3, R2", requests.times(60.0 * 730.0).dollars().join(", "));
    tell("flushes, seconds each", format!("{flushes:.0}, {flush_s:.2}"));
    tell("deltas, of which at work in s, and so many a second", watched.told());
    tell(
        "changes in no delta, at most",
        format!("{:.0} ({:.0} s of changes)", watched.pending_max, watched.pending_max / rate),
    );
    tell("a tick of an idle second, CPU ms", format!("{:.1}", watched.quiet_cpu_ms));
    let latest = lake.measure("SELECT count(*) FROM bench.c00042").await?.1.wall_s * 1e3;
    tell("a question about one collection, ms", format!("{latest:.0}"));
    Ok(table.finish_part("collections")?)
}

/// What was seen second by second.
#[derive(Debug, Default)]
struct Watched {
    deltas: f64,
    /// Seconds in which deltas were made.
    at_work_s: f64,
    pending_max: f64,
    /// CPU of a second in which no delta was made and nothing flushed, the median.
    quiet_cpu_ms: f64,
}

impl Watched {
    fn told(&self) -> String {
        format!("{:.0}, {:.0}, {:.0}", self.deltas, self.at_work_s, self.deltas / self.at_work_s.max(1.0))
    }
}

async fn watch(lake: &Lake, is_over: &AtomicBool) -> Result<Watched, Error> {
    let (mut watched, mut quiet) = (Watched::default(), Vec::new());
    let state = |of: &Counted| {
        [
            of.sum("tidemark_cdc_files_total", "kind=\"delta\""),
            of.sum("tidemark_ingest_flush_seconds_count", ""),
            of.sum("tidemark_cdc_pending_rows", ""),
        ]
    };
    let (mut last, mut cpu, mut at) = (state(&Counted::of(lake).await?), lake.cpu(), Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = state(&Counted::of(lake).await?);
        let (spent, passed) = (lake.cpu() - cpu, at.elapsed().as_secs_f64());
        (cpu, at) = (cpu + spent, Instant::now());
        if now[0] > last[0] {
            watched.at_work_s += passed;
            watched.deltas += now[0] - last[0];
        } else if now[1] <= last[1] {
            quiet.push(spent / passed * 1e3);
        }
        watched.pending_max = watched.pending_max.max(now[2]);
        last = now;
    }
    quiet.sort_by(f64::total_cmp);
    watched.quiet_cpu_ms = quantile(&quiet, 0.5);
    Ok(watched)
}
