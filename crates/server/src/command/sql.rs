//! `tidemark sql`: one statement, a script from standard input, or a prompt.

pub(super) mod prompt;

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    time::Instant,
};

use serde_json::Value;
use tidemark_model::Namespace;

use super::{Failure, out};
use crate::{
    cli::{Format, SqlArgs},
    client::{Client, ClientError},
    config::Environment,
    statements, table,
};

/// The longest script that is read from standard input, bytes.
const SCRIPT_BYTES_MAX: u64 = 16 << 20;

/// What can be set.
const SETTINGS: [&str; 4] = ["tidemark.as_of", "tidemark.valid_as_of", "tidemark.nearest", "tidemark.schema"];

/// How statements are asked and answers written.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) client: Client,
    pub(super) namespace: Option<Namespace>,
    pub(super) format: Format,
    /// Whether the line below a table says how long it took.
    pub(super) timing: Timing,
    /// What was set, as statements: the server keeps no sessions, so they go before every other.
    pub(super) settings: String,
}

/// Whether times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    Shown,
    Hidden,
}

/// Asks what was given, or opens the prompt.
pub(super) async fn run(args: &SqlArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let namespace = args.namespace.clone();
    let mut asking = Asking { client, namespace, format: args.format, timing: Timing::Shown, settings: String::new() };
    if args.format.is_binary() && std::io::stdout().is_terminal() {
        return Err(Failure::saying(
            "this format is binary: send it to a file, such as `tidemark sql --format parquet \"…\" > answer.parquet`",
        ));
    }
    match &args.sql {
        Some(sql) => asking.script(sql).await,
        None if std::io::stdin().is_terminal() => prompt::open(asking, environment).await,
        None => {
            let mut script = Vec::new();
            std::io::stdin().lock().take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut script)?;
            if script.len() as u64 > SCRIPT_BYTES_MAX {
                let limit = SCRIPT_BYTES_MAX >> 20;
                return Err(Failure::saying(format_args!("the script is longer than {limit} MiB: ask it in pieces")));
            }
            let script = String::from_utf8(script)?;
            asking.script(&script).await
        }
    }
}

impl Asking {
    /// Asks every statement of a text, up to the first that fails.
    async fn script(&mut self, text: &str) -> Result<(), Failure> {
        let split = statements::split(text);
        for statement in split.whole.iter().chain((!split.rest.is_empty()).then_some(&split.rest)) {
            self.one(statement).await?;
        }
        Ok(())
    }

    /// Asks one statement and writes its answer to standard output; keeps one that sets.
    pub(super) async fn one(&mut self, sql: &str) -> Result<(), Failure> {
        let text = format!("{}{sql}", self.settings);
        if statements::sets(sql) { self.keep(&text).await } else { self.ask(&text).await }
    }

    /// Keeps the settings that a text leaves, with the instants they have now.
    async fn keep(&mut self, text: &str) -> Result<(), Failure> {
        let mut settings = String::new();
        for name in SETTINGS {
            let answer = self.client.answer(&format!("{text}; SHOW {name}"), self.namespace.as_ref()).await?;
            if let Some(Value::String(at)) = answer.rows.first().and_then(|row| row.first()) {
                settings.push_str(&format!("SET {name} = '{at}'; "));
            }
        }
        self.settings = settings;
        Ok(())
    }

    async fn ask(&self, sql: &str) -> Result<(), Failure> {
        if self.format == Format::Table {
            return self.drawn(sql).await;
        }
        let mut response = self.client.query(sql, self.namespace.as_ref(), self.format.accept()).await?;
        let mut stdout = std::io::stdout();
        let mut last = b'\n';
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(&e))? {
            last = chunk.last().copied().unwrap_or(last);
            match stdout.write_all(&chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        if last == b'\n' || self.format.is_binary() { Ok(stdout.flush()?) } else { out("\n") }
    }

    async fn drawn(&self, sql: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        let answer = self.client.answer(sql, self.namespace.as_ref()).await?;
        let took = (self.timing == Timing::Shown).then(|| begun.elapsed());
        out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, took)))
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        Failure::of(&ClientError::Unreadable {
            url: self.client.url().to_owned(),
            reason: format!("it ended early, what was written is not all of it ({error})"),
        })
    }
}
