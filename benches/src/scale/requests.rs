//! Requests per million events: a namespace that is flooded, one that is fed slowly, and a hundred collections.
//!
//! Those that renew the lease are left out: they go with time, and [`super::idle`] tells them. A compressed hour is a minute: ages and
//! intervals that can be set are divided by sixty, and as many events are sent as in an hour; what jobs do at fixed intervals
//! (compaction and snapshots every minute, clean-up every ten) happens once in it or not.

use std::time::Duration;

use super::{
    Size,
    counted::Counted,
    load::{each, open_loop},
};
use crate::{Outcome, changes, lake::Lake, report::Report};

/// Divided by sixty: ages of flushes, of deltas, of what is compacted and published.
const COMPRESSED: &str =
    "[ingest]\nflush_age_s = 10\ncompact_after_s = 15\n[cdc]\ndelta_age_s = 60\n[publish]\ninterval_s = 5\n";

/// What is sent, and where its log is.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    log: &'static str,
    settings: &'static str,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Events of one namespace, a thousand a request, one request after the other.
    Flood(u64),
    /// So many requests a second for so many seconds, of so many events each.
    Events { rate: f64, seconds: u64, each: u64 },
    /// The same, a change of each of so many collections in every request.
    Changes { rate: f64, seconds: u64, collections: u64 },
}

const SLOW: Shape = Shape::Events { rate: 10.0, seconds: 120, each: 100 };
const CASES: [Case; 6] = [
    Case { name: "one namespace, as fast as it goes", log: "local", settings: "", shape: Shape::Flood(2_000_000) },
    Case { name: "one namespace, as fast as it goes", log: "object", settings: "", shape: Shape::Flood(2_000_000) },
    Case { name: "one namespace, 1,000 events/s", log: "local", settings: COMPRESSED, shape: SLOW },
    Case { name: "one namespace, 1,000 events/s", log: "object", settings: COMPRESSED, shape: SLOW },
    Case {
        name: "100 collections, 6,000 changes/s: two compressed hours of 100 changes/s",
        log: "local",
        settings: COMPRESSED,
        shape: Shape::Changes { rate: 60.0, seconds: 120, collections: 100 },
    },
    Case {
        name: "100 collections, 100 changes/s: two compressed hours of 100 changes/min",
        log: "local",
        settings: COMPRESSED,
        shape: Shape::Changes { rate: 1.0, seconds: 120, collections: 100 },
    },
];

/// Every case on a lake of its own.
pub(super) async fn run(size: Size) -> Outcome {
    let what = format!(
        "Requests to the store per million events, the lease left out. In compressed hours ages of flushes, deltas, compaction and publishing are a \
         sixtieth; the log in the store is not compressed: its window is 100 ms. Prices are of lists: S3 5.00 and 0.40 $ for a million that \
         write or list, and that read; R2 4.50 and 0.36 $; deletes are free{}",
        size.told()
    );
    let head = [
        "what",
        "log",
        "events",
        "put",
        "list",
        "get",
        "head",
        "delete",
        "S3 $/M events",
        "R2 $/M events",
        "server CPU s",
        "peak MiB",
    ];
    let mut table = Report::new("scale", what, &head);
    for case in CASES {
        table.row(once(case, size).await?);
    }
    Ok(table.finish_part("requests")?)
}

#[allow(clippy::cast_precision_loss, reason = "rates for people")]
async fn once(case: Case, size: Size) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let log = if case.log == "object" { "log = \"object\"\n" } else { "" };
    let lake = Lake::start_with(&format!("{log}{}", case.settings))?;
    let before = Counted::of(&lake).await?;
    send(&lake, case.shape, size).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let after = Counted::of(&lake).await?;
    eprintln!("  {} ({}): {}", case.name, case.log, after.told_since(&before));
    let events = after.sum("tidemark_ingest_events_total", "") - before.sum("tidemark_ingest_events_total", "");
    let requests = after.since(&before).without_leases().times(1e6 / events);
    let mut cells = vec![case.name.to_owned(), case.log.to_owned(), format!("{events:.0}")];
    cells.extend(requests.cells());
    cells.extend(requests.dollars());
    cells.extend([format!("{:.1}", lake.cpu()), lake.resident_mib().to_string()]);
    Ok(cells)
}

async fn send(lake: &Lake, shape: Shape, size: Size) -> Outcome {
    let refused = match shape {
        Shape::Flood(events) => {
            for from in (0..size.of(events)).step_by(1000) {
                let body = changes::events_ndjson(from..from + 1000);
                while let Err(error) = lake.post("/v1/bench/events", body.clone()).await {
                    if !error.to_string().contains("429") {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            0
        }
        Shape::Events { rate, seconds, each } => {
            let body = |n: u64| changes::events_ndjson(n * each..(n + 1) * each);
            open_loop(lake, "/v1/bench/events", (rate, size.of(seconds)), body).await.refused
        }
        Shape::Changes { rate, seconds, collections } => {
            let body = |n: u64| each(0..collections, n);
            open_loop(lake, "/v1/bench/events", (rate, size.of(seconds)), body).await.refused
        }
    };
    if refused > 0 { Err(format!("{refused} requests were refused").into()) } else { Ok(()) }
}
