//! A call begins: its arguments are folded before anything is done, and it is done when its row is asked for.
//!
//! Describing does nothing, and dropping the answer ends the call.

use std::sync::{Arc, Weak};

use datafusion::{error::DataFusionError, execution::SessionState, physical_plan::stream::RecordBatchStreamAdapter};
use sqlparser::ast::Expr;
use tidemark_model::{Instant, Retention, Scope};

use super::{Begun, Query, Room};
use crate::{
    AsOf, CollectionRef, Error, Pin, Session, Statement, Then,
    plan::instant,
    procedure::{self, Call, Procedures, Refused},
    sql::procedure::{Argument, Called, Procedure},
};

impl Query {
    /// Says who does what is called; the first one stays. Held weakly, because whoever does it asks this room too.
    pub fn serve(&self, procedures: &Arc<dyn Procedures>) {
        let _first_stays = self.room.procedures.set(Arc::downgrade(procedures));
    }
}

impl Room {
    /// Folds a call; its rows do it. Only who administers what it is about may.
    pub(super) fn begin_call(&self, called: &Called, statement: &Statement, pin: Pin) -> Result<Begun, Error> {
        statement.principal.check_scope(Scope::Admin)?;
        let folding = Folding { statement, state: &self.state(statement, pin), called };
        let call = folding.call()?;
        call.check(&statement.principal)?;
        let gone = || Error::Unavailable("nothing can be called here".to_owned());
        let procedures = self.procedures.get().and_then(Weak::upgrade).ok_or_else(gone)?;
        let columns = procedure::columns(called.procedure);
        let told = Arc::clone(&columns);
        let principal = statement.principal.clone();
        let row = async move {
            let done = procedures.call(principal, call).await;
            let done = done.map_err(|Refused { kind, code, detail }| Error::Refused { kind, code, detail });
            let outcome = done.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(procedure::row(outcome, told)?)
        };
        let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&columns), futures::stream::once(row)));
        let as_of = AsOf { system_time: pin.system_time, valid_time: None };
        Ok(Begun { rows, columns, as_of, settings: Vec::new(), call_timeout_s: Some(self.config.bulk_timeout_s) })
    }
}

struct Folding<'a> {
    statement: &'a Statement,
    state: &'a SessionState,
    called: &'a Called,
}

impl Folding<'_> {
    fn call(&self) -> Result<Call, Error> {
        let of = self.collection(Argument::Collection)?.ok_or_else(|| self.lacks("its collection"))?;
        Ok(match self.called.procedure {
            Procedure::Snapshot => {
                Call::Snapshot { of, name: self.text(Argument::Name)?, as_of: self.instant(Argument::AsOf)? }
            }
            Procedure::DropSnapshot => {
                Call::DropSnapshot { of, name: self.text(Argument::Name)?.ok_or_else(|| self.lacks("its name"))? }
            }
            Procedure::CleanUp => {
                let retention = Retention {
                    history_window_s: self.number(Argument::HistoryWindowS)?,
                    daily: self.number(Argument::Daily)?,
                    monthly: self.number(Argument::Monthly)?,
                };
                Call::CleanUp { of, retention, is_dry: self.is_true(Argument::DryRun)? }
            }
            Procedure::Compact => Call::Compact { of },
            Procedure::DropCollection => Call::DropCollection { of, grace_s: self.number(Argument::GraceS)? },
            Procedure::UndropCollection => Call::UndropCollection { of },
            Procedure::Restore => Call::Restore {
                of,
                then: Then { as_of: self.instant(Argument::AsOf)?, valid_as_of: self.instant(Argument::ValidAsOf)? },
                snapshot: self.text(Argument::Snapshot)?,
                into: self.collection(Argument::Into)?,
                predicate: self.text(Argument::Where)?,
                is_dry: self.is_true(Argument::DryRun)?,
            },
        })
    }

    fn lacks(&self, what: &str) -> Error {
        Error::Invalid(format!("the call lacks {what}: use {}", self.called.usage()))
    }

    fn instant(&self, argument: Argument) -> Result<Option<Instant>, Error> {
        let expr = self.called.argument(argument);
        expr.map(|expr| instant::fold(expr, &self.statement.params, self.state)).transpose()
    }

    fn number(&self, argument: Argument) -> Result<Option<u64>, Error> {
        let number = |expr: &Expr| {
            let number = instant::number(expr, &self.statement.params, self.state);
            number.map_err(|_other| Error::Invalid(format!("{expr} is no number: use {}", self.called.usage())))
        };
        self.called.argument(argument).map(number).transpose()
    }

    fn text(&self, argument: Argument) -> Result<Option<String>, Error> {
        let text = |expr: &Expr| {
            let text = instant::text(expr, &self.statement.params, self.state);
            text.map_err(|_other| Error::Invalid(format!("{expr} is no text: use {}", self.called.usage())))
        };
        self.called.argument(argument).map(text).transpose()
    }

    fn is_true(&self, argument: Argument) -> Result<bool, Error> {
        match self.called.argument(argument).map(ToString::to_string).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(Error::Invalid(format!("{other} is neither true nor false: use {}", self.called.usage())))
            }
        }
    }

    fn collection(&self, argument: Argument) -> Result<Option<CollectionRef>, Error> {
        let Some(text) = self.text(argument)? else { return Ok(None) };
        let Session { namespace, .. } = &self.statement.session;
        let whole = match namespace {
            Some(namespace) if !text.contains('.') => format!("{namespace}.{text}"),
            _ => text,
        };
        let invalid = |why: String| Error::Invalid(format!("{whole} is no collection, {why}: {}", self.called.usage()));
        whole.parse().map(Some).map_err(invalid)
    }
}
