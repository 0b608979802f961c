//! `cargo xtask test`: every test there is, closing with one line `N passed, N failed, N skipped`.
//!
//! 1. Builds the real binary, which the integration tests start.
//! 2. `cargo test` over the workspace: units, and the one integration binary of `tests/`.
//! 3. pytest over `tests/clients`: real clients of other makers, in a Python environment made for it, with folders of
//!    JavaScript packages and of older Python packages beside it, and an S3 in an environment of its own.
//!
//! Tests leave remarks (how many kills, what was skipped and why) in a file that is shown at the end. What is missing
//! for want of a network is skipped aloud, and is a failure in CI.

use std::{fs, path::Path};

use crate::{counts::Counts, environment, localstack, node, python, step::Step, workspace::Workspace};

/// The variable that tells tests where to leave remarks.
const REMARKS: &str = "TIDEMARK_TEST_REMARKS";
/// How a remark about a test that could not run begins.
const SKIPPED: &str = "skipped: ";
/// The variable that tells tests where JavaScript's packages are.
const NODE_MODULES: &str = "TIDEMARK_NODE_MODULES";
/// The variable that tells tests where flightsql-dbapi and its SQLAlchemy are.
const FLIGHTSQL_DBAPI: &str = "TIDEMARK_FLIGHTSQL_DBAPI";
/// The variable that tells tests which server to start.
pub(crate) const BINARY: &str = "TIDEMARK_BIN";
/// The variable that tells tests which Python LocalStack is installed for.
pub(crate) const LOCALSTACK: &str = "TIDEMARK_LOCALSTACK";

/// Runs all tests; with a filter only the Rust tests whose names hold it.
pub(crate) fn run(filter: &[&str]) -> Result<(), String> {
    let target = Workspace::read()?.target_directory;
    let remarks = target.join("test-remarks.txt");
    fs::create_dir_all(&target).and_then(|()| fs::write(&remarks, "")).map_err(|error| error.to_string())?;

    let mut counts = rust(filter, &remarks);
    if filter.is_empty() {
        counts += clients(&target, &remarks);
    }
    counts.skipped += show(&remarks);
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if counts.failed == 0 { Ok(()) } else { Err("some tests failed".to_owned()) }
}

fn rust(filter: &[&str], remarks: &Path) -> Counts {
    let build = Step::cargo("build", "build --quiet --profile quick --workspace --bins").run();
    if let Err(reason) = build {
        return failed(&reason);
    }
    let step = Step::cargo("rust tests", "test --profile quick --workspace --no-fail-fast").with(REMARKS, remarks);
    counted(filter.iter().fold(step, |step, word| step.word(word)))
}

fn clients(target: &Path, remarks: &Path) -> Counts {
    match python::interpreter() {
        Ok(python) => pytest(&python, target, remarks),
        Err(reason) => missing("python clients", &reason),
    }
}

/// Tests whose packages are missing skip themselves.
fn pytest(python: &Path, target: &Path, remarks: &Path) -> Counts {
    let mut counts = Counts::default();
    let mut step = Step::program("python clients", python)
        .words("-m pytest --quiet -p no:cacheprovider tests/clients")
        .with(BINARY, target.join("quick/tidemark"))
        .with("PYTHONDONTWRITEBYTECODE", "1")
        .with(REMARKS, remarks);
    for (variable, packages) in [
        (NODE_MODULES, node::modules()),
        (FLIGHTSQL_DBAPI, python::flightsql_dbapi(python)),
        (LOCALSTACK, localstack::interpreter()),
    ] {
        match packages {
            Ok(path) => step = step.with(variable, path),
            Err(reason) => counts += missing(variable, &reason),
        }
    }
    counts += counted(step);
    counts
}

/// What cannot be had is skipped aloud, and is a failure in CI.
fn missing(what: &str, reason: &str) -> Counts {
    if environment::is_ci() {
        return failed(reason);
    }
    println!("skipped: {what}: {reason}");
    Counts { skipped: 1, ..Counts::default() }
}

/// Runs a step and counts its closing lines; a step that fails without a failed test counts as one.
fn counted(step: Step) -> Counts {
    let mut counts = Counts::default();
    let ended = step.watch(|line| counts.take(line));
    match ended {
        Err(reason) if counts.failed == 0 => counts += failed(&reason),
        Ok(()) if counts.passed == 0 => counts += failed("no test ran"),
        _ => {}
    }
    counts
}

fn failed(reason: &str) -> Counts {
    println!("FAILED: {reason}");
    Counts { failed: 1, ..Counts::default() }
}

/// Shows what tests remarked; how many of them say that something was skipped.
fn show(remarks: &Path) -> u64 {
    let text = fs::read_to_string(remarks).unwrap_or_default();
    text.lines().for_each(|line| println!("· {line}"));
    text.lines().filter(|line| line.starts_with(SKIPPED)).map(|_skipped| 1).sum()
}
