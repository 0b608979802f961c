//! Functions and suffixes that ask about the past: other spellings of a [`Reference`], for tools that cannot write
//! clauses.
//!
//! `as_of('ns.coll', t, v)`, `changes('ns.coll', from, to)`, `history('ns.coll', id)`, `versions('ns.coll')` become one
//! reference; `diff('ns.coll', t1, t2)` becomes a query over three of them. `"coll$changes"`, `"coll$history"`,
//! `"coll$snapshots"`, `"coll$versions"` and `"coll$files"` are names of relations; no collection's name holds a `$`.

use sqlparser::{
    ast::{Expr, Ident, Query, TableAlias, TableFactor, Value},
    parser::Parser,
};

use super::{
    dialect::DIALECT,
    moment::{Moment, Moments},
    reference::{Asks, unnamed, words},
    travel::Found,
};
use crate::Error;

/// A function: its name, what it takes, and how many of its arguments must be there.
struct Signature {
    name: &'static str,
    shown: &'static str,
    least: usize,
    most: usize,
}

const AS_OF: Signature =
    Signature { name: "as_of", shown: "as_of('namespace.collection', system_time, valid_time)", least: 1, most: 3 };
const CHANGES: Signature =
    Signature { name: "changes", shown: "changes('namespace.collection', from, to)", least: 1, most: 3 };
const HISTORY: Signature =
    Signature { name: "history", shown: "history('namespace.collection', id)", least: 1, most: 2 };
const DIFF: Signature =
    Signature { name: "diff", shown: "diff('namespace.collection', earlier, later)", least: 2, most: 3 };
const VERSIONS: Signature =
    Signature { name: "versions", shown: "versions('namespace.collection')", least: 1, most: 1 };

/// The table a name means and what it asks of it.
pub(crate) fn suffixed(words: &[String]) -> (Vec<String>, Asks) {
    let mut table = words.to_vec();
    let found = table.last().and_then(|last| last.rsplit_once('$')).and_then(|(name, suffix)| {
        let asks = match suffix {
            "changes" => Asks::Changes { from: None, upto: Moments::default() },
            "history" => Asks::History { id: None, upto: Moments::default() },
            "snapshots" => Asks::Snapshots,
            "versions" => Asks::Versions,
            "files" => Asks::Files,
            _ => return None,
        };
        Some((name.to_owned(), asks))
    });
    match (table.last_mut(), found) {
        (Some(last), Some((name, asks))) => {
            *last = name;
            (table, asks)
        }
        _ => (table, Asks::Rows(Moments::default())),
    }
}

/// Puts a reference in the place of one of the functions.
///
/// # Errors
/// [`Error::Invalid`] when its arguments are not as they should be.
pub(crate) fn replace(factor: &mut TableFactor, found: &mut Found) -> Result<(), Error> {
    let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return Ok(()) };
    let words = words(name)?;
    let [function] = words.as_slice() else { return Ok(()) };
    let Some(signature) = [AS_OF, CHANGES, HISTORY, DIFF, VERSIONS].into_iter().find(|known| known.name == function)
    else {
        return Ok(());
    };
    let (table, rest) = arguments(&signature, unnamed(&args.args))?;
    let mut rest = rest.into_iter().map(|argument| argument.filter(|expr| !is_null(expr)));
    let (first, second) = (rest.next().flatten(), rest.next().flatten());
    if signature.name == DIFF.name {
        if first.is_none() {
            let shown = signature.shown;
            return Err(Error::Invalid(format!(
                "diff needs the earlier of two instants, and NULL is none: use {shown}"
            )));
        }
        *factor = diff(table, (first, second), alias.take(), found)?;
        return Ok(());
    }
    let asks = match signature.name {
        "as_of" => Asks::Rows(moments(first, second)),
        "changes" => Asks::Changes { from: first, upto: moments(second, None) },
        "history" => Asks::History { id: first, upto: Moments::default() },
        _ => Asks::Versions,
    };
    let stands = found.add(table, words, asks);
    if let TableFactor::Table { name, args, .. } = factor {
        (*name, *args) = (stands, None);
    }
    Ok(())
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if value.value == Value::Null)
}

fn moments(system: Option<Expr>, valid: Option<Expr>) -> Moments {
    Moments { system: system.map(Moment::AsOf), valid: valid.map(Moment::AsOf) }
}

/// The table that the first argument names, and the others.
fn arguments(signature: &Signature, given: Option<Vec<Expr>>) -> Result<(Vec<String>, Vec<Option<Expr>>), Error> {
    let wrong = || Error::Invalid(format!("{} is not called like this: use {}", signature.name, signature.shown));
    let given = given.filter(|given| (signature.least..=signature.most).contains(&given.len())).ok_or_else(wrong)?;
    let mut given = given.into_iter();
    let Some(Expr::Value(first)) = given.next() else { return Err(wrong()) };
    let Value::SingleQuotedString(name) = first.value else { return Err(wrong()) };
    let table = match name.split_once('.') {
        Some((namespace, collection)) => vec![namespace.to_owned(), collection.to_owned()],
        None => vec![name],
    };
    Ok((table, given.map(Some).collect()))
}

/// The query of a diff in the place of the function. Only documents that changed in between are looked at.
fn diff(
    table: Vec<String>,
    (earlier, later): (Option<Expr>, Option<Expr>),
    alias: Option<TableAlias>,
    found: &mut Found,
) -> Result<TableFactor, Error> {
    let between = Asks::Changes { from: earlier.clone(), upto: moments(later.clone(), None) };
    let asks = [between, Asks::Rows(moments(earlier, None)), Asks::Rows(moments(later, None))];
    let [changed, earlier, later] = asks.map(|asks| found.add(table.clone(), vec![DIFF.name.to_owned()], asks));
    let subquery = parsed(&format!(
        "SELECT changed._id AS _id, \
         CASE WHEN earlier._id IS NULL THEN 'added' WHEN later._id IS NULL THEN 'removed' ELSE 'changed' END AS _change, \
         changed_fields(earlier._doc, later._doc) AS _fields, earlier._doc AS _before, later._doc AS _after \
         FROM (SELECT DISTINCT _id FROM {changed}) AS changed \
         LEFT JOIN {earlier} AS earlier ON earlier._id = changed._id \
         LEFT JOIN {later} AS later ON later._id = changed._id \
         WHERE (earlier._id IS NULL) <> (later._id IS NULL) \
         OR cardinality(changed_fields(earlier._doc, later._doc)) > 0"
    ))?;
    let named = TableAlias { explicit: true, name: Ident::new(DIFF.name), columns: Vec::new(), at: None };
    Ok(TableFactor::Derived { lateral: false, subquery, alias: Some(alias.unwrap_or(named)), sample: None })
}

fn parsed(query: &str) -> Result<Box<Query>, Error> {
    let parser = Parser::new(&DIALECT).try_with_sql(query);
    let parsed = parser.and_then(|mut parser| parser.parse_query());
    parsed.map_err(|e| Error::Internal(format!("the query of a diff cannot be read: {e}")))
}
