//! The walk over a parsed statement: every table gets a name of its own, every time clause is taken off.
//!
//! The default planner drops clauses silently, and looks names up among CTEs first. So this walk keeps its own CTE
//! scopes, takes each clause off, and replaces each table of the lake by an internal name that a [`Reference`] maps to
//! (table, what is asked of it); the planner of relations knows nothing else. On the way down clauses go, on the way up
//! functions become references and predicates on the instant travel. Afterwards nothing of this may remain: a clause
//! that nobody handled is an error, never today's rows.

use std::{collections::VecDeque, ops::ControlFlow};

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, TableVersion, Visit, VisitMut, Visitor, VisitorMut,
};

use super::{
    function, predicate,
    reference::{Asks, INTERNAL, Reference, clip, internal, moments, word, words},
};
use crate::Error;

/// Gives every table its own name and takes the clauses off.
///
/// # Errors
/// [`Error::Invalid`] for clauses that are not served, or stand where nothing has a history.
pub(crate) fn references(statement: &mut Statement) -> Result<Vec<Reference>, Error> {
    let mut walk = Walk { scopes: Vec::new(), found: Found::default() };
    if let ControlFlow::Break(error) = VisitMut::visit(statement, &mut walk) {
        return Err(error);
    }
    match Visit::visit(statement, &mut Remains) {
        ControlFlow::Continue(()) => Ok(walk.found.0),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The references found so far.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<Reference>);

impl Found {
    /// Takes a reference in; the name that stands for it.
    pub(crate) fn add(&mut self, table: Vec<String>, written: Vec<String>, asks: Asks) -> ObjectName {
        let name = format!("{INTERNAL}{}", self.0.len());
        let stands = internal(&name);
        self.0.push(Reference { internal: name, table, written, asks });
        stands
    }

    /// The reference that a name of one part stands for.
    pub(crate) fn of(&mut self, name: &ObjectName) -> Option<&mut Reference> {
        let [part] = name.0.as_slice() else { return None };
        let ident = part.as_ident()?;
        self.0.iter_mut().find(|reference| reference.internal == ident.value)
    }
}

/// The CTEs of one query: those that can be seen, and those whose queries are still to come.
#[derive(Debug, Default)]
struct Scope {
    seen: Vec<String>,
    to_come: VecDeque<String>,
}

struct Walk {
    scopes: Vec<Scope>,
    found: Found,
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Walk {
    type Break = Error;

    /// `with` is visited before everything else of a query, and each CTE holds exactly one query directly below: so
    /// the next queries that end directly below this one are those of its CTEs, in order.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let to_come = ctes.map(|cte| word(&cte.alias.name)).collect();
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return ControlFlow::Break(Error::Invalid("WITH RECURSIVE is not served".to_owned()));
        }
        self.scopes.push(Scope { seen: Vec::new(), to_come });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.scopes.pop();
        if let Some(above) = self.scopes.last_mut()
            && let Some(name) = above.to_come.pop_front()
        {
            above.seen.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(self.factor(factor))
    }

    /// Functions are replaced on the way up, so that what stands for them is not walked over.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        flow(function::replace(factor, &mut self.found))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(predicate::travel(select, &mut self.found))
    }
}

impl Walk {
    fn factor(&mut self, factor: &mut TableFactor) -> Result<(), Error> {
        let shown = factor.to_string();
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                Err(Error::Invalid(format!("TABLESAMPLE is not served: {}", clip(&shown))))
            }
            TableFactor::Table { name, version: Some(_), args: Some(_), .. } => {
                Err(Error::Invalid(format!("{name} is a function, which has no history: leave the time clause out")))
            }
            TableFactor::Table { args: Some(_), .. } => Ok(()),
            TableFactor::Table { name, version, args: None, .. } => {
                let words = words(name)?;
                match (words.as_slice(), version.take()) {
                    ([cte], Some(_)) if self.is_cte(cte) => Err(Error::Invalid(format!(
                        "{cte} is a WITH query, which has no history: put the time clause behind the tables inside it"
                    ))),
                    ([cte], None) if self.is_cte(cte) => Ok(()),
                    ([.., schema, _], Some(_)) if is_metadata(schema) => {
                        Err(Error::Invalid(format!("{name} has no history: leave the time clause out")))
                    }
                    ([.., schema, _], None) if is_metadata(schema) => Ok(()),
                    (_, version) => self.table(name, words, version),
                }
            }
            _ => Ok(()),
        }
    }

    fn is_cte(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.seen.iter().any(|seen| seen == name))
    }

    fn table(&mut self, name: &mut ObjectName, words: Vec<String>, version: Option<TableVersion>) -> Result<(), Error> {
        let clauses = version.map(|version| moments(&version, name)).transpose()?;
        let (table, mut asks) = function::suffixed(&words);
        if let Some(clauses) = clauses {
            let is_period = clauses.is_period() && !matches!(asks, Asks::Rows(_));
            match asks.moments().filter(|_| !is_period) {
                Some(moments) => *moments = clauses,
                None => return Err(Error::Invalid(format!("{name} takes no such clause: leave it out"))),
            }
        }
        *name = self.found.add(table, words, asks);
        Ok(())
    }
}

/// Whether a schema describes the lake instead of holding its tables.
pub(crate) fn is_metadata(schema: &str) -> bool {
    schema == "information_schema" || schema == super::postgres::CATALOG
}

/// Looks for what the walk must not have left.
struct Remains;

impl Visitor for Remains {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { version: None, sample: None, .. } | TableFactor::Derived { sample: None, .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Table { .. } | TableFactor::Derived { .. } => ControlFlow::Break(Error::Internal(format!(
                "a clause was left behind in {}",
                clip(&factor.to_string())
            ))),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        flow(predicate::refuse(expr))
    }
}

#[cfg(test)]
mod tests;
