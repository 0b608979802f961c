//! Settings of a session: expressions folded, values shown.

use datafusion::execution::SessionState;
use sqlparser::{ast::Statement, parser::Parser};
use tidemark_model::Instant;

use super::{bind::Asked, instant};
use crate::{
    Error, Session, Setting,
    sql::{
        dialect::DIALECT,
        setting::{self, Name},
    },
};

/// The settings with their instants.
///
/// # Errors
/// [`Error::Invalid`] for what is no instant, [`Error::Future`].
pub(crate) fn fold(
    settings: &[setting::Setting],
    asked: Asked<'_>,
    state: &SessionState,
) -> Result<Vec<Setting>, Error> {
    let one = |setting: &setting::Setting| {
        let value = setting.value.as_ref().map(|value| instant::fold(value, asked.params, state)).transpose()?;
        match (setting.name, value) {
            (Name::AsOf, Some(at)) if at > asked.pin.now => Err(Error::Future { asked: at, now: asked.pin.now }),
            (Name::AsOf, at) => Ok(Setting::AsOf(at)),
            (Name::ValidAsOf, at) => Ok(Setting::ValidAsOf(at)),
        }
    };
    settings.iter().map(one).collect()
}

/// A statement that answers the values of settings, one column each.
///
/// # Errors
/// [`Error::Internal`], never in practice.
pub(crate) fn show(names: &[Name], session: &Session) -> Result<Statement, Error> {
    let column = |name: &Name| {
        let at: Option<Instant> = match name {
            Name::AsOf => session.as_of,
            Name::ValidAsOf => session.valid_as_of,
        };
        let value = at.map_or_else(|| "NULL".to_owned(), |at| format!("'{at}'"));
        format!("CAST({value} AS VARCHAR) AS \"{}\"", name.shown())
    };
    let sql = format!("SELECT {}", names.iter().map(column).collect::<Vec<_>>().join(", "));
    let internal = |reason: String| Error::Internal(format!("settings cannot be shown: {reason}"));
    let mut statements = Parser::parse_sql(&DIALECT, &sql).map_err(|e| internal(e.to_string()))?;
    statements.pop().ok_or_else(|| internal("no statement".to_owned()))
}
