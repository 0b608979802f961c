//! Ingest throughput with durable acks: CPU of the server per event, until everything is in committed Parquet, beside
//! the floor on the same bytes. Changes are told twice: until they are committed in the events table, as events are,
//! and with everything that then makes reading them cheap, deltas and states.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{Outcome, changes, floor, lake::Lake, report::Report};

const REQUEST: u64 = 1000;
const CONNECTIONS: usize = 16;
const REPEATS: usize = 3;

/// Leaves changes in the events table.
const WITHOUT_DELTAS: &str = "[cdc]\ndelta_rows = 1000000000\ndelta_files = 1000000\ndrain_s = 0\n";

/// What is sent, and to which server.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    path: &'static str,
    settings: &'static str,
}

const CASES: [Case; 3] = [
    Case { name: "events", path: "/v1/bench/events", settings: "" },
    Case { name: "changes, as events", path: "/v1/bench/docs/changes", settings: WITHOUT_DELTAS },
    Case { name: "changes, with deltas and states", path: "/v1/bench/docs/changes", settings: "" },
];

/// `total` events, then as many changes over a tenth as many documents.
pub(crate) async fn run(total: u64) -> Outcome {
    let what = format!(
        "{total} records, {REQUEST} a request, {CONNECTIONS} connections, durability local; median of {REPEATS} by ratio"
    );
    let mut table = Report::new(
        "ingest",
        what,
        &["records", "bytes each", "acked/s", "server µs CPU each", "floor µs CPU each", "ratio", "target", "peak MiB"],
    );
    for case in CASES {
        let bodies: Arc<Vec<Vec<u8>>> = Arc::new(bodies(case, total));
        let mut rows = Vec::new();
        for _ in 0..REPEATS {
            rows.push(once(case, (total, &bodies)).await?);
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        table.row(rows.swap_remove(REPEATS / 2).1);
    }
    Ok(table.finish()?)
}

fn bodies(case: Case, total: u64) -> Vec<Vec<u8>> {
    let ranges =
        (0..total).step_by(usize::try_from(REQUEST).unwrap_or(1)).map(|from| from..(from + REQUEST).min(total));
    ranges
        .map(
            |range| {
                if case.name == "events" { changes::events_ndjson(range) } else { changes::ndjson(range, total / 10) }
            },
        )
        .collect()
}

#[allow(clippy::cast_precision_loss, reason = "rates for people")]
async fn once(
    Case { name, path, settings }: Case,
    (total, bodies): (u64, &Arc<Vec<Vec<u8>>>),
) -> Result<(f64, Vec<String>), Box<dyn std::error::Error + Send + Sync>> {
    let mut lake = Lake::start_with(settings)?;
    let idle = lake.cpu();
    let wall = flood(&lake, path, bodies).await?;
    let rows = lake.ask("SELECT count(*) FROM bench.events").await?;
    if rows[0][0].as_u64() != Some(total) {
        return Err(format!("{total} {name} were acknowledged, {rows:?} are there").into());
    }
    let peak = lake.resident_mib();
    let server = (lake.stop()? - idle) / total as f64 * 1e6;
    let (cost, _bytes) = floor::run(bodies)?;
    let floor = cost.cpu_s / total as f64 * 1e6;
    let size = bodies.iter().map(Vec::len).sum::<usize>() as f64 / total as f64;
    let cells = [
        name.to_owned(),
        format!("{size:.0}"),
        format!("{:.0}", total as f64 / wall),
        format!("{server:.2}"),
        format!("{floor:.2}"),
        format!("{:.2}", server / floor),
        "≤ 3".to_owned(),
        peak.to_string(),
    ];
    Ok((server / floor, cells.into()))
}

/// Posts every body once over some connections; wall seconds until the last ack.
async fn flood(
    lake: &Lake,
    path: &str,
    bodies: &Arc<Vec<Vec<u8>>>,
) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let (client, url) = lake.handle();
    let (next, start) = (Arc::new(AtomicUsize::new(0)), std::time::Instant::now());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, url, bodies, next) =
            (client.clone(), format!("{url}{path}"), Arc::clone(bodies), Arc::clone(&next));
        senders.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                post(&client, &url, body).await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Posts until it is acknowledged; a refusal for pressure is tried again, as a client would.
async fn post(client: &reqwest::Client, url: &str, body: &[u8]) -> Outcome {
    loop {
        let response =
            client.post(url).header("content-type", "application/x-ndjson").body(body.to_vec()).send().await?;
        match response.status().as_u16() {
            200 => return response.bytes().await.map(|_receipt| ()).map_err(Into::into),
            429 => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            status => return Err(format!("{status}: {}", response.text().await?).into()),
        }
    }
}
