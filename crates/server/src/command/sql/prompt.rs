//! The prompt: statements over several lines until `;`, a history that stays, and a few commands of its own.

use std::path::PathBuf;

use rustyline::{
    Config, Editor,
    error::ReadlineError,
    history::{DefaultHistory, History},
};
use tokio::runtime::Handle;

use super::{Asking, Timing};
use crate::{
    command::{Failure, out},
    config::Environment,
    statements,
};

/// Lines the history keeps.
const HISTORY_LINES_MAX: usize = 2000;
/// The file of the history, in the home directory.
const HISTORY_FILE: &str = ".tidemark_history";

const HELP: &str = "\
  SELECT …;            ask; a statement may span lines and ends with ;
  \\d                   list tables
  \\d namespace.table   describe a table
  \\timing              show or hide how long answers take
  \\?                   this help
  \\q                   quit (also Ctrl-D); Ctrl-C forgets the line, or cancels what is running

  The past: SELECT … FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '…'   what was known then
            SELECT … FROM t FOR VALID_TIME AS OF TIMESTAMP '…'    what was the case then
            both together: what was believed at one instant about another
            SET tidemark.as_of = '…'; holds for every table without a clause, until RESET tidemark.as_of;
";

/// A command of the prompt itself.
#[derive(Debug, PartialEq, Eq)]
enum Meta<'a> {
    Tables,
    Describe(&'a str),
    Timing,
    Help,
    Quit,
    Unknown(&'a str),
}

/// Opens the prompt and answers until it is left.
pub(in crate::command) async fn open(asking: Asking, environment: &Environment) -> Result<(), Failure> {
    let history = environment.get("HOME").map(|home| PathBuf::from(home).join(HISTORY_FILE));
    let handle = Handle::current();
    let left = tokio::task::spawn_blocking(move || Prompt { asking, history, handle }.run()).await;
    left.map_err(|e| Failure::saying(format_args!("the prompt ended early: {e}")))?
}

struct Prompt {
    asking: Asking,
    history: Option<PathBuf>,
    handle: Handle,
}

impl Prompt {
    fn run(mut self) -> Result<(), Failure> {
        let config = Config::builder().max_history_size(HISTORY_LINES_MAX)?.auto_add_history(false).build();
        let mut history = DefaultHistory::with_config(&config);
        if let Some(file) = &self.history {
            let _none_yet = history.load(file);
        }
        out(format_args!("{}: \\? for help, \\q to quit\n", self.asking.client.url()))?;
        let mut pending = String::new();
        loop {
            match read_line(&config, &mut history, if pending.is_empty() { "tidemark> " } else { "     ...> " }) {
                Ok(line) if pending.is_empty() && meta(&line).is_some() => {
                    let _kept = history.add(line.trim());
                    if meta(&line).is_some_and(|meta| self.obey(&meta)) {
                        break;
                    }
                }
                Ok(line) => pending = self.take(&mut history, &format!("{pending}{line}\n")),
                Err(ReadlineError::Interrupted) => pending.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(file) = &self.history {
            let _unwritable = history.save(file);
        }
        Ok(())
    }

    /// Asks what is finished; gives back what is not.
    fn take(&mut self, history: &mut DefaultHistory, text: &str) -> String {
        let split = statements::split(text);
        for statement in &split.whole {
            let _kept = history.add(&format!("{statement};"));
            self.ask(statement);
        }
        split.rest
    }

    /// Asks; Ctrl-C drops the connection, which cancels the query in the server.
    fn ask(&mut self, sql: &str) {
        let asked = self.handle.block_on(async {
            tokio::select! {
                asked = self.asking.one(sql) => asked,
                _ = tokio::signal::ctrl_c() => Err(Failure::saying("cancelled")),
            }
        });
        if let Err(Failure(text)) = asked {
            let _closed = out(format_args!("error: {text}\n"));
        }
    }

    /// Whether the prompt is left.
    fn obey(&mut self, meta: &Meta<'_>) -> bool {
        let text = match meta {
            Meta::Quit => return true,
            Meta::Tables => {
                self.ask(
                    "SELECT table_schema, table_name, table_type FROM information_schema.tables \
                     WHERE table_schema NOT IN ('information_schema', 'system') ORDER BY 1, 2",
                );
                return false;
            }
            Meta::Describe(name) => {
                self.ask(&columns_of(name));
                return false;
            }
            Meta::Timing => {
                let (timing, word) = match self.asking.timing {
                    Timing::Shown => (Timing::Hidden, "hidden"),
                    Timing::Hidden => (Timing::Shown, "shown"),
                };
                self.asking.timing = timing;
                format!("times are {word}\n")
            }
            Meta::Help => HELP.to_owned(),
            Meta::Unknown(word) => format!("{word} is not known here: \\? lists what is\n"),
        };
        let _closed = out(text);
        false
    }
}

/// Reads one line. The editor lives no longer than that: while it does, it takes Ctrl-C for itself, also when a
/// statement runs and the line is long finished.
fn read_line(config: &Config, history: &mut DefaultHistory, prompt: &str) -> rustyline::Result<String> {
    let lent = std::mem::replace(history, DefaultHistory::with_config(config));
    let mut editor = Editor::<(), DefaultHistory>::with_history(config.clone(), lent)?;
    let line = editor.readline(prompt);
    *history = std::mem::replace(editor.history_mut(), DefaultHistory::with_config(config));
    line
}

/// Reads a line that begins with a backslash.
fn meta(line: &str) -> Option<Meta<'_>> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(match (word, rest.trim()) {
        ("\\d" | "\\dt", "") => Meta::Tables,
        ("\\d" | "\\dt", name) => Meta::Describe(name),
        ("\\timing", _) => Meta::Timing,
        ("\\?" | "\\h" | "\\help" | "help", "") => Meta::Help,
        ("\\q" | "quit" | "exit", "") => Meta::Quit,
        (word, _) if word.starts_with('\\') => Meta::Unknown(word),
        _ => return None,
    })
}

/// The question for the columns of `table` or `namespace.table`.
fn columns_of(name: &str) -> String {
    let text = |name: &str| name.trim_matches('"').replace('\'', "''");
    let (schema, table) = match name.split_once('.') {
        Some((schema, table)) => (format!(" AND table_schema = '{}'", text(schema)), text(table)),
        None => (String::new(), text(name)),
    };
    format!(
        "SELECT table_schema, column_name, data_type, is_nullable FROM information_schema.columns \
         WHERE table_name = '{table}'{schema} ORDER BY table_schema, ordinal_position"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_backslash_are_for_the_prompt() {
        for (line, expected) in [
            ("\\d", Some(Meta::Tables)),
            (" \\d ; ", Some(Meta::Tables)),
            ("\\d nyc.flights", Some(Meta::Describe("nyc.flights"))),
            ("\\timing on", Some(Meta::Timing)),
            ("\\?", Some(Meta::Help)),
            ("\\q", Some(Meta::Quit)),
            ("exit", Some(Meta::Quit)),
            ("\\x y", Some(Meta::Unknown("\\x"))),
            ("SELECT 1;", None),
            ("", None),
        ] {
            assert_eq!(meta(line), expected, "{line:?}");
        }
    }

    #[test]
    fn names_are_quoted() {
        let asked = columns_of("nyc.o'hare");
        assert!(asked.contains("table_name = 'o''hare' AND table_schema = 'nyc'"), "{asked}");
    }
}
