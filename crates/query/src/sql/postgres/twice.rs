//! Columns that an answer has twice, which the engine refuses: they get names of their own on the way in, and lose them on the
//! way out.

use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr};

use super::take;
use crate::sql::reference::{self, INTERNAL};

/// Columns that an answer has twice get names of their own, which are taken off again when it is told.
pub(crate) fn apart(body: &mut SetExpr) {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => {
            apart(left);
            return apart(right);
        }
        _ => return,
    };
    let has_all = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen: Vec<String> = Vec::new();
    for (nth, item) in select.projection.iter_mut().enumerate() {
        let (name, is_column) = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(word)) => (reference::word(word), true),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(words)) => {
                (words.last().map(reference::word).unwrap_or_default(), true)
            }
            SelectItem::UnnamedExpr(expr) => (expr.to_string(), false),
            SelectItem::ExprWithAlias { alias, .. } => (reference::word(alias), false),
            _ => continue,
        };
        let is_twice = seen.contains(&name) || (has_all && is_column);
        seen.push(name.clone());
        if let (true, SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = (is_twice, &mut *item) {
            let alias = Ident::with_quote('"', format!("{name}{INTERNAL}{nth}"));
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
        }
    }
}

/// A column's name as it is told.
pub(crate) fn told(name: &str) -> &str {
    name.find(INTERNAL).map_or(name, |at| &name[..at])
}
