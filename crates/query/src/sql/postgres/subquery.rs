//! Subqueries over tables of the catalog, which the engine plans only with an aggregate, or not at all.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, JoinOperator, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
};

use super::{EMPTY, bare, call, named, no_texts, null, take};

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
                if is_empty(&query) || unnests_options(&query) {
                    *expr = no_texts();
                } else if gather(&mut query) {
                    *expr = Expr::Subquery(query);
                }
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
        at_most_one(query);
    }
    Scalar::One
}

/// The one value of each row as an array, in the order of the rows; whether that can be.
fn gather(query: &mut Query) -> bool {
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return false;
    }
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(order)) => order.clone(),
        Some(OrderByKind::All(_)) => return false,
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return false;
    };
    if is_grouped || select.distinct.is_some() || aggregates(expr) {
        return false;
    }
    let by = |mut by: OrderByExpr| {
        if matches!(&by.expr, Expr::Value(value) if matches!(&value.value, Value::Number(nth, _) if nth == "1")) {
            by.expr = expr.clone();
        }
        by
    };
    let order: Vec<_> = order.into_iter().map(by).collect();
    *expr = call("array_agg", vec![take(expr)]);
    if let (false, Expr::Function(Function { args: FunctionArguments::List(list), .. })) = (order.is_empty(), expr) {
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    query.order_by = None;
    true
}

/// Puts an aggregate around the one column, unless one stands there.
fn at_most_one(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    if let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
        && !is_grouped
        && !aggregates(expr)
    {
        *expr = call("min", vec![take(expr)]);
    }
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
        let mut tables = vec![(name(&from.relation), true)];
        for join in &from.joins {
            let needed = match join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => true,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => false,
                _ => {
                    tables.iter_mut().for_each(|(_, needed)| *needed = false);
                    false
                }
            };
            tables.push((name(&join.relation), needed));
        }
        tables
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

/// Of a select without rows nothing is ever computed, and what clients write there the engine cannot plan: subqueries, and
/// a function that answers many rows.
pub(crate) fn of_no_rows(select: &mut Select) {
    if !has_no_rows(select) {
        return;
    }
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        match expr {
            Expr::Function(function) if bare(&function.name) == ["generate_subscripts"] => {
                if let FunctionArguments::List(list) = &mut function.args {
                    list.args.truncate(1);
                    // No constant, which aggregates cannot be ordered by.
                    function.name = named(&["array_length"]);
                }
            }
            _ if expr.to_string().to_ascii_uppercase().contains("(SELECT ") => *expr = null(),
            _ => {}
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
