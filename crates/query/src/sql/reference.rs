//! A table of the statement: which one, and what is asked of it.
//!
//! The front end makes references; `plan` fixes their instants. Everything that can be asked of a table is one of
//! [`Asks`], whether a clause, a function, a suffix or a predicate spelled it.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, TableVersion,
};

use super::moment::{MARKER, Moment, Moments};
use crate::Error;

/// Begins every internal name; no name of the lake holds the character.
pub(crate) const INTERNAL: &str = "tidemark$";

/// A table of the statement.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// The name that stands in the statement now.
    pub(crate) internal: String,
    /// The table's name, unquoted words in lower case: one to three parts.
    pub(crate) table: Vec<String>,
    /// What qualifies its columns: the name as written, or the function's.
    pub(crate) written: Vec<String>,
    /// What is asked of it.
    pub(crate) asks: Asks,
}

/// What can be asked of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asks {
    /// Its rows: of one state, or of every version in a period.
    Rows(Moments),
    /// The changes acknowledged after an instant, up to the moments.
    Changes {
        /// Above this system time; none is the beginning.
        from: Option<Expr>,
        /// Up to here.
        upto: Moments,
    },
    /// Every version, deletes included, up to the moments.
    History {
        /// Of one document only.
        id: Option<Expr>,
        /// Up to here.
        upto: Moments,
    },
    /// Its manifest versions.
    Versions,
    /// Its snapshots.
    Snapshots,
    /// The files of its newest manifest.
    Files,
    /// Ids and times of what was deleted; of no spelling, a difference asks it.
    Deleted,
}

impl Asks {
    /// The clauses it has, to be added to; none where an instant makes no sense.
    pub(crate) fn moments(&mut self) -> Option<&mut Moments> {
        match self {
            Self::Rows(moments) | Self::Changes { upto: moments, .. } | Self::History { upto: moments, .. } => {
                Some(moments)
            }
            Self::Versions | Self::Snapshots | Self::Files | Self::Deleted => None,
        }
    }
}

/// A name of one internal part.
pub(crate) fn internal(name: &str) -> ObjectName {
    ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))])
}

/// A name's parts as SQL compares them.
///
/// # Errors
/// [`Error::Invalid`] for a name of more parts, or with a part that is no word.
pub(crate) fn words(name: &ObjectName) -> Result<Vec<String>, Error> {
    let unreadable = || Error::Invalid(format!("{name} is not the name of a table: use namespace.table"));
    let words: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(word)).collect();
    words.filter(|words| (1..=3).contains(&words.len())).ok_or_else(unreadable)
}

/// A word as SQL compares it.
pub(crate) fn word(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The clauses behind a table.
///
/// # Errors
/// [`Error::Invalid`] for a clause that is not served.
pub(crate) fn moments(version: &TableVersion, table: &ObjectName) -> Result<Moments, Error> {
    let not_served = || {
        Error::Invalid(format!(
            "{} behind {table} is not served: use FOR SYSTEM_TIME AS OF or FOR VALID_TIME AS OF an instant",
            clip(&version.to_string())
        ))
    };
    let TableVersion::ForSystemTimeAsOf(Expr::Function(marker)) = version else { return Err(not_served()) };
    if last_word(&marker.name) != Some(MARKER) {
        return Err(not_served());
    }
    let mut moments = Moments::default();
    for clause in expressions(&marker.args).ok_or_else(not_served)? {
        let Expr::Function(clause) = clause else { return Err(not_served()) };
        let operands = expressions(&clause.args).ok_or_else(not_served)?;
        let read = last_word(&clause.name).and_then(|word| Moment::of(word, operands));
        let (axis, moment) = read.ok_or_else(not_served)?;
        if !moments.put(axis, moment) {
            return Err(not_served());
        }
    }
    Ok(moments)
}

fn last_word(name: &ObjectName) -> Option<&str> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.as_str())
}

/// Unnamed arguments that are expressions; none if any is something else.
fn expressions(arguments: &FunctionArguments) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = arguments else { return None };
    unnamed(&list.args)
}

/// See [`expressions`].
pub(crate) fn unnamed(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    let one = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(one).collect()
}

/// The beginning of a text, for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
