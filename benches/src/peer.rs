//! DuckDB, as a script in a process of its own that tells its own CPU.

use std::{path::PathBuf, process::Command};

use serde::Deserialize;

/// What a peer's script prints: one JSON line.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// Name and version.
    pub peer: String,
    /// One measurement per repeat.
    pub cpu_s: Vec<f64>,
    /// The same, wall clock.
    pub wall_s: Vec<f64>,
    /// What it answered, per question, for comparison with ours.
    pub answers: Vec<Vec<i64>>,
}

/// `benches/peers/<script>.py` under the interpreter in `TIDEMARK_BENCH_PYTHON` (`cargo xtask bench` sets it).
pub(crate) fn command(script: &str) -> Command {
    #[allow(clippy::disallowed_methods, reason = "the interpreter of the peers is the benchmark's own setting")]
    let python = std::env::var("TIDEMARK_BENCH_PYTHON").unwrap_or_else(|_unset| "python3".to_owned());
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(script));
    command
}

/// Runs a script to its end.
pub(crate) fn run(script: &str, args: &[&str]) -> Result<Told, Box<dyn std::error::Error + Send + Sync>> {
    let output = command(script).args(args).output()?;
    if !output.status.success() {
        return Err(format!("{script} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
