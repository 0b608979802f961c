//! The front end of SQL: text → settings, one reading statement and the tables it asks, each with its instants.
//!
//! 1. [`limits`]: text → tokens, under caps; parameters are numbered.
//! 2. [`guard`]: one statement that only reads or calls a [`procedure`], behind settings ([`setting`]) if there are any.
//! 3. [`rewrite`]: time clauses the parser cannot read become one it can, on tokens.
//! 4. [`dialect`]: what the parser reads.
//! 5. [`postgres`]: what PostgreSQL's clients write becomes what the engine reads.
//!    [`spelling`]: what other systems' SQL says otherwise.
//! 6. [`travel`]: the walk that takes clauses off and gives every table a name of its own; on its way [`function`] reads
//!    functions and suffixes, [`predicate`] the columns `_as_of` and `_valid_as_of`.
//! 7. [`reference`](mod@reference) and [`moment`]: what the walk finds: tables, and what is asked of each.
//!
//! Nothing here knows which tables exist or what time it is.

pub(crate) mod dialect;
pub(crate) mod function;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod moment;
pub(crate) mod postgres;
pub(crate) mod predicate;
pub(crate) mod procedure;
pub(crate) mod reference;
pub(crate) mod rewrite;
pub(crate) mod setting;
mod spelling;
pub(crate) mod travel;

use sqlparser::{
    ast::Statement,
    parser::{Parser, ParserError},
};

use self::{
    dialect::DIALECT,
    limits::Caps,
    procedure::Called,
    reference::Reference,
    setting::{Name, Setting},
};
use crate::Error;

/// How many calls of the parser one level of nesting takes at most.
const CALLS_PER_LEVEL: usize = 8;

/// What a text does, its settings aside.
#[derive(Debug)]
pub(crate) enum Does {
    /// It reads: the statement, without time clauses, its tables under internal names.
    Reads(Box<Statement>),
    /// It shows settings.
    Shows(Vec<Name>),
    /// It calls a procedure.
    Calls(Called),
    /// It sets settings for whoever keeps a session, and nothing else.
    Sets,
}

/// A text that may be planned.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Settings that stand before, in order.
    pub(crate) settings: Vec<Setting>,
    /// What it does.
    pub(crate) does: Does,
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
    guard::first_words(&tokens.list)?;
    let (mut list, clauses) = rewrite::clauses(tokens.list)?;
    spelling::quote_tops(&mut list);
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(caps.depth.saturating_mul(CALLS_PER_LEVEL))
        .with_tokens_with_locations(list);
    let mut statements = parser.parse_statements().map_err(|e| unreadable(&e, clauses))?;
    let last = statements.pop().ok_or_else(|| Error::Invalid("the statement is empty".to_owned()))?;
    let mut settings = Vec::new();
    for statement in &statements {
        let set = setting::set(statement)?;
        settings.extend(set.ok_or_else(|| Error::ReadOnly("send exactly one statement".to_owned()))?);
    }
    let (does, references) = match (setting::set(&last)?, setting::shown(&last)?) {
        (Some(set), _) => {
            settings.extend(set);
            (Does::Sets, Vec::new())
        }
        (None, Some(name)) => (Does::Shows(vec![name]), Vec::new()),
        (None, None) => match &last {
            Statement::Call(function) => (Does::Calls(procedure::called(function)?), Vec::new()),
            _ => reads(last, caps)?,
        },
    };
    Ok(Parsed { settings, does, references, params: tokens.params })
}

/// Refuses a text that is no condition as it stands behind WHERE, before it is put between parentheses.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Invalid`].
pub(crate) fn condition(text: &str, caps: &Caps) -> Result<(), Error> {
    let tokens = limits::tokens(text, caps)?;
    if tokens.params > 0 {
        return Err(Error::Invalid("a condition takes no parameters: write its values".to_owned()));
    }
    let (list, clauses) = rewrite::clauses(tokens.list)?;
    let mut parser = Parser::new(&DIALECT)
        .with_recursion_limit(caps.depth.saturating_mul(CALLS_PER_LEVEL))
        .with_tokens_with_locations(list);
    let read = parser.parse_expr().and_then(|_| parser.expect_token(&sqlparser::tokenizer::Token::EOF));
    read.map(|_| ()).map_err(|e| match unreadable(&e, clauses) {
        Error::Invalid(reason) => Error::Invalid(reason.replacen("the statement", "the condition", 1)),
        other => other,
    })
}

fn reads(mut statement: Statement, caps: &Caps) -> Result<(Does, Vec<Reference>), Error> {
    guard::reads_only(&statement, caps)?;
    spelling::adapt(&mut statement)?;
    postgres::adapt(&mut statement);
    let references = travel::references(&mut statement)?;
    Ok((Does::Reads(Box::new(statement)), references))
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
