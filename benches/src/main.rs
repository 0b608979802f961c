//! Benchmarks: one per step of the hallway, each beside a peer in the same run.
//!
//! Run through `cargo xtask bench [name]`, which builds in release and passes the interpreter for the peers. A
//! benchmark makes its data from a seed, checks that both sides answer alike, then times them in turns and prints
//! medians with the least and the greatest. CPU is of the whole process that does the work.
//!
//! 1. [`measure`]: CPU and wall clocks, medians. 2. [`report`]: the table and `results/<name>.json`.
//! 3. [`lake`]: the real server as a child process, fed over HTTP. 4. [`peer`]: scripts that run DuckDB.
//! 5. [`changes`]: the seeded data. 6. The benchmarks: [`winner`], [`fold`], [`scan`], [`asof`], [`point`], [`flat`],
//!    [`ingest`], [`latency`], [`doors`], [`scale`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to people")]

mod asof;
mod changes;
mod doors;
mod flat;
mod floor;
mod fold;
mod ingest;
mod lake;
mod latency;
mod measure;
mod peer;
mod point;
mod report;
mod scale;
mod scan;
mod winner;

/// What a benchmark ends with.
type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

const NAMES: &str = "winner, fold, scan, asof, point, flat, ingest, latency, doors, scale";

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let scale = args.get(1).and_then(|text| text.parse().ok());
    match args.first().map(String::as_str) {
        Some("winner") => {
            winner::run(scale.map_or(10_000_000, |n: u64| usize::try_from(n).unwrap_or(usize::MAX))).await
        }
        Some("fold") => fold::run(scale.unwrap_or(10_000_000)).await,
        Some("scan") => scan::run(scale.unwrap_or(1_000_000)).await,
        Some("asof") => asof::run(scale.unwrap_or(10_000_000)).await,
        Some("point") => point::run(scale.unwrap_or(1_000_000)).await,
        Some("flat") => flat::run(scale.unwrap_or(100_000_000)).await,
        Some("ingest") => ingest::run(scale.unwrap_or(1_000_000)).await,
        Some("latency") => latency::run(scale.unwrap_or(10)).await,
        Some("doors") => doors::run(scale.unwrap_or(10_000_000)).await,
        Some("scale") => scale::run(&args[1..]).await,
        Some(doors::bare::NAME) => doors::bare::serve(args.get(1).ok_or("name a file of batches")?).await,
        _ => Err(format!("name a benchmark: {NAMES}").into()),
    }
}
