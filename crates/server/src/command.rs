//! The commands: each reads its flags, does its work and says how it ended.

mod compact;
mod demo;
mod doctor;
mod drop;
mod export;
mod ingest;
mod maintenance;
mod publish;
mod reload;
mod restore;
mod retention;
mod serve;
mod snapshot;
mod sql;
mod store_check;
mod tail;
mod token;
mod verify;

use std::{fmt::Display, io::Write as _, process::ExitCode, time::Duration};

use crate::{
    cli::{Cli, Command, ConfigCommand, ServeArgs},
    config::{ConfigError, Environment, Loaded, Source},
    metrics::VERSION,
};

/// The stack of a worker thread, bytes: the planner recurses with the nesting of a statement.
const STACK_BYTES: usize = 8 << 20;

/// How long threads of the runtime are waited for at the end.
const THREADS_END_WITHIN: Duration = Duration::from_millis(500);

/// How a command failed; the text goes to standard error.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with its causes.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self(text)
    }

    /// A failure in words.
    pub(crate) fn saying(text: impl Display) -> Self {
        Self(text.to_string())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// Runs a command to its end.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(dispatch(cli.command, Environment::of_process()));
            // A prompt that still waits for a line must not hold up the end.
            runtime.shutdown_timeout(THREADS_END_WITHIN);
            done
        }
        Err(error) => Err(Failure::saying(format_args!("the runtime could not be made: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            let _closed = writeln!(std::io::stderr(), "tidemark: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, environment: Environment) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(&args, &environment).await,
        Command::Config(ConfigCommand::Print(args)) => out(settings(&args, &environment)?.print()),
        Command::Config(ConfigCommand::Reload(args)) => reload::run(&args, &environment).await,
        Command::Version => out(format_args!("tidemark {VERSION}\n")),
        Command::Sql(args) => sql::run(&args, &environment).await,
        Command::Ingest(args) => ingest::run(&args, &environment).await,
        Command::Snapshot(args) => snapshot::take_or_drop(&args, &environment).await,
        Command::Snapshots(args) => snapshot::list(&args, &environment).await,
        Command::Publish(args) => publish::run(&args, &environment).await,
        Command::Retention(args) => retention::say(&args, &environment).await,
        Command::CleanUp(args) => retention::clean_up(&args, &environment).await,
        Command::Drop(args) => drop::run(&args, &environment).await,
        Command::Undrop(args) => drop::undo(&args, &environment).await,
        Command::Dropped(args) => drop::list(&args, &environment).await,
        Command::Compact(args) => compact::run(&args, &environment).await,
        Command::Restore(args) => restore::run(&args, &environment).await,
        Command::Export(args) => export::run(&args, &environment).await,
        Command::Tail(args) => tail::run(&args, &environment).await,
        Command::Token(command) => token::run(&command, &environment).await,
        Command::Maintenance(command) => maintenance::run(&command, &environment).await,
        Command::Verify(args) => verify::run(&args, &environment).await,
        Command::Doctor(args) => doctor::run(&args, &environment).await,
        Command::StoreCheck(args) => store_check::run(&args, &environment).await,
        Command::Demo(args) => demo::run(&args, &environment).await,
    }
}

/// The settings of a process that serves.
fn settings(args: &ServeArgs, environment: &Environment) -> Result<Loaded, ConfigError> {
    source(args, environment).load()
}

/// Where they are read from.
fn source(args: &ServeArgs, environment: &Environment) -> Source {
    Source { file: args.config.clone(), environment: environment.clone(), flags: args.layer() }
}

/// Writes to standard output; a reader that has gone away is no failure.
fn out(text: impl Display) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
