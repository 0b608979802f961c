//! A text → its statements, and what of each is for the door itself: transactions, settings, cursors, COPY. Everything
//! else is for the room, which knows SQL.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::{copy::Copy, fault::Fault, words::Words};
use crate::sql::limits::is_significant;

/// A statement of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// Its own text.
    pub(crate) sql: String,
    /// Characters of the whole text before it.
    pub(crate) before: usize,
    /// What it asks.
    pub(crate) command: Command,
}

/// What a statement asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Something of the room.
    Ask,
    /// `BEGIN`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `ROLLBACK TO`: what failed behind a savepoint is forgotten.
    RollbackTo,
    /// What changes nothing here; its tag.
    Nothing(&'static str),
    /// Sets a setting; no values are its first one.
    Set {
        /// Its name.
        name: String,
        /// Its values.
        values: Vec<String>,
        /// Whether it ends with the transaction.
        is_local: bool,
    },
    /// Gives every setting its first value.
    ResetAll,
    /// Shows a setting.
    Show(String),
    /// Shows all of them.
    ShowAll,
    /// Forgets everything of the session.
    DiscardAll,
    /// Forgets a prepared statement, or all.
    Deallocate(Option<String>),
    /// Opens a cursor over a question.
    Declare {
        /// Its name.
        name: String,
        /// Whether it outlives the transaction.
        is_held: bool,
        /// The question's text.
        sql: String,
    },
    /// Reads a cursor; `None` reads to its end.
    Fetch(String, Option<u32>),
    /// Passes over rows of a cursor.
    Move(String, Option<u32>),
    /// Closes a cursor, or all.
    Close(Option<String>),
    /// Sends the rows of a question as a stream of bytes.
    Copy(Copy),
    /// Is refused.
    Refused(Fault),
}

impl Command {
    /// Whether it may be said in a transaction that failed.
    pub(crate) const fn ends_failure(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo)
    }
}

/// Reads the statements of a text from its tokens. Empty ones are left out.
pub(crate) fn read(text: &str, tokens: &[TokenWithSpan]) -> Vec<Said> {
    let significant: Vec<TokenWithSpan> = tokens.iter().filter(|it| is_significant(&it.token)).cloned().collect();
    let mut places = Places { text, line: 1, column: 1, byte: 0, char: 0 };
    let statements = significant.split(|it| it.token == Token::SemiColon).filter(|tokens| !tokens.is_empty());
    statements.map(|tokens| said(tokens, &mut places)).collect()
}

fn said(tokens: &[TokenWithSpan], places: &mut Places<'_>) -> Said {
    let starts: Vec<usize> = tokens.iter().map(|it| places.byte_of(it.span.start)).collect();
    let (text, first) = (places.text, starts.first().copied().unwrap_or(0));
    let end = tokens.last().map_or(first, |it| places.byte_of(it.span.end));
    let before = text.get(..first).map_or(0, |before| before.chars().count());
    let mut words = Words { tokens, starts: &starts, end, text, at: 0 };
    let command = command(&mut words).unwrap_or_else(Command::Refused);
    Said { sql: text.get(first..end).unwrap_or_default().to_owned(), before, command }
}

/// Lines and columns → bytes, walking forward only.
struct Places<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    byte: usize,
    char: usize,
}

impl Places<'_> {
    fn byte_of(&mut self, at: Location) -> usize {
        let rest = self.text.get(self.byte..).unwrap_or_default();
        for letter in rest.chars() {
            if (self.line, self.column) >= (at.line, at.column) {
                break;
            }
            self.byte += letter.len_utf8();
            self.char += 1;
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.byte
    }
}

fn command(words: &mut Words<'_>) -> Result<Command, Fault> {
    Ok(match words.verb().as_str() {
        "BEGIN" => Command::Begin,
        "START" if words.eat("TRANSACTION") => Command::Begin,
        "COMMIT" | "END" => ends(words, Command::Commit)?,
        "ROLLBACK" | "ABORT" => ends(words, Command::Rollback)?,
        "SAVEPOINT" => Command::Nothing("SAVEPOINT"),
        "RELEASE" => Command::Nothing("RELEASE"),
        "SET" => set(words)?,
        "RESET" => reset(words)?,
        "SHOW" => show(words),
        "DISCARD" if words.eat("ALL") => Command::DiscardAll,
        "DISCARD" => Command::Nothing("DISCARD"),
        "DEALLOCATE" => {
            words.eat("PREPARE");
            Command::Deallocate(if words.eat("ALL") { None } else { Some(words.name()?) })
        }
        "UNLISTEN" => Command::Nothing("UNLISTEN"),
        "DECLARE" => declare(words)?,
        "FETCH" => fetch(words).map(|(name, rows)| Command::Fetch(name, rows))?,
        "MOVE" => fetch(words).map(|(name, rows)| Command::Move(name, rows))?,
        "CLOSE" => Command::Close(if words.eat("ALL") { None } else { Some(words.name()?) }),
        "COPY" => Command::Copy(super::copy::read(words)?),
        verb @ ("LISTEN" | "NOTIFY") => {
            let follow = "follow GET /v1/{namespace}/events/tail of the HTTP port";
            return Err(Fault::unsupported(format!("{verb} is not served")).hinting(follow));
        }
        verb @ ("PREPARE" | "EXECUTE") => {
            let bind = "prepare and bind with the protocol's own messages, as drivers do";
            return Err(Fault::unsupported(format!("{verb} as a statement is not served")).hinting(bind));
        }
        _ => Command::Ask,
    })
}

