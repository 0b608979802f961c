//! What goes wrong, as clients of PostgreSQL are told it: a severity, an SQLSTATE, a message, and where and what to do
//! when that is known.

use tidemark_model::Kind;

use crate::Error;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection ends.
    Fatal,
    /// The statement failed.
    Error,
    /// Nothing failed.
    Warning,
}

impl Severity {
    /// Its word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }
}

/// An error, a warning or a farewell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The SQLSTATE.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Where in the text of the statement, in characters from 1.
    pub(crate) position: Option<usize>,
}

/// What every refusal of a write says besides.
const INGEST: &str = "events are sent to POST /v1/{namespace}/events and changes to POST /v1/{namespace}/{collection}/changes \
                      of the HTTP port; SQL only reads";

impl Fault {
    /// A failed statement.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), hint: None, position: None }
    }

    /// The end of a connection.
    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fatal, ..Self::error(code, message) }
    }

    /// Something to know.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Bytes that are not the protocol's: nothing behind them can be trusted.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::fatal("08P01", message)
    }

    /// Text in another encoding.
    pub(crate) fn not_utf8() -> Self {
        Self::error("22021", "the text is not UTF-8: set client_encoding to UTF8")
    }

    /// What is not served.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::error("0A000", message)
    }

    /// A refused write.
    pub(crate) fn read_only(message: impl Into<String>) -> Self {
        Self { hint: Some(INGEST.to_owned()), ..Self::error("25006", message) }
    }

    /// The same with a hint.
    pub(crate) fn hinting(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An error of the room, about a statement with this text.
    pub(crate) fn of(error: &Error, sql: &str) -> Self {
        if error.kind() == Kind::Internal {
            tracing::error!(%error, "a query failed by a defect");
        }
        let message = error.to_string();
        match error {
            Error::ReadOnly(_) => Self::read_only(message),
            _ => Self { position: position(&message, sql), ..Self::error(state(error, &message), message) },
        }
    }
}

/// The SQLSTATE of an error: the kind's, finer where PostgreSQL's clients look at it.
fn state(error: &Error, message: &str) -> &'static str {
    match error {
        Error::TimedOut(_) => "57014",
        Error::Memory(_) => "53200",
        Error::UnknownSnapshot(_) => "42704",
        Error::Unsupported(_) => "0A000",
        Error::Invalid(_) if message.contains("No field named") => "42703",
        Error::Invalid(_) if message.contains("Invalid function") => "42883",
        Error::Engine(..) if message.contains("ivide by zero") => "22012",
        Error::Engine(..) => "22000",
        other => other.kind().sqlstate(),
    }
}

/// Where the parser's words ` at Line: 1, Column: 8` point to.
fn position(message: &str, sql: &str) -> Option<usize> {
    let (_, behind) = message.rsplit_once("at Line: ")?;
    let (line, behind) = behind.split_once(", Column: ")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    let (line, column): (usize, usize) = (line.parse().ok()?, digits.parse().ok()?);
    let before: usize = sql.split('\n').take(line.checked_sub(1)?).map(|line| line.chars().count() + 1).sum();
    Some(before + column).filter(|at| (1..=sql.chars().count() + 1).contains(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_counted_in_characters() {
        let invalid = |text: &str| Error::Invalid(format!("the statement cannot be read: Expected: x at {text}"));
        for (at, sql, expected) in [
            ("Line: 1, Column: 8", "SELECT FROM", Some(8)),
            ("Line: 2, Column: 3", "SELECT 'ü'\n,, 1", Some(14)),
            ("Line: 9, Column: 3", "SELECT", None),
            ("noon", "SELECT", None),
        ] {
            assert_eq!(Fault::of(&invalid(at), sql).position, expected, "{at}");
        }
    }

    #[test]
    fn clients_find_the_states_that_they_look_for() {
        for (error, code) in [
            (Error::UnknownTable("a.b".to_owned()), "42P01"),
            (Error::Invalid("x".to_owned()), "42601"),
            (Error::Invalid("Schema error: No field named y".to_owned()), "42703"),
            (Error::Unsupported("x".to_owned()), "0A000"),
            (Error::ReadOnly("x".to_owned()), "25006"),
            (Error::TimedOut(1), "57014"),
            (Error::TooMany, "53400"),
            (Error::TooLarge("x".to_owned()), "54000"),
            (Error::Internal("x".to_owned()), "XX000"),
        ] {
            assert_eq!(Fault::of(&error, "").code, code, "{error}");
        }
        assert!(Fault::of(&Error::ReadOnly("x".to_owned()), "").hint.is_some_and(|hint| hint.contains("/changes")));
    }
}
