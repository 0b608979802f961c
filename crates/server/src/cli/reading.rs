//! Flags of the commands that write what a lake holds: `export`, `tail`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tidemark_model::Namespace;
use tidemark_query::CollectionRef;

use super::{ServerArgs, restoring::ThenArgs};

/// Flags of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The collection, NAMESPACE.COLLECTION
    #[arg(value_name = "COLLECTION")]
    pub of: CollectionRef,
    /// As of when; without any now.
    #[command(flatten)]
    pub then: ThenArgs,
    /// Only documents that match, a condition as behind WHERE
    #[arg(long, value_name = "CONDITION")]
    pub r#where: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = FileFormat::Ndjson)]
    pub format: FileFormat,
    /// The file, which appears when it is whole; without one standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `tail`.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// The namespace
    pub namespace: Namespace,
    /// Only events of these types; * stands for any letters, ? for one
    #[arg(long, value_name = "GLOB")]
    pub r#type: Option<String>,
    /// Begin behind this position, or with the oldest event there is (start); without it with what comes now
    #[arg(long, value_name = "POSITION")]
    pub after: Option<String>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// One change a line, which can be ingested again.
    Ndjson,
    /// A Parquet file with the columns of the table.
    Parquet,
}
