//! Settings of a session: expressions folded, values shown.

use datafusion::{common::ScalarValue, execution::SessionState};
use sqlparser::{
    ast::{Expr, Statement, Value},
    parser::Parser,
};

use super::{bind::Asked, instant};
use crate::{
    Error, SchemaOf, Session, Setting,
    door::{read_schema, read_switch},
    sql::{
        dialect::DIALECT,
        setting::{self, Name},
    },
};

/// The settings with their values.
///
/// # Errors
/// [`Error::Invalid`] for what is no value of a setting, [`Error::Future`].
pub(crate) fn fold(
    settings: &[setting::Setting],
    asked: Asked<'_>,
    state: &SessionState,
) -> Result<Vec<Setting>, Error> {
    let one = |setting: &setting::Setting| {
        let value = setting.value.as_ref();
        let instant = || value.map(|value| instant::fold(value, asked.params, state)).transpose();
        match setting.name {
            Name::AsOf => match instant()? {
                Some(at) if at > asked.pin.now => Err(Error::Future { asked: at, now: asked.pin.now }),
                at => Ok(Setting::AsOf(at)),
            },
            Name::ValidAsOf => instant().map(Setting::ValidAsOf),
            Name::Nearest => value
                .map_or(Ok(false), |value| read_switch(&word(value, asked.params)).map_err(Error::Invalid))
                .map(Setting::Nearest),
            Name::Schema => value
                .map_or(Ok(SchemaOf::default()), |value| {
                    read_schema(&word(value, asked.params)).map_err(Error::Invalid)
                })
                .map(Setting::Schema),
        }
    };
    settings.iter().map(one).collect()
}

/// A value that is a word: `on`, `'on'`, `true`, or a parameter with one.
fn word(value: &Expr, params: &[ScalarValue]) -> String {
    let bound = |name: &str| {
        let number = name.strip_prefix('$')?.parse::<usize>().ok()?;
        params.get(number.checked_sub(1)?).map(ToString::to_string)
    };
    match value {
        Expr::Identifier(word) => word.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Placeholder(name) => bound(name).unwrap_or_else(|| name.clone()),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

/// A statement that answers the values of settings, one column each.
///
/// # Errors
/// [`Error::Internal`], never in practice.
pub(crate) fn show(names: &[Name], session: &Session) -> Result<Statement, Error> {
    let column = |name: &Name| {
        let value = match name {
            Name::AsOf => session.as_of.map(|at| at.to_string()),
            Name::ValidAsOf => session.valid_as_of.map(|at| at.to_string()),
            Name::Nearest => Some(if session.nearest { "on" } else { "off" }.to_owned()),
            Name::Schema => Some(session.schema.as_str().to_owned()),
        };
        let value = value.map_or_else(|| "NULL".to_owned(), |value| format!("'{value}'"));
        format!("CAST({value} AS VARCHAR) AS \"{}\"", name.shown())
    };
    let sql = format!("SELECT {}", names.iter().map(column).collect::<Vec<_>>().join(", "));
    let internal = |reason: String| Error::Internal(format!("settings cannot be shown: {reason}"));
    let mut statements = Parser::parse_sql(&DIALECT, &sql).map_err(|e| internal(e.to_string()))?;
    statements.pop().ok_or_else(|| internal("no statement".to_owned()))
}
