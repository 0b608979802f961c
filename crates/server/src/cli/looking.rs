//! Flags of the commands that look for themselves, without a server: `verify`, `store-check`, `doctor`.

use clap::{Args, ValueEnum};
use tidemark_storage::store::check::ROUNDS_DEFAULT;

use super::ServeArgs;

/// The most races of one check.
const ROUNDS_MAX: i64 = 100_000;

/// Flags of `verify`.
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyArgs {
    /// Where the lake is, as for `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Only presence and sizes, not every byte
    #[arg(long)]
    pub quick: bool,
}

/// Flags of `store-check`.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreCheckArgs {
    /// The store: file:///path, s3://bucket/prefix, memory:// [default: the one that `serve` would take]
    #[arg(value_name = "URL", conflicts_with = "store")]
    pub url: Option<String>,
    /// Races in which many create one name at once
    #[arg(long, value_name = "N", default_value_t = ROUNDS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    pub rounds: u32,
    /// One JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// What the store needs besides its URL, as for `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Flags of `doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// What the server is given.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = FindingFormat::Text)]
    pub format: FindingFormat,
    /// Also put the quick questions of store-check to the store: it creates 70 small objects or so, and deletes them
    #[arg(long)]
    pub ask_store: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FindingFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

impl StoreCheckArgs {
    /// The flags of a process that would serve from the store that is meant.
    #[must_use]
    pub fn serve(&self) -> ServeArgs {
        ServeArgs { store: self.url.clone().or_else(|| self.serve.store.clone()), ..self.serve.clone() }
    }
}
