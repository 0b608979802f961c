//! What a record costs in this room, in CPU time, without HTTP: run by hand with
//! `cargo test -p tidemark-ingest cost -- --ignored --nocapture`. Figures that count come from `cargo xtask bench`.

use tidemark_ingest::{Config, Format, RawBatch, Request, Target};
use tidemark_model::CollectionName;

use crate::bed::{Bed, ns, quiet};

const REQUESTS: usize = 200;
const RECORDS: usize = 1000;

/// User and system time of this process, in clock ticks of 10 ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("reads");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum::<u64>() * 10
}

fn event(n: usize) -> String {
    format!(
        "{{\"type\":\"order.placed\",\"id\":\"ev-{n:012}\",\"ts\":\"2025-11-23T10:{:02}:{:02}.{:06}Z\",\"source\":\"web\",\"subject\":\"order/{}\",\
         \"data\":{{\"customer\":\"c{}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\"items\":[{{\"sku\":\"s{}\",\"n\":{}}}],\"note\":\"thanks for all the fish {n}\"}}}}",
        n / 60 % 60,
        n % 60,
        n % 1_000_000,
        n % 5000,
        n % 777,
        n % 100,
        n % 99,
        n % 313,
        n % 4
    )
}

fn change(n: usize) -> String {
    format!(
        "{{\"op\":\"update\",\"id\":\"doc-{:08}\",\"event_id\":\"ev-{n:012}\",\"ts\":\"2025-11-23T10:{:02}:{:02}.{:06}Z\",\
         \"doc\":{{\"customer\":\"c{}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\"qty\":{},\"open\":true,\"note\":\"thanks for all the fish {n}\"}}}}",
        n % 20_000,
        n / 60 % 60,
        n % 60,
        n % 1_000_000,
        n % 777,
        n % 100,
        n % 99,
        n % 4
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
#[allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement for people")]
async fn cost_of_a_record() {
    let orders = Target::Changes(CollectionName::parse("orders").expect("a name"));
    for (target, line) in [(Target::Events, event as fn(usize) -> String), (orders, change)] {
        let bed = Bed::with(Config { unflushed_bytes_max: 1 << 30, flush_bytes: 32 << 20, ..quiet() }).await;
        let body = |request: usize| {
            let lines: Vec<String> = (0..RECORDS).map(|n| line(request * RECORDS + n)).collect();
            lines.join("\n")
        };
        let bodies: Vec<String> = (0..REQUESTS).map(body).collect();
        let bytes: usize = bodies.iter().map(String::len).sum();
        let started = cpu_ms();
        for body in bodies {
            let batch = RawBatch::plain(Format::Ndjson, body);
            bed.ingest.append(&ns("shop"), Request::new(target.clone(), batch)).await.expect("appends");
        }
        let appended = cpu_ms();
        bed.ingest.flush_all().await.expect("flushes");
        let flushed = cpu_ms();
        let each = |from: u64, to: u64| (to - from) as f64 * 1000.0 / (REQUESTS * RECORDS) as f64;
        println!(
            "{target:?}: {} B each, append {:.2} µs, flush {:.2} µs",
            bytes / (REQUESTS * RECORDS),
            each(started, appended),
            each(appended, flushed)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
#[allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement for people")]
async fn cost_of_a_request() {
    const TOTAL: usize = 20_000;
    const AT_ONCE: usize = 64;
    let bed = Bed::with(Config { unflushed_bytes_max: 1 << 30, ..quiet() }).await;
    let started = cpu_ms();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let sender = || async {
        loop {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if n >= TOTAL {
                return;
            }
            let batch = RawBatch::plain(Format::Json, event(n));
            bed.ingest.append(&ns("shop"), Request::new(Target::Events, batch)).await.expect("appends");
        }
    };
    futures::future::join_all((0..AT_ONCE).map(|_| sender())).await;
    println!("one event a request: {:.1} µs of CPU", (cpu_ms() - started) as f64 * 1000.0 / TOTAL as f64);
}
