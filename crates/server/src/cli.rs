//! The command line: what can be typed, and what each flag means as a setting.

pub mod dropping;
pub mod looking;
pub mod maintenance;
pub mod reading;
pub mod restoring;
pub mod tls;
pub mod token;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidemark_model::{CollectionName, Namespace};
use tidemark_query::CollectionRef;

use self::{
    dropping::{DropArgs, DroppedArgs, UndropArgs},
    looking::{DoctorArgs, StoreCheckArgs, VerifyArgs},
    reading::{ExportArgs, TailArgs},
    restoring::RestoreArgs,
};
use crate::config::{Layer, Listen, LogFormat, LogPlace};

/// The most records of one request that a server takes.
const BATCH_MAX: u64 = 10_000;

/// Tidemark: an event lakehouse with a memory. Send events and changes, ask SQL about any instant.
#[derive(Debug, Parser)]
#[command(
    name = "tidemark",
    version,
    propagate_version = true,
    infer_subcommands = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: ingest, SQL over HTTP and Flight SQL, health and metrics.
    #[command(
        after_help = "Examples:\n  tidemark serve\n  tidemark serve --data /var/lib/tidemark --http 0.0.0.0:7070 \
                            --grpc 0.0.0.0:7071   (with AUTH_TOKEN set)\n  tidemark serve --store s3://bucket/lake --log /var/lib/tidemark/log\n  tidemark serve --store s3://bucket/lake --log object   \
                            (nothing on a disk)\n  tidemark serve --store s3://bucket/lake --log object --standby   (takes over when the other ends)"
    )]
    Serve(ServeArgs),
    /// Serve with a week of real flights loaded, show five things to try with their answers, and open a prompt.
    Demo(DemoArgs),
    /// Ask a running server: one statement, or a prompt when none is given.
    #[command(after_help = "Examples:\n  tidemark sql\n  tidemark sql \"SELECT count(*) FROM nyc.events\"\n  \
                            tidemark sql --format csv \"SELECT * FROM nyc.flights FOR VALID_TIME AS OF TIMESTAMP '2013-01-02T14:30:00Z'\" > board.csv")]
    Sql(SqlArgs),
    /// Send a file of events or changes, one JSON object per line, to a running server.
    #[command(after_help = "Examples:\n  tidemark ingest events.ndjson --namespace shop\n  \
                            tidemark ingest orders.ndjson.zst --namespace shop --collection orders\n  producer | tidemark ingest - --namespace shop\n\n\
                            A run that was interrupted is simply started again within 24 hours, with the same file and --batch: batches that\n\
                            the server has are not stored twice. Of a file that was changed, all is stored again, except records with an id.")]
    Ingest(IngestArgs),
    /// Keep the state of a collection exactly as of an instant, under a name, or drop such a snapshot.
    #[command(after_help = "Examples:\n  tidemark snapshot shop.orders --name before-the-move\n  \
                            tidemark snapshot shop.orders --as-of 2026-02-01T00:00:00Z\n  tidemark snapshot shop.orders --name before-the-move --drop")]
    Snapshot(SnapshotArgs),
    /// List the snapshots of a collection.
    Snapshots(SnapshotsArgs),
    /// Publish tables now, for other engines to read, or write what is published anew.
    #[command(after_help = "A server publishes by itself what changes. Without a table every table is published.\n\n\
                            Examples:\n  tidemark publish\n  tidemark publish shop.events\n  tidemark publish --rebuild shop.orders")]
    Publish(PublishArgs),
    /// Say how long the past of a collection is kept, or that of all in a namespace; without numbers it is shown.
    #[command(after_help = "Numbers that are not given stay as they were said.\n\n\
                            Examples:\n  tidemark retention shop --history-window 365d\n  \
                            tidemark retention shop.orders --history-window forever --daily 90\n  tidemark retention shop.orders --reset")]
    Retention(RetentionArgs),
    /// Let go what lies beyond how long the past is kept, now, and delete files that nobody can be reading any more.
    #[command(after_help = "Numbers that are not given are those in force.\n\n\
                            Examples:\n  tidemark clean-up shop.orders --dry-run\n  \
                            tidemark clean-up shop.orders --history-window 30d --daily 7 --dry-run")]
    CleanUp(CleanUpArgs),
    /// Drop a collection, or a namespace with all that is in it; within a grace it can be brought back.
    #[command(
        after_help = "From then on nobody sees it and nothing is added to it. When the grace is over it is erased and its name is free.\n\n\
                            Examples:\n  tidemark drop shop.orders\n  tidemark drop shop --grace 30d\n  tidemark drop shop.orders --now"
    )]
    Drop(DropArgs),
    /// Bring back what was dropped.
    #[command(after_help = "Examples:\n  tidemark undrop shop.orders\n  tidemark undrop shop")]
    Undrop(UndropArgs),
    /// List what was dropped and can be brought back.
    Dropped(DroppedArgs),
    /// Fold what waits and make few files of many, now; a server does so by itself where it is due.
    #[command(
        after_help = "Without a name every namespace is compacted; of a collection the events of its namespace are too.\n\n\
                            Examples:\n  tidemark compact\n  tidemark compact shop\n  tidemark compact shop/orders"
    )]
    Compact(CompactArgs),
    /// Make a collection, or some of its documents, again what it was at an instant or in a snapshot, by changes that win;
    /// nothing is rewritten, and another restore undoes it.
    #[command(after_help = "Examples:\n  tidemark restore shop.orders --as-of 2026-02-01T00:00:00Z --dry-run\n  \
                            tidemark restore shop.orders --snapshot before-the-move --where \"customer = 'c7'\"\n  \
                            tidemark restore shop.orders --valid-as-of 2026-02-01T00:00:00Z --into shop.orders-then\n\n\
                            One that was interrupted is simply started again: it does the rest.")]
    Restore(RestoreArgs),
    /// Write a state of a collection to a file: Parquet, or changes that can be ingested again, a line each.
    #[command(after_help = "Examples:\n  tidemark export shop.orders > orders.ndjson\n  \
                            tidemark export shop.orders --snapshot 2026-02 --format parquet --output orders.parquet\n  \
                            tidemark ingest orders.ndjson --namespace shop --collection orders-again")]
    Export(ExportArgs),
    /// Show events as they become durable, one JSON object a line, until it is stopped. A server that restarts is waited for.
    #[command(after_help = "Examples:\n  tidemark tail shop\n  tidemark tail shop --type 'order.*'\n  \
                            tidemark tail shop --after start --count 10\n\n\
                            In shards of their own events may come in another order than they were sent.")]
    Tail(TailArgs),
    /// Make, list and revoke tokens: who may ask what, and where.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Switch ingest off and on again while questions are answered, and tell how it stands.
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Look the lake over: every file there, with its size and checksum, no gap in any chain, nothing left behind; logs in the
    /// store too. Needs the store, not a server; one may run meanwhile.
    #[command(after_help = "Exit code 0: nothing is wrong; 1: something is, each on a line of its own.\n\n\
                            Examples:\n  tidemark verify --data /var/lib/tidemark\n  tidemark verify --store s3://bucket/lake --quick")]
    Verify(VerifyArgs),
    /// Look at all that a server stands on, beside one that runs or for one that does not, and say what to do next.
    #[command(after_help = "It is given the same flags and environment as the server. Nothing is changed.\n\
                            Exit code 0: all is well, or may soon not be (warning); 1: something failed.\n\n\
                            Examples:\n  tidemark doctor --config /etc/tidemark/tidemark.toml\n  tidemark doctor --store s3://bucket/lake --log object --format json")]
    Doctor(DoctorArgs),
    /// Ask a store what it can do, and whether a lake can be kept in it; needs no server, and leaves nothing there.
    #[command(after_help = "Exit code 0: a lake can be kept there; 1: it cannot, or it could not be tried.\n\n\
                            Examples:\n  tidemark store-check s3://bucket/lake\n  tidemark store-check s3://bucket/lake --rounds 1000 --json")]
    StoreCheck(StoreCheckArgs),
    /// Look at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version.
    Version,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting as a tidemark.toml, with where it comes from; secrets are masked.
    Print(Box<ServeArgs>),
    /// Have a running server read its settings anew: limits, the root token, the filter of its log. What needs a restart is
    /// told, and then nothing changes. Needs the root token; SIGHUP does the same.
    Reload(maintenance::WhereArgs),
}

