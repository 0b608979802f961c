//! Flags of `maintenance`.

use clap::{Args, Subcommand};

use super::ServerArgs;

/// What can be done about maintenance.
#[derive(Debug, Clone, Subcommand)]
pub enum MaintenanceCommand {
    /// Switch ingest off: whoever sends is told 503 and to come back; a restart does not switch it on.
    #[command(after_help = "Example:\n  tidemark maintenance on --reason \"the disk is replaced\"")]
    On(OnArgs),
    /// Switch ingest on again.
    Off(WhereArgs),
    /// Tell whether it is off, since when, by whom and why, and what is in no file yet.
    Status(WhereArgs),
}

/// Flags of `maintenance on`.
#[derive(Debug, Clone, Args)]
pub struct OnArgs {
    /// Why; those who send are told
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `maintenance off` and `maintenance status`.
#[derive(Debug, Clone, Args)]
pub struct WhereArgs {
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}
