//! What reads JSON text: the functions of `datafusion-functions-json` with plain types, and the operators over them.
//!
//! `->` gives JSON text, `->>` plain text, both by a name or a place, as in PostgreSQL. The crate's own `->` gives a union,
//! which no door but its own could carry; so that function and what belongs to it are left out.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DFSchema, Result},
    logical_expr::{
        Expr, ScalarUDF,
        expr::ScalarFunction,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
        registry::FunctionRegistry,
    },
};
use datafusion_functions_json::udfs;
use sqlparser::ast::BinaryOperator;

/// Gives an engine the functions and the operators.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn register(engine: &mut dyn FunctionRegistry) -> Result<()> {
    let functions = [
        udfs::json_as_text_udf(),
        udfs::json_contains_udf(),
        udfs::json_get_array_udf(),
        udfs::json_get_bool_udf(),
        udfs::json_get_float_udf(),
        udfs::json_get_int_udf(),
        udfs::json_get_json_udf(),
        udfs::json_get_str_udf(),
        udfs::json_length_udf(),
        udfs::json_object_keys_udf(),
    ];
    for function in functions {
        engine.register_udf(function)?;
    }
    engine.register_expr_planner(Arc::new(Operators))
}

/// Plans `->` and `->>`.
#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, asked: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (function, sign) = match asked.op {
            BinaryOperator::Arrow => (udfs::json_get_json_udf(), "->"),
            BinaryOperator::LongArrow => (udfs::json_as_text_udf(), "->>"),
            _ => return Ok(PlannerResult::Original(asked)),
        };
        let name = format!("{} {sign} {}", Shown(&asked.left), Shown(&asked.right));
        Ok(PlannerResult::Planned(call(function, asked).alias(name)))
    }
}

fn call(function: Arc<ScalarUDF>, asked: RawBinaryExpr) -> Expr {
    Expr::ScalarFunction(ScalarFunction { func: function, args: vec![unnamed(asked.left), asked.right] })
}

/// A chain of operators is one call inside the other, without the names in between.
fn unnamed(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => *alias.expr,
        expr => expr,
    }
}

/// An operand as it was written.
struct Shown<'a>(&'a Expr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Column(column) => f.write_str(column.name()),
            Expr::Alias(alias) => f.write_str(&alias.name),
            Expr::Literal(value, _) => match value.try_as_str() {
                Some(Some(text)) => write!(f, "'{text}'"),
                _ => write!(f, "{value}"),
            },
            expr => write!(f, "{expr}"),
        }
    }
}