/// Flags of a process that serves. Each is also a key of tidemark.toml and a variable; flags win over the environment,
/// the environment over the file.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Settings file [env: TIDEMARK_CONFIG] [default: tidemark.toml in the data directory or here, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store and the log [env: TIDEMARK_DATA] [default: ./tidemark-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Store elsewhere: file:///path, s3://bucket/prefix, memory:// [env: TIDEMARK_STORE] [default: DATA/lake]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Directory of the log, or object: in the store, which then is all that is needed [env: TIDEMARK_LOG]
    /// [default: DATA/log]
    #[arg(long, value_name = "DIR|object")]
    pub log: Option<LogPlace>,
    /// Wait while another process owns the lake, and take over when it ends or falls silent; needs --log object
    /// [env: TIDEMARK_STANDBY]
    #[arg(long)]
    pub standby: bool,
    /// Address of the HTTP port; port 0 picks a free one [env: TIDEMARK_HTTP] [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Address of the gRPC port (Flight SQL); port 0 picks a free one [env: TIDEMARK_GRPC] [default: 127.0.0.1:7071]
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<SocketAddr>,
    /// Address of the port of PostgreSQL's protocol (psql); port 0 picks a free one, off opens none [env: TIDEMARK_POSTGRES]
    /// [default: 127.0.0.1:7072 if it is free]
    #[arg(long, value_name = "ADDR")]
    pub postgres: Option<Listen>,
    /// Serve without a token on any address: only where the network keeps strangers out [env: TIDEMARK_ALLOW_UNAUTHENTICATED]
    #[arg(long)]
    pub allow_unauthenticated: bool,
    /// TLS.
    #[command(flatten)]
    pub tls: tls::TlsArgs,
    /// Shape of log lines on standard error [env: TIDEMARK_LOG_FORMAT] [default: pretty]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Levels of log lines, such as info or warn,tidemark_ingest=debug [env: TIDEMARK_LOG_FILTER] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,
}

