//! What is asked about one clock, as written: the forms of time clauses, each with its expressions.
//!
//! Clauses travel through the parser inside a marker function (see `rewrite`); this module owns the words of the
//! marker, so that writing and reading them cannot drift apart.

use sqlparser::ast::Expr;

/// The function whose arguments are the clauses of one table.
pub(crate) const MARKER: &str = "tidemark$clauses";

/// Which clock a clause asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// When the lake acknowledged a change.
    System,
    /// When it happened, as its source says.
    Valid,
}

/// How a clause names its instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `AS OF e`, `AT (TIMESTAMP => e)`: up to the instant, included.
    AsOf,
    /// `BEFORE (TIMESTAMP => e)`: strictly before the instant.
    Before,
    /// `AT (OFFSET => e)`: up to so many seconds from now, included.
    Offset,
    /// `BEFORE (OFFSET => e)`: strictly before so many seconds from now.
    BeforeOffset,
    /// `VERSION AS OF n`: up to the mark of a manifest.
    Version,
    /// `BETWEEN a AND b`: both included.
    Between,
    /// `FROM a TO b`: the upper bound excluded.
    FromTo,
    /// `ALL`.
    All,
}

/// Every form on every clock, by the word its marker has.
const WORDS: [(&str, Axis, Form); 12] = [
    ("system as of", Axis::System, Form::AsOf),
    ("system before", Axis::System, Form::Before),
    ("system offset", Axis::System, Form::Offset),
    ("system before offset", Axis::System, Form::BeforeOffset),
    ("system version", Axis::System, Form::Version),
    ("system between", Axis::System, Form::Between),
    ("system from", Axis::System, Form::FromTo),
    ("system all", Axis::System, Form::All),
    ("valid as of", Axis::Valid, Form::AsOf),
    ("valid between", Axis::Valid, Form::Between),
    ("valid from", Axis::Valid, Form::FromTo),
    ("valid all", Axis::Valid, Form::All),
];

/// The word of a clause; none for a form that the clock does not have.
pub(crate) fn word(axis: Axis, form: Form) -> Option<&'static str> {
    WORDS.iter().find(|(_, a, f)| (*a, *f) == (axis, form)).map(|(word, ..)| *word)
}

/// What is asked about one clock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Moment {
    /// See [`Form::AsOf`].
    AsOf(Expr),
    /// See [`Form::Before`].
    Before(Expr),
    /// See [`Form::Offset`].
    Offset(Expr),
    /// See [`Form::BeforeOffset`].
    BeforeOffset(Expr),
    /// See [`Form::Version`].
    Version(Expr),
    /// See [`Form::Between`].
    Between(Expr, Expr),
    /// See [`Form::FromTo`].
    FromTo(Expr, Expr),
    /// See [`Form::All`].
    All,
}

impl Moment {
    /// Reads a marker back.
    pub(crate) fn of(word: &str, operands: Vec<Expr>) -> Option<(Axis, Self)> {
        let (_, axis, form) = WORDS.iter().find(|(known, ..)| *known == word)?;
        let mut operands = operands.into_iter();
        let moment = match (form, operands.next(), operands.next(), operands.next()) {
            (Form::AsOf, Some(at), None, None) => Self::AsOf(at),
            (Form::Before, Some(at), None, None) => Self::Before(at),
            (Form::Offset, Some(seconds), None, None) => Self::Offset(seconds),
            (Form::BeforeOffset, Some(seconds), None, None) => Self::BeforeOffset(seconds),
            (Form::Version, Some(number), None, None) => Self::Version(number),
            (Form::Between, Some(from), Some(to), None) => Self::Between(from, to),
            (Form::FromTo, Some(from), Some(to), None) => Self::FromTo(from, to),
            (Form::All, None, None, None) => Self::All,
            _ => return None,
        };
        Some((*axis, moment))
    }

    /// Whether it asks for version rows instead of one state.
    pub(crate) const fn is_period(&self) -> bool {
        matches!(self, Self::Between(..) | Self::FromTo(..) | Self::All)
    }
}

/// What is asked about both clocks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Moments {
    /// About system time.
    pub(crate) system: Option<Moment>,
    /// About source time.
    pub(crate) valid: Option<Moment>,
}

impl Moments {
    /// Takes a moment in; whether its clock was free.
    pub(crate) fn put(&mut self, axis: Axis, moment: Moment) -> bool {
        let place = match axis {
            Axis::System => &mut self.system,
            Axis::Valid => &mut self.valid,
        };
        place.replace(moment).is_none()
    }

    /// Whether version rows are asked.
    pub(crate) fn is_period(&self) -> bool {
        [&self.system, &self.valid].into_iter().flatten().any(Moment::is_period)
    }
}
