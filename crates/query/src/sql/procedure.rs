//! `CALL name(…)`: one table of what can be called, its arguments by position or by name.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use super::reference::{word, words};
use crate::Error;

/// What can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Procedure {
    /// Keeps the state as of an instant.
    Snapshot,
    /// Drops a snapshot.
    DropSnapshot,
    /// Goes back.
    Restore,
    /// Lets go what lies beyond how long the past is kept.
    CleanUp,
    /// Folds what waits, and makes few files of many.
    Compact,
    /// Drops a collection, which can be brought back for a while.
    DropCollection,
    /// Brings back a collection that was dropped.
    UndropCollection,
}

/// An argument; the first of every procedure is the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    Collection,
    Name,
    AsOf,
    ValidAsOf,
    Snapshot,
    Into,
    Where,
    DryRun,
    HistoryWindowS,
    Daily,
    Monthly,
    GraceS,
}

impl Argument {
    const fn name(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::Name => "name",
            Self::AsOf => "as_of",
            Self::ValidAsOf => "valid_as_of",
            Self::Snapshot => "snapshot",
            Self::Into => "into",
            Self::Where => "where",
            Self::DryRun => "dry_run",
            Self::HistoryWindowS => "history_window_s",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::GraceS => "grace_s",
        }
    }
}

impl Procedure {
    const ALL: [Self; 7] = [
        Self::Snapshot,
        Self::DropSnapshot,
        Self::Restore,
        Self::CleanUp,
        Self::Compact,
        Self::DropCollection,
        Self::UndropCollection,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::DropSnapshot => "drop_snapshot",
            Self::Restore => "restore",
            Self::CleanUp => "clean_up",
            Self::Compact => "compact",
            Self::DropCollection => "drop_collection",
            Self::UndropCollection => "undrop_collection",
        }
    }

    /// Its arguments by position.
    const fn takes(self) -> &'static [Argument] {
        use Argument::{
            AsOf, Collection, Daily, DryRun, GraceS, HistoryWindowS, Into, Monthly, Name, Snapshot, ValidAsOf, Where,
        };
        match self {
            Self::Snapshot => &[Collection, Name, AsOf],
            Self::DropSnapshot => &[Collection, Name],
            Self::Restore => &[Collection, AsOf, ValidAsOf, Snapshot, Into, Where, DryRun],
            Self::CleanUp => &[Collection, HistoryWindowS, Daily, Monthly, DryRun],
            Self::Compact | Self::UndropCollection => &[Collection],
            Self::DropCollection => &[Collection, GraceS],
        }
    }

    /// As it is called.
    fn shown(self) -> String {
        let takes = self.takes().iter().skip(1).map(|argument| format!(", {} => …", argument.name()));
        format!("CALL {}('namespace.collection'{})", self.name(), takes.collect::<String>())
    }
}

/// A call: the procedure and what was given, NULL left out.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    /// What is called.
    pub(crate) procedure: Procedure,
    given: Vec<(Argument, Expr)>,
}

impl Called {
    /// What was given for an argument.
    pub(crate) fn argument(&self, wanted: Argument) -> Option<&Expr> {
        self.given.iter().find(|(argument, _)| *argument == wanted).map(|(_, expr)| expr)
    }

    /// How it is called, for an error.
    pub(crate) fn usage(&self) -> String {
        self.procedure.shown()
    }
}

/// Reads a call.
///
/// # Errors
/// [`Error::Invalid`] for procedures and arguments that there are not.
pub(crate) fn called(function: &Function) -> Result<Called, Error> {
    let name = words(&function.name)?.join(".");
    let procedure = Procedure::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
        let known = Procedure::ALL.map(Procedure::name).join(", ");
        Error::Invalid(format!("there is no procedure {name}: {known} can be called"))
    })?;
    let wrong = |why: String| Error::Invalid(format!("{why}: use {}", procedure.shown()));
    let FunctionArguments::List(list) = &function.args else {
        return Err(wrong(format!("{name} lacks its arguments")));
    };
    let mut called = Called { procedure, given: Vec::new() };
    for (place, argument) in list.args.iter().enumerate() {
        let (argument, expr) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (procedure.takes().get(place).copied(), expr),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => (named(procedure, &word(name)), expr),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
                (named(procedure, &word(name)), expr)
            }
            other => return Err(wrong(format!("{other} is no value"))),
        };
        let argument = argument.ok_or_else(|| wrong(format!("{name} has no argument {}", place + 1)))?;
        if called.given.iter().any(|(known, _)| *known == argument) {
            return Err(wrong(format!("{} is given twice", argument.name())));
        }
        called.given.push((argument, expr.clone()));
    }
    called.given.retain(|(_, expr)| !matches!(expr, Expr::Value(value) if value.value == Value::Null));
    if called.argument(Argument::Collection).is_none() {
        return Err(wrong(format!("{name} lacks its collection")));
    }
    Ok(called)
}

fn named(procedure: Procedure, name: &str) -> Option<Argument> {
    procedure.takes().iter().copied().find(|argument| argument.name() == name)
}
