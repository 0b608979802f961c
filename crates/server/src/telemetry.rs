//! Logs: one subscriber, to standard error, pretty for people or JSON for machines.

use std::{io::IsTerminal as _, sync::Arc};

use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogFormat, Logs};

/// Libraries that tell every step and every failure, which come back to us as errors and are told where they belong. A
/// filter that names them wins.
const QUIET: &str = "buoyant_kernel=off,buoyant_kernel_engine=off,deltalake_core=off";

/// Puts another filter in force.
type Follow = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

/// The lines of the process, whose filter can change. Cheap to clone.
#[derive(Clone)]
pub struct Lines(Arc<Follow>);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lines")
    }
}

impl Lines {
    /// Shows what another filter lets through.
    ///
    /// # Errors
    /// Says what is wrong with it; the one before stays.
    pub fn follow(&self, text: &str) -> Result<(), String> {
        (self.0)(filter(text)?).map_err(|e| format!("the log filter could not be changed: {e}"))
    }
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{text}"))
        .map_err(|e| format!("log filter {text:?} is not valid: {e}; use info, or warn,tidemark_ingest=debug"))
}

/// Installs the subscriber of the process and logs panics through it.
///
/// # Errors
/// Says what is wrong with the filter, or that a subscriber is installed already.
pub fn install(logs: &Logs) -> Result<Lines, String> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&logs.filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let (follow, installed): (Arc<Follow>, _) = match logs.format {
        LogFormat::Pretty => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            (Arc::new(move |filter: EnvFilter| handle.reload(filter)), lines.try_init())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            (Arc::new(move |filter: EnvFilter| handle.reload(filter)), lines.try_init())
        }
    };
    installed.map_err(|e| format!("logs could not be set up: {e}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = %panic.payload_as_str().unwrap_or("without a message"), "a defect: panic");
    }));
    Ok(Lines(follow))
}
