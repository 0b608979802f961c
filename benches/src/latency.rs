//! Ack latency, open-loop: a request's latency counts from when it was due, so a stall is charged to all it delays.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Outcome, changes, lake::Lake, measure::quantile, report::Report};

const CONNECTIONS: usize = 64;
const EVENTS: u64 = 10;

/// `seconds` at every load.
pub(crate) async fn run(seconds: u64) -> Outcome {
    let lake = Lake::start()?;
    let sync = fdatasync(&lake)?;
    let most = closed_loop(&lake, seconds.min(5)).await?;
    let what = format!(
        "{EVENTS} events a request; closed-loop maximum {most:.0} requests/s with {CONNECTIONS} connections; fdatasync of 4 KiB on the same disk p50 {:.1} ms, p99 {:.1} ms; targets at 75 %: p50 ≤ 2 ×, p99 ≤ 4 × of it",
        sync.0, sync.1
    );
    let mut table = Report::new(
        "latency",
        what,
        &["load", "requests/s", "p50 ms", "p99 ms", "p50 ÷ sync p50", "p99 ÷ sync p99", "shed", "server MiB"],
    );
    for percent in [25, 50, 75, 90, 100, 120] {
        let rate = most * f64::from(percent) / 100.0;
        let (sorted, shed) = open_loop(&lake, rate, seconds).await?;
        let (p50, p99) = (quantile(&sorted, 0.5), quantile(&sorted, 0.99));
        table.row(vec![
            format!("{percent} %"),
            format!("{rate:.0}"),
            format!("{p50:.1}"),
            format!("{p99:.1}"),
            format!("{:.1}", p50 / sync.0),
            format!("{:.1}", p99 / sync.1),
            shed.to_string(),
            lake.resident_mib().to_string(),
        ]);
    }
    Ok(table.finish()?)
}

/// p50 and p99 in milliseconds of fdatasync after 4 KiB, in the server's own directory.
fn fdatasync(lake: &Lake) -> Result<(f64, f64), std::io::Error> {
    let mut file = std::fs::File::create(lake.directory().join("sync-probe"))?;
    let mut times = Vec::new();
    for _ in 0..300 {
        file.write_all(&[7; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok((quantile(&times, 0.5), quantile(&times, 0.99)))
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
async fn closed_loop(lake: &Lake, seconds: u64) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let (client, url) = lake.handle();
    let (done, numbers, end) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(seconds));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, url, done, numbers) = (client.clone(), url.clone(), Arc::clone(&done), Arc::clone(&numbers));
        senders.spawn(async move {
            while Instant::now() < end {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if post(&client, &url, number).await {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while senders.join_next().await.is_some() {}
    Ok(done.load(Ordering::Relaxed) as f64 / seconds as f64)
}

/// Latencies in milliseconds, sorted, and how many requests were refused.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a schedule of some thousand requests"
)]
async fn open_loop(
    lake: &Lake,
    rate: f64,
    seconds: u64,
) -> Result<(Vec<f64>, u64), Box<dyn std::error::Error + Send + Sync>> {
    // Beyond what the closed loop sent, and still not ahead of the clock.
    static SENT: AtomicU64 = AtomicU64::new(10_000_000);
    let (client, url) = lake.handle();
    let (times, shed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (start, mut senders) = (Instant::now(), tokio::task::JoinSet::new());
    for n in 0..(rate * seconds as f64) as u64 {
        let due = start + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let (client, url, times, shed) = (client.clone(), url.clone(), Arc::clone(&times), Arc::clone(&shed));
        senders.spawn(async move {
            if post(&client, &url, SENT.fetch_add(1, Ordering::Relaxed)).await {
                times.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(due.elapsed().as_secs_f64() * 1e3);
            } else {
                shed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while senders.join_next().await.is_some() {}
    let mut times = std::mem::take(&mut *times.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    times.sort_by(f64::total_cmp);
    Ok((times, shed.load(Ordering::Relaxed)))
}

async fn post(client: &reqwest::Client, url: &str, number: u64) -> bool {
    let body = changes::events_ndjson(number * EVENTS..(number + 1) * EVENTS);
    let request =
        client.post(format!("{url}/v1/bench/events")).header("content-type", "application/x-ndjson").body(body);
    match request.send().await {
        Ok(response) => response.status().is_success() && response.bytes().await.is_ok(),
        Err(_gone) => false,
    }
}
