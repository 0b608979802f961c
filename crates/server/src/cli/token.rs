//! Flags of `token`.

use clap::{Args, Subcommand, ValueEnum};
use tidemark_model::Namespace;

use super::{ServerArgs, seconds};

/// What can be done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it is shown this once.
    #[command(after_help = "Examples:\n  tidemark token create --name loader --scope ingest --namespace shop\n  \
                            tidemark token create --name grafana --scope query --namespace shop --namespace bank --expires-in 365d\n  \
                            tidemark token create --name operator --scope ingest,query,admin --all-namespaces")]
    Create(CreateArgs),
    /// List tokens: those that reach no further than the one that asks. Their secrets are nowhere.
    List(ListArgs),
    /// Take a token back: it opens nothing from then on.
    Revoke(RevokeArgs),
}

/// What a token may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Sends events and changes.
    Ingest,
    /// Asks SQL and exports.
    Query,
    /// Schemas, retention, snapshots, restores, publishing, tokens.
    Admin,
}

/// Flags of `token create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// What people call it
    #[arg(long, value_name = "NAME", default_value = "")]
    pub name: String,
    /// What it is for; several by commas or by several flags
    #[arg(long = "scope", value_enum, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub scopes: Vec<ScopeArg>,
    /// A namespace that it is for; several by commas or by several flags
    #[arg(
        long = "namespace",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        required_unless_present = "all_namespaces",
        conflicts_with = "all_namespaces"
    )]
    pub namespaces: Vec<Namespace>,
    /// It is for every namespace, also those to come
    #[arg(long)]
    pub all_namespaces: bool,
    /// How long it opens anything, such as 12h, 90d or forever
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "forever")]
    pub expires_in: u64,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `token list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `token revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeArgs {
    /// Its id: the middle of tm_ID_SECRET
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}
