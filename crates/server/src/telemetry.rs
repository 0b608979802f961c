//! What the process tells of itself as it goes: lines of its log, to standard error, pretty for people or JSON for machines;
//! and [`traces`], where somebody collects them.

pub(crate) mod traces;

use std::{io::IsTerminal as _, sync::Arc};

use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::config::{LogFormat, Settings};
use traces::Exporter;

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

/// Who listens to what the process tells.
#[derive(Debug)]
pub struct Telemetry {
    /// The lines of the log.
    pub lines: Lines,
    /// Who is sent spans; to be ended last.
    pub exporter: Option<Exporter>,
}

/// Installs the subscriber of the process and logs panics through it.
///
/// # Errors
/// Says what is wrong with the filter or the endpoint of spans, or that a subscriber is installed already.
pub fn install(settings: &Settings) -> Result<Telemetry, String> {
    let (filter, handle) = reload::Layer::new(filter(&settings.logs.filter)?);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match settings.logs.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let exporter = Exporter::of(&settings.traces, &settings.env)?;
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(exporter.as_ref().map(Exporter::layer))
        .try_init()
        .map_err(|e| format!("logs could not be set up: {e}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = %panic.payload_as_str().unwrap_or("without a message"), "a defect: panic");
    }));
    Ok(Telemetry { lines: Lines(Arc::new(move |filter: EnvFilter| handle.reload(filter))), exporter })
}
