//! Answers that never change: what a client has of one need not be computed again.

use std::fmt::Write as _;

use datafusion::logical_expr::Volatility;
use sha2::{Digest, Sha256};
use sqlparser::tokenizer::{Token, TokenWithSpan};
use tidemark_model::{Instant, Namespace};

use super::{Query, Room};
use crate::{Statement, plan::names::Seen, sql::limits};

/// What a statement that asks for rows begins with.
const ASKS: [&str; 4] = ["select", "with", "values", "table"];
/// Schemas and relations that tell of the lake as it is now, and periods and histories: those may reach up to now, and
/// become shorter with what is kept.
const OF_NOW: [&str; 13] = [
    "system",
    "information_schema",
    "pg_catalog",
    "system_time",
    "valid_time",
    "version",
    "as_of",
    "_as_of",
    "_valid_as_of",
    "history",
    "changes",
    "versions",
    "diff",
];

impl Query {
    /// A word for the answer of a statement that is the same whenever it is asked; `None` where it may change: without an
    /// instant of the past, with functions that answer otherwise the next time, about the lake itself, or where what is read
    /// depends on what is still kept. Columns come and go with schemas, so the word depends on those of all that is seen.
    pub(crate) fn fixed(&self, statement: &Statement) -> Option<String> {
        let session = &statement.session;
        let is_past = session.as_of? <= self.room.lake.live.closed();
        if !is_past || session.nearest || !self.room.is_constant(&statement.sql) {
            return None;
        }
        let mut digest = Sha256::new();
        let mut take = |part: &dyn std::fmt::Debug| digest.update(format!("{part:?}\0"));
        take(&env!("CARGO_PKG_VERSION"));
        take(&statement.principal.id());
        take(&(&statement.sql, &statement.params));
        take(&(&session.namespace, session.as_of, session.valid_as_of, session.schema));
        take(&self.room.schemas(statement));
        let mut word = String::with_capacity(32);
        for byte in digest.finalize().iter().take(16) {
            let _infallible = write!(word, "{byte:02x}");
        }
        Some(word)
    }
}

impl Room {
    /// Whether every word of a text means the same the next time.
    fn is_constant(&self, sql: &str) -> bool {
        let Ok(tokens) = limits::tokens(sql, &self.caps()) else { return false };
        // An offset counts back from now, wherever it stands: `AT (OFFSET => -60)`.
        if tokens.list.iter().any(|token| token.token == Token::RArrow) {
            return false;
        }
        let mut words = tokens.list.iter().filter_map(word).peekable();
        let asks = words.peek().is_some_and(|first| ASKS.contains(&first.as_str()));
        asks && words.all(|word| {
            let is_named = ["pg_", "current_"].iter().any(|prefix| word.starts_with(prefix)) || word.contains('$');
            let is_of_now = is_named || OF_NOW.contains(&word.as_str());
            !is_of_now && self.sessions.volatility(&word).is_none_or(|of| of == Volatility::Immutable)
        })
    }

    /// What of all tables that somebody sees decides what an instant of the past answers: names and schemas, and which life
    /// of a name it is.
    fn schemas(&self, statement: &Statement) -> Vec<(Namespace, Option<String>, u32, Option<Instant>)> {
        let catalog = &self.lake.catalog;
        let seen = Seen { catalog: catalog.clone(), principal: statement.principal.clone() };
        let of = |namespace: Namespace| {
            let erased = catalog.events(&namespace).erased.as_ref().map(|erased| erased.system_time);
            let events = (namespace.clone(), None, 0, erased);
            let collections = catalog.collections(&namespace).into_iter().map(move |known| {
                (namespace.clone(), Some(known.name.as_str().to_owned()), known.schema.id, Some(known.created_at))
            });
            std::iter::once(events).chain(collections).collect::<Vec<_>>()
        };
        seen.namespaces().into_iter().flat_map(of).collect()
    }
}

fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        _ => None,
    }
}
