//! Flags of `restore`, and which past is meant.

use clap::Args;
use tidemark_query::CollectionRef;

use super::ServerArgs;

/// Which past is meant.
#[derive(Debug, Clone, Args)]
pub struct ThenArgs {
    /// What the lake had acknowledged by this instant, RFC 3339
    #[arg(long, value_name = "INSTANT", conflicts_with = "snapshot")]
    pub as_of: Option<String>,
    /// What had happened by this instant, as best known now, RFC 3339
    #[arg(long, value_name = "INSTANT")]
    pub valid_as_of: Option<String>,
    /// What a snapshot holds
    #[arg(long, value_name = "NAME")]
    pub snapshot: Option<String>,
}

/// Flags of `restore`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("then").required(true).multiple(true).args(["as_of", "valid_as_of", "snapshot"]))]
pub struct RestoreArgs {
    /// The collection, NAMESPACE.COLLECTION
    #[arg(value_name = "COLLECTION")]
    pub of: CollectionRef,
    /// As of when.
    #[command(flatten)]
    pub then: ThenArgs,
    /// Another collection that becomes it
    #[arg(long, value_name = "COLLECTION")]
    pub into: Option<CollectionRef>,
    /// Only documents that match then or now, a condition as behind WHERE
    #[arg(long, value_name = "CONDITION")]
    pub r#where: Option<String>,
    /// Only count what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}
