//! Logs: one subscriber, to standard error, pretty for people or JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logs};

/// Libraries that tell every step and every failure, which come back to us as errors and are told where they belong. A
/// filter that names them wins.
const QUIET: &str = "buoyant_kernel=off,buoyant_kernel_engine=off,deltalake_core=off";

/// Installs the subscriber of the process and logs panics through it.
///
/// # Errors
/// Says what is wrong with the filter, or that a subscriber is installed already.
pub fn install(logs: &Logs) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", logs.filter)).map_err(|e| {
        format!("log filter {:?} is not valid: {e}; use info, or warn,tidemark_ingest=debug", logs.filter)
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let installed = match logs.format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|e| format!("logs could not be set up: {e}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = %panic.payload_as_str().unwrap_or("without a message"), "a defect: panic");
    }));
    Ok(())
}