impl ServeArgs {
    /// The flags as a layer of settings.
    #[must_use]
    pub fn layer(&self) -> Layer {
        let mut layer = Layer::named("the command line");
        let path = |path: &PathBuf| path.display().to_string();
        let texts = [
            ("data", self.data.as_ref().map(path)),
            ("store", self.store.clone()),
            ("log", self.log.as_ref().map(LogPlace::to_string)),
            ("http", self.http.map(|address| address.to_string())),
            ("grpc", self.grpc.map(|address| address.to_string())),
            ("postgres", self.postgres.map(|address| address.to_string())),
            ("logs.format", self.log_format.and_then(|f| f.to_possible_value()).map(|f| f.get_name().to_owned())),
            ("logs.filter", self.log_filter.clone()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                layer.set(key, text);
            }
        }
        self.tls.lay(&mut layer);
        if self.standby {
            layer.set("standby", true);
        }
        if self.allow_unauthenticated {
            layer.set("auth.allow_unauthenticated", true);
        }
        layer
    }
}

/// Flags of the demo.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoArgs {
    /// Flags of the server; the data directory is ./tidemark-data/demo unless given, so that a second run finds what the
    /// first one loaded; free ports are taken where the defaults are in use.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Where the server is and who asks.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The server [env: TIDEMARK_URL] [default: http://127.0.0.1:7070]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Trust servers whose certificate one of these signed, PEM [env: TIDEMARK_CA]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Flags of `sql`.
#[derive(Debug, Clone, Args)]
pub struct SqlArgs {
    /// The statement; without one a prompt opens (or standard input is read, if it is no terminal)
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,
    /// How answers are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The namespace in which names without a schema are looked up
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<Namespace>,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How an answer is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// One JSON document with columns, rows and the instant.
    Json,
    /// One JSON object per row and line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Whether it is nothing for a terminal.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// The media type that asks for it.
    #[must_use]
    pub const fn accept(self) -> &'static str {
        match self {
            Self::Table | Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            // In two parts: it ends like an object path, which only storage may spell.
            Self::Parquet => concat!("application/vnd.apache.", "parquet"),
        }
    }
}