fn ends(words: &mut Words<'_>, ended: Command) -> Result<Command, Fault> {
    let _either = words.eat("WORK") || words.eat("TRANSACTION");
    if words.eat("PREPARED") {
        return Err(Fault::unsupported("transactions in two phases are not served"));
    }
    if words.eat("TO") { Ok(Command::RollbackTo) } else { Ok(ended) }
}

fn set(words: &mut Words<'_>) -> Result<Command, Fault> {
    let is_local = words.eat("LOCAL");
    let is_session = words.eat("SESSION");
    if words.eat("TRANSACTION") || (is_session && words.eat("CHARACTERISTICS")) {
        return Ok(Command::Nothing("SET"));
    }
    if words.peek("ROLE") || words.peek("AUTHORIZATION") {
        return Err(Fault::unsupported("another role is another connection: connect with its token"));
    }
    let is_own = words.peek("TIDEMARK");
    let name = if words.eat("TIME") {
        words.expect("ZONE")?;
        "timezone".to_owned()
    } else if words.eat("NAMES") {
        "client_encoding".to_owned()
    } else {
        let name = words.dotted()?;
        let _either = words.eat_token(&Token::Eq) || words.eat("TO");
        name
    };
    // The lake's own take expressions, which the room knows.
    if is_own && (is_local || !words.peek("DEFAULT")) {
        return Ok(Command::Ask);
    }
    let values = words.values();
    if values.is_empty() {
        return Err(Fault::error("42601", format!("SET {name} needs a value")));
    }
    let is_default = matches!(words.tokens.last().map(|it| &it.token), Some(Token::Word(word))
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
    Ok(Command::Set { name, values: if is_default { Vec::new() } else { values }, is_local })
}

fn reset(words: &mut Words<'_>) -> Result<Command, Fault> {
    if words.eat("ALL") {
        return Ok(Command::ResetAll);
    }
    let name = if words.eat("TIME") { "timezone".to_owned() } else { words.dotted()? };
    Ok(Command::Set { name, values: Vec::new(), is_local: false })
}

/// What the room shows itself.
const OF_THE_ROOM: [&str; 8] =
    ["TABLES", "COLUMNS", "FUNCTIONS", "VARIABLES", "TIDEMARK", "DATAFUSION", "FULL", "SCHEMAS"];

fn show(words: &mut Words<'_>) -> Command {
    if words.eat("ALL") {
        return Command::ShowAll;
    }
    if OF_THE_ROOM.iter().any(|word| words.peek(word)) {
        return Command::Ask;
    }
    Command::Show(words.rest_of_words())
}

fn declare(words: &mut Words<'_>) -> Result<Command, Fault> {
    let name = words.name()?;
    let mut is_held = false;
    loop {
        if words.eat("CURSOR") {
            continue;
        }
        if words.eat("FOR") {
            break;
        }
        if words.eat("NO") {
            words.expect("SCROLL")?;
        } else if words.eat("WITH") {
            words.expect("HOLD")?;
            is_held = true;
        } else if words.eat("WITHOUT") {
            words.expect("HOLD")?;
        } else if words.eat("BINARY") || words.eat("SCROLL") {
            let ahead = "a cursor here is read forward, in the format that the client binds";
            return Err(Fault::unsupported("BINARY and SCROLL cursors are not served").hinting(ahead));
        } else if !(words.eat("INSENSITIVE") || words.eat("ASENSITIVE")) {
            return Err(Fault::error("42601", "DECLARE is written DECLARE name CURSOR FOR a query"));
        }
    }
    Ok(Command::Declare { name, is_held, sql: words.rest().to_owned() })
}

fn fetch(words: &mut Words<'_>) -> Result<(String, Option<u32>), Fault> {
    let backward = ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"];
    if backward.iter().any(|word| words.peek(word)) && words.tokens.len() > words.at + 1 {
        return Err(Fault::error("55000", "cursor can only scan forward").hinting("use FETCH FORWARD n FROM name"));
    }
    let forward = words.eat("FORWARD");
    let rows = if words.eat("ALL") {
        None
    } else if let Some(count) = words.number()? {
        Some(count)
    } else {
        let _next = !forward && words.eat("NEXT");
        Some(1)
    };
    let _either = words.eat("FROM") || words.eat("IN");
    Ok((words.name()?, rows))
}

#[cfg(test)]
mod tests;
