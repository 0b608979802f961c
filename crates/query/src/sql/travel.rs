//! The walk over a parsed statement: every table gets a name of its own, every time clause is taken off.
//!
//! The default planner drops clauses silently, and looks names up among CTEs first. So this walk keeps its own CTE
//! scopes, takes each clause off, and replaces each table of the lake by an internal name that a [`Reference`] maps to
//! (table, instants); the planner of relations knows nothing else. Afterwards no version and no sample may remain:
//! a clause that nobody handled is an error, never today's rows.

use std::{collections::VecDeque, ops::ControlFlow};

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Query, Statement, TableFactor, TableVersion, Visit, VisitMut, Visitor, VisitorMut,
};

use super::rewrite;
use crate::Error;

/// A table of the statement.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// The name that stands in the statement now.
    pub(crate) internal: String,
    /// The name as written, unquoted words in lower case: one to three parts.
    pub(crate) name: Vec<String>,
    /// The instant of `FOR SYSTEM_TIME AS OF` or its other spellings.
    pub(crate) system_time: Option<Expr>,
    /// The instant of `FOR VALID_TIME AS OF`.
    pub(crate) valid_time: Option<Expr>,
}

/// Begins every internal name; no name of the lake holds the character.
pub(crate) const INTERNAL: &str = "tidemark$";

/// Gives every table its own name and takes the clauses off.
///
/// # Errors
/// [`Error::Invalid`] for clauses that are not served, or stand where nothing has a history.
pub(crate) fn references(statement: &mut Statement) -> Result<Vec<Reference>, Error> {
    let mut walk = Walk { scopes: Vec::new(), found: Vec::new() };
    if let ControlFlow::Break(error) = VisitMut::visit(statement, &mut walk) {
        return Err(error);
    }
    match Visit::visit(statement, &mut Remains) {
        ControlFlow::Continue(()) => Ok(walk.found),
        ControlFlow::Break(error) => Err(error),
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
    found: Vec<Reference>,
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
        match self.factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
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
        let internal = format!("{INTERNAL}{}", self.found.len());
        let (system_time, valid_time) = version.map_or(Ok((None, None)), |version| instants(version, name))?;
        *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', &internal))]);
        self.found.push(Reference { internal, name: words, system_time, valid_time });
        Ok(())
    }
}

/// Whether a schema describes the lake instead of holding its tables.
pub(crate) fn is_metadata(schema: &str) -> bool {
    schema == "information_schema"
}

/// A name's parts as SQL compares them.
fn words(name: &ObjectName) -> Result<Vec<String>, Error> {
    let unreadable = || Error::Invalid(format!("{name} is not the name of a table: use namespace.table"));
    let words: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(word)).collect();
    words.filter(|words| (1..=3).contains(&words.len())).ok_or_else(unreadable)
}

fn word(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

type Instants = (Option<Expr>, Option<Expr>);

/// The instants in a clause, system time first.
fn instants(version: TableVersion, table: &ObjectName) -> Result<Instants, Error> {
    let not_served = |version: &TableVersion| {
        Error::Invalid(format!(
            "{} behind {table} is not served: use FOR SYSTEM_TIME AS OF or FOR VALID_TIME AS OF an instant",
            clip(&version.to_string())
        ))
    };
    match &version {
        TableVersion::ForSystemTimeAsOf(Expr::Function(function)) => {
            let name = function.name.to_string();
            let mut args = arguments(&function.args).into_iter();
            match (name.trim_matches('"'), args.next(), args.next()) {
                (rewrite::SYSTEM, Some((None, system)), None) => Ok((Some(system), None)),
                (rewrite::VALID, Some((None, valid)), None) => Ok((None, Some(valid))),
                (rewrite::BOTH, Some((None, system)), Some((None, valid))) => Ok((Some(system), Some(valid))),
                _ => Err(not_served(&version)),
            }
        }
        TableVersion::Function(Expr::Function(function)) if function.name.to_string().eq_ignore_ascii_case("at") => {
            match arguments(&function.args).as_slice() {
                [(Some(name), at)] if name.eq_ignore_ascii_case("timestamp") => Ok((Some(at.clone()), None)),
                _ => Err(not_served(&version)),
            }
        }
        _ => Err(not_served(&version)),
    }
}

/// The arguments of a function with their names; anything that is no expression makes the list empty.
fn arguments(arguments: &FunctionArguments) -> Vec<(Option<String>, Expr)> {
    let FunctionArguments::List(list) = arguments else { return Vec::new() };
    let one = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some((None, expr.clone())),
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), operator: FunctionArgOperator::RightArrow } => {
            Some((Some(name.value.clone()), expr.clone()))
        }
        FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            arg: FunctionArgExpr::Expr(expr),
            operator: FunctionArgOperator::RightArrow,
        } => Some((Some(name.value.clone()), expr.clone())),
        _ => None,
    };
    list.args.iter().map(one).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
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
}

#[cfg(test)]
mod tests;
