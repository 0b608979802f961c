//! Subqueries over tables of the catalog, which the engine plans only with an aggregate, or not at all.

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, GroupByExpr, JoinOperator, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins, Value,
};

use super::{EMPTY, bare, call, null, take};

/// Changes what holds a query, before its parts are.
pub(crate) fn subquery(expr: &mut Expr) {
    match expr {
        Expr::Subquery(query) => match scalar(query) {
            Scalar::Nothing => *expr = null(),
            Scalar::One => {}
        },
        Expr::Exists { subquery, negated } if is_empty(subquery) => {
            *expr = Expr::Value(Value::Boolean(*negated).into());
        }
        Expr::Function(function) if bare(&function.name) == ["array"] => {
            if let FunctionArguments::Subquery(query) = &mut function.args {
                let mut query = query.clone();
                let is_nothing = is_empty(&query) || unnests_options(&query);
                *expr = if is_nothing || !gather(&mut query) { null() } else { Expr::Subquery(query) };
            }
        }
        Expr::InSubquery { expr: asked, subquery, negated } if reads_search_path(subquery) => {
            let here = call("current_schema", Vec::new());
            let op = if *negated { BinaryOperator::NotEq } else { BinaryOperator::Eq };
            *expr = Expr::BinaryOp { left: Box::new(take(asked)), op, right: Box::new(here) };
        }
        _ => {}
    }
}

/// What a subquery that stands for a value is.
enum Scalar {
    /// NULL, for it has no rows.
    Nothing,
    /// A value.
    One,
}

/// One over the catalog that has at most one row says so, as the engine wants it.
fn scalar(query: &mut Query) -> Scalar {
    if is_empty(query) {
        return Scalar::Nothing;
    }
    let of_catalog = {
        let Some(select) = select(query) else { return Scalar::One };
        !select.from.is_empty()
            && tables(select).iter().all(|(name, _)| name.first().is_some_and(|word| word.starts_with("pg_")))
    };
    if of_catalog {
        aggregate(query, "min");
    }
    Scalar::One
}

/// The one value of each row as an array; whether that can be.
fn gather(query: &mut Query) -> bool {
    query.order_by = None;
    aggregate(query, "array_agg")
}

/// Puts a function around the one column, unless an aggregate stands there; tells whether there is one column.
fn aggregate(query: &mut Query, function: &str) -> bool {
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return false;
    };
    if !is_grouped && !aggregates(expr) {
        *expr = call(function, vec![take(expr)]);
    }
    true
}

fn aggregates(expr: &Expr) -> bool {
    const KNOWN: [&str; 9] = ["count", "min", "max", "sum", "avg", "array_agg", "string_agg", "bool_or", "bool_and"];
    matches!(expr, Expr::Function(function) if bare(&function.name).last().is_some_and(|word| KNOWN.contains(&word.as_str())))
}

fn select(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// The tables that a select reads, and whether each has to have a row for there to be one.
fn tables(select: &Select) -> Vec<(Vec<String>, bool)> {
    let name = |factor: &TableFactor| match factor {
        TableFactor::Table { name, args: None, .. } => bare(name),
        _ => Vec::new(),
    };
    let one = |from: &TableWithJoins| {
        let has_outer = from.joins.iter().any(|join| {
            !matches!(join.join_operator, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
        });
        let joined = from.joins.iter().map(|join| name(&join.relation));
        std::iter::once(name(&from.relation)).chain(joined).map(move |name| (name, !has_outer)).collect::<Vec<_>>()
    };
    select.from.iter().flat_map(one).collect()
}

/// Whether a query has no rows for certain.
fn is_empty(query: &Query) -> bool {
    select(query).is_some_and(has_no_rows)
}

/// Whether a select has no rows for certain: one of its tables has none, and nothing is counted.
fn has_no_rows(select: &Select) -> bool {
    let counts = select.projection.iter().any(|item| {
        matches!(item, SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } if aggregates(expr))
    });
    let is_never = |(name, needed): &(Vec<String>, bool)| {
        *needed && matches!(name.as_slice(), [word] if EMPTY.contains(&word.as_str()))
    };
    !counts && tables(select).iter().any(is_never)
}

/// Of a select without rows no subquery is ever asked, and those that clients write there the engine cannot plan.
pub(crate) fn of_no_rows(select: &mut Select) {
    if !has_no_rows(select) {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
            && expr.to_string().to_ascii_uppercase().contains("(SELECT ")
        {
            *expr = null();
        }
    }
}

/// Whether a query takes the options of a table apart: none has any.
fn unnests_options(query: &Query) -> bool {
    query.to_string().contains("unnest(tc.reloptions)")
}

/// Whether a query takes `search_path` apart, as Grafana does: in the end that is the session's schema.
fn reads_search_path(query: &Query) -> bool {
    let text = query.to_string();
    text.contains("current_setting('search_path')") && text.contains("string_to_array")
}
