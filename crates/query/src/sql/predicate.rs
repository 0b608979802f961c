//! The columns `_as_of` and `_valid_as_of`: instants for tools that can only filter.
//!
//! `WHERE _as_of = TIMESTAMP '…'` in the top-level AND of the WHERE of a scan is a clause of that scan: it is taken out
//! and travels. The columns exist nowhere else, so any other use of them is an error that says so.

use sqlparser::ast::{BinaryOperator, Expr, Ident, ObjectName, Select, TableAlias, TableFactor, TableWithJoins};

use super::{
    moment::{Axis, Moment},
    reference::{Asks, clip, word},
    travel::Found,
};
use crate::Error;

/// The column of system time.
const AS_OF: &str = "_as_of";
/// The column of source time.
const VALID_AS_OF: &str = "_valid_as_of";

/// An equality that travels: the qualifier of the column, its clock, the instant.
struct Equality {
    qualifier: Vec<String>,
    axis: Axis,
    instant: Expr,
}

/// Moves the equalities of a WHERE to the tables of its FROM.
///
/// # Errors
/// [`Error::Invalid`] when a table has that clause already.
pub(crate) fn travel(select: &mut Select, found: &mut Found) -> Result<(), Error> {
    let Some(selection) = select.selection.take() else { return Ok(()) };
    let scans = scans(&select.from, found);
    let mut rest = Vec::new();
    for conjunct in conjuncts(selection) {
        match equality(&conjunct).and_then(|equality| Some((target(&equality, &scans)?, equality))) {
            Some((table, equality)) => put(table, equality, found)?,
            None => rest.push(conjunct),
        }
    }
    select.selection = rest.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    });
    Ok(())
}

/// Refuses a use that did not travel.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn refuse(expr: &Expr) -> Result<(), Error> {
    let name = match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(idents) => idents.last(),
        _ => None,
    };
    match name.and_then(axis) {
        None => Ok(()),
        Some(_) => Err(Error::Invalid(format!(
            "{expr} can only be compared with = to one instant, in the AND of the WHERE of a SELECT from its table: \
             use FOR SYSTEM_TIME AS OF or FOR VALID_TIME AS OF elsewhere"
        ))),
    }
}

fn axis(name: &Ident) -> Option<Axis> {
    match word(name).as_str() {
        AS_OF => Some(Axis::System),
        VALID_AS_OF => Some(Axis::Valid),
        _ => None,
    }
}

/// The parts of a top-level AND, parentheses around ANDs taken off.
fn conjuncts(selection: Expr) -> Vec<Expr> {
    let (mut parts, mut waiting) = (Vec::new(), vec![selection]);
    while let Some(expr) = waiting.pop() {
        match expr {
            Expr::Nested(inner) if holds_parts(&inner) => waiting.push(*inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                waiting.push(*right);
                waiting.push(*left);
            }
            part => parts.push(part),
        }
    }
    parts
}

/// Whether an expression in parentheses is worth taking out of them.
fn holds_parts(inner: &Expr) -> bool {
    match inner {
        Expr::BinaryOp { op: BinaryOperator::And, .. } => true,
        Expr::Nested(inner) => holds_parts(inner),
        other => equality(other).is_some(),
    }
}

/// The equality an expression is, if it is one with one of the columns on either side.
fn equality(expr: &Expr) -> Option<Equality> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr else { return None };
    let column = |expr: &Expr| match expr {
        Expr::Identifier(name) => Some((Vec::new(), axis(name)?)),
        Expr::CompoundIdentifier(idents) => {
            let (name, qualifier) = idents.split_last()?;
            Some((qualifier.iter().map(word).collect(), axis(name)?))
        }
        _ => None,
    };
    match (column(left), column(right)) {
        (Some((qualifier, axis)), None) => Some(Equality { qualifier, axis, instant: right.as_ref().clone() }),
        (None, Some((qualifier, axis))) => Some(Equality { qualifier, axis, instant: left.as_ref().clone() }),
        _ => None,
    }
}

/// A table of the FROM that can travel, and the words that qualify its columns.
struct Scan {
    name: ObjectName,
    words: Vec<String>,
}

fn scans(from: &[TableWithJoins], found: &mut Found) -> Vec<Scan> {
    let mut scans = Vec::new();
    for tables in from {
        let joined = tables.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&tables.relation).chain(joined) {
            match factor {
                TableFactor::Table { name, alias, args: None, .. } => scans.extend(scan(name, alias.as_ref(), found)),
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    scans.extend(self::scans(std::slice::from_ref(table_with_joins), found));
                }
                _ => {}
            }
        }
    }
    scans
}

fn scan(name: &ObjectName, alias: Option<&TableAlias>, found: &mut Found) -> Option<Scan> {
    let reference = found.of(name).filter(|reference| matches!(reference.asks, Asks::Rows(_)))?;
    let words = alias.map_or_else(|| reference.written.clone(), |alias| vec![word(&alias.name)]);
    Some(Scan { name: name.clone(), words })
}

/// The table an equality is about: the one its qualifier names, or the only one there is.
fn target<'s>(equality: &Equality, scans: &'s [Scan]) -> Option<&'s ObjectName> {
    let mut fitting = scans.iter().filter(|scan| scan.words.ends_with(&equality.qualifier));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(&only.name),
        _ => None,
    }
}

fn put(table: &ObjectName, equality: Equality, found: &mut Found) -> Result<(), Error> {
    let shown = clip(&equality.instant.to_string());
    let moments = found.of(table).and_then(|reference| reference.asks.moments());
    match moments.map(|moments| moments.put(equality.axis, Moment::AsOf(equality.instant))) {
        Some(true) => Ok(()),
        _ => Err(Error::Invalid(format!(
            "the instant {shown} stands beside another one of its table: give each at most once"
        ))),
    }
}
