//! The front end of SQL: text → one reading statement and the tables it asks, each with its instants.
//!
//! 1. [`limits`]: text → tokens, under caps; parameters are numbered.
//! 2. [`guard`]: one statement, and one that only reads.
//! 3. [`rewrite`]: time clauses the parser cannot read become one it can, on tokens.
//! 4. [`dialect`]: what the parser reads.
//! 5. [`travel`]: the walk that takes clauses off and gives every table a name of its own.
//!
//! Nothing here knows which tables exist or what time it is.

pub(crate) mod dialect;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod rewrite;
pub(crate) mod travel;

use sqlparser::{
    ast::Statement,
    parser::{Parser, ParserError},
};

use self::{dialect::DIALECT, limits::Caps, travel::Reference};
use crate::Error;

/// How many calls of the parser one level of nesting takes at most.
const CALLS_PER_LEVEL: usize = 8;

/// A statement that may be planned.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The statement, without time clauses, its tables under internal names.
    pub(crate) statement: Statement,
    /// Its tables, in the order of their internal names.
    pub(crate) references: Vec<Reference>,
    /// How many parameters it takes.
    pub(crate) params: usize,
}

/// Reads a statement.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::ReadOnly`], [`Error::Invalid`].
pub(crate) fn parse(sql: &str, caps: &Caps) -> Result<Parsed, Error> {
    let tokens = limits::tokens(sql, caps)?;
    guard::first_word(&tokens.list)?;
    let (list, clauses) = rewrite::clauses(tokens.list)?;
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(caps.depth.saturating_mul(CALLS_PER_LEVEL))
        .with_tokens_with_locations(list);
    let mut statements = parser.parse_statements().map_err(|e| unreadable(&e, clauses))?;
    let (Some(mut statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Error::ReadOnly("send exactly one statement".to_owned()));
    };
    guard::reads_only(&statement, caps)?;
    let references = travel::references(&mut statement)?;
    Ok(Parsed { statement, references, params: tokens.params })
}

fn unreadable(error: &ParserError, clauses: usize) -> Error {
    let reason = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::TooLarge("the statement nests too deeply: split it".to_owned());
        }
        ParserError::TokenizerError(reason) | ParserError::ParserError(reason) => reason,
    };
    let hint =
        if clauses > 0 { "; a time clause stands directly behind the name of a table, before its alias" } else { "" };
    Error::Invalid(format!("the statement cannot be read: {reason}{hint}"))
}

#[cfg(test)]
mod tests;
