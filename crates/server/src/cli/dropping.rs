//! Flags of `drop`, `undrop` and `dropped`.

use clap::Args;

use super::{ServerArgs, table, time};

/// Flags of `drop`.
#[derive(Debug, Clone, Args)]
pub struct DropArgs {
    /// The collection, or the namespace: NAMESPACE[.COLLECTION]
    #[arg(value_name = "NAME", value_parser = table)]
    pub of: String,
    /// How long it can be brought back, such as 30d or 12h [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub grace: Option<u64>,
    /// Erase it at once: it cannot be brought back
    #[arg(long, conflicts_with = "grace")]
    pub now: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `undrop`.
#[derive(Debug, Clone, Args)]
pub struct UndropArgs {
    /// The collection, or the namespace: NAMESPACE[.COLLECTION]
    #[arg(value_name = "NAME", value_parser = table)]
    pub of: String,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `dropped`.
#[derive(Debug, Clone, Args)]
pub struct DroppedArgs {
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}
