//! The one document that a question is about.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};
use tidemark_fold::columns::doc;

/// The id of the one document that rows can be of to pass all filters; `None` where they do not say.
pub(crate) fn wanted(filters: &[Expr]) -> Option<String> {
    filters.iter().find_map(one)
}

fn one(filter: &Expr) -> Option<String> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(id, _)) | (Expr::Literal(id, _), Expr::Column(column)) => {
            (column.name == doc::ID).then(|| text(id)).flatten()
        }
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn only_an_id_that_must_be_is_wanted() {
        let view = ScalarValue::Utf8View(Some("k".to_owned()));
        for (filters, expected) in [
            (vec![col("_id").eq(lit("k"))], Some("k")),
            (vec![col("a").gt(lit(3)), lit(view).eq(col("_id"))], Some("k")),
            (vec![col("_id").eq(lit("k")).or(col("a").eq(lit(3)))], None),
            (vec![col("_id").eq(lit(ScalarValue::Utf8(None)))], None),
            (vec![col("b").eq(lit("k")), col("_id").gt(lit("k"))], None),
        ] {
            assert_eq!(wanted(&filters).as_deref(), expected, "{filters:?}");
        }
    }
}