/// Flags of `ingest`.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    /// The file, one JSON object per line, also .gz and .zst; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The namespace that gets the events
    #[arg(long, value_name = "NAME")]
    pub namespace: Namespace,
    /// The collection, if the lines are changes of documents; without it they are events
    #[arg(long, value_name = "NAME")]
    pub collection: Option<CollectionName>,
    /// Lines per request
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=BATCH_MAX))]
    pub batch: u64,
    /// What a bad line does: it alone is refused, or its whole batch
    #[arg(long, value_enum, default_value_t = OnError::Partial)]
    pub on_error: OnError,
    /// Where to send.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `snapshot`.
#[derive(Debug, Clone, Args)]
pub struct SnapshotArgs {
    /// The collection, NAMESPACE.COLLECTION
    #[arg(value_name = "COLLECTION")]
    pub of: CollectionRef,
    /// Its name; without one it is named after its instant
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The instant, RFC 3339 [default: now]
    #[arg(long, value_name = "INSTANT", conflicts_with = "drop")]
    pub as_of: Option<String>,
    /// Drop the snapshot of this name
    #[arg(long, requires = "name")]
    pub drop: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `publish`.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// A namespace or a table, NAMESPACE[.TABLE] [default: every table]
    #[arg(value_name = "TABLE")]
    pub of: Option<String>,
    /// Delete what is published and write it anew from the lake
    #[arg(long)]
    pub rebuild: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `snapshots`.
#[derive(Debug, Clone, Args)]
pub struct SnapshotsArgs {
    /// The collection, NAMESPACE.COLLECTION
    #[arg(value_name = "COLLECTION")]
    pub of: CollectionRef,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How much is kept.
#[derive(Debug, Clone, Args)]
pub struct KeepArgs {
    /// How long every change is kept, such as 90d, 12h or forever
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub history_window: Option<u64>,
    /// How many daily snapshots stay
    #[arg(long, value_name = "COUNT")]
    pub daily: Option<u64>,
    /// How many monthly snapshots stay
    #[arg(long, value_name = "COUNT")]
    pub monthly: Option<u64>,
}

/// Seconds of `90d`, `12h`, `30m`, `45s`; 0 of `forever`.
fn seconds(text: &str) -> Result<u64, String> {
    match text {
        "forever" => Ok(0),
        _ => time(text).map_err(|usage| format!("{usage}, or forever")),
    }
}

/// Seconds of `90d`, `12h`, `30m`, `45s`.
fn time(text: &str) -> Result<u64, String> {
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let found = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let read = found.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    read.filter(|seconds| *seconds > 0).ok_or_else(|| "use a number with d, h, m or s, such as 90d".to_owned())
}

/// Flags of `compact`.
#[derive(Debug, Clone, Args)]
pub struct CompactArgs {
    /// A namespace or a collection, NAMESPACE[/COLLECTION] [default: every namespace]
    #[arg(value_name = "NAME", value_parser = place)]
    pub of: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A namespace, or a collection of one behind a slash or a dot, as text with a dot.
fn place(text: &str) -> Result<String, String> {
    table(&text.replacen('/', ".", 1))
}

/// Flags of `retention`.
#[derive(Debug, Clone, Args)]
pub struct RetentionArgs {
    /// The collection, or the namespace whose default it is: NAMESPACE[.COLLECTION]
    #[arg(value_name = "COLLECTION", value_parser = table)]
    pub of: String,
    /// What is said.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Take back what was said
    #[arg(long, conflicts_with_all = ["history_window", "daily", "monthly"])]
    pub reset: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A namespace, or a collection of one, as text.
fn table(text: &str) -> Result<String, String> {
    if text.contains('.') {
        return text.parse::<CollectionRef>().map(|_| text.to_owned());
    }
    Namespace::parse(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// Flags of `clean-up`.
#[derive(Debug, Clone, Args)]
pub struct CleanUpArgs {
    /// The collection, NAMESPACE.COLLECTION
    #[arg(value_name = "COLLECTION")]
    pub of: CollectionRef,
    /// As if this were said of it.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Only tell what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Where to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What one bad record does to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// The good ones are taken.
    Partial,
    /// None is taken.
    Reject,
}

#[cfg(test)]
mod tests;
