//! `SET`, `RESET` and `SHOW` of the settings of a session.
//!
//! Settings stand before the one statement that reads, in the same text, and hold for it; alone they are for doors whose
//! clients have a session. `tidemark.as_of` and `tidemark.valid_as_of` are the instants of tables without a clause;
//! `tidemark.nearest` and `tidemark.schema` say how the past is read, whoever spelled the instant.

use sqlparser::ast::{ContextModifier, Expr, Ident, ObjectName, Reset, ResetStatement, Set, Statement};

use super::reference::{word, words};
use crate::Error;

/// A setting that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Default of `FOR SYSTEM_TIME AS OF`.
    AsOf,
    /// Default of `FOR VALID_TIME AS OF`.
    ValidAsOf,
    /// Whether the nearest instant is read where one is no longer kept.
    Nearest,
    /// Which columns the past has.
    Schema,
}

impl Name {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::AsOf, Self::ValidAsOf, Self::Nearest, Self::Schema];

    /// As SQL writes it.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::AsOf => "tidemark.as_of",
            Self::ValidAsOf => "tidemark.valid_as_of",
            Self::Nearest => "tidemark.nearest",
            Self::Schema => "tidemark.schema",
        }
    }

    fn of(words: &[String]) -> Result<Self, Error> {
        let name = words.join(".");
        Self::ALL.into_iter().find(|known| known.shown() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::shown).join(", ");
            Error::Invalid(format!("{name} is no setting here: {known} are"))
        })
    }
}

/// A setting and the expression of its value; `None` is the default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// Which one.
    pub(crate) name: Name,
    /// What it becomes.
    pub(crate) value: Option<Expr>,
}

/// The settings that a statement sets; `None` if it sets nothing.
///
/// # Errors
/// [`Error::Invalid`] for settings that there are not, or that are not set like this.
pub(crate) fn set(statement: &Statement) -> Result<Option<Vec<Setting>>, Error> {
    match statement {
        Statement::Set(Set::SingleAssignment { scope, hivevar: false, variable, values }) => {
            if matches!(scope, Some(ContextModifier::Local | ContextModifier::Global)) {
                return Err(Error::Invalid("settings are of the session: leave LOCAL and GLOBAL out".to_owned()));
            }
            match values.as_slice() {
                [value] => Ok(Some(vec![one(variable, value)?])),
                _ => Err(Error::Invalid(format!("{variable} takes one value"))),
            }
        }
        Statement::Set(_) => {
            Err(Error::Invalid(format!("{statement} is not served: use SET tidemark.as_of = an instant")))
        }
        Statement::Reset(ResetStatement { reset: Reset::ALL }) => {
            Ok(Some(Name::ALL.map(|name| Setting { name, value: None }).into()))
        }
        Statement::Reset(ResetStatement { reset: Reset::ConfigurationParameter(variable) }) => {
            Ok(Some(vec![Setting { name: Name::of(&words(variable)?)?, value: None }]))
        }
        _ => Ok(None),
    }
}

fn one(variable: &ObjectName, value: &Expr) -> Result<Setting, Error> {
    let name = Name::of(&words(variable)?)?;
    let is_default = matches!(value, Expr::Identifier(Ident { value, quote_style: None, .. })
        if value.eq_ignore_ascii_case("default"));
    Ok(Setting { name, value: (!is_default).then(|| value.clone()) })
}

/// The setting that a statement shows, if it shows one of ours.
///
/// # Errors
/// [`Error::Invalid`] for one of ours that there is not.
pub(crate) fn shown(statement: &Statement) -> Result<Option<Name>, Error> {
    let Statement::ShowVariable { variable } = statement else { return Ok(None) };
    let words: Vec<String> = variable.iter().map(word).collect();
    if words.first().is_some_and(|first| first == "tidemark") { Name::of(&words).map(Some) } else { Ok(None) }
}
