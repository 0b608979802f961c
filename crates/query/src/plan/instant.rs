//! The expression of a time clause → an instant.
//!
//! Folded before planning: `now() - INTERVAL '1 hour'`, a parameter, a text. A text carries a zone or is read in UTC;
//! texts do not go through the engine, whose timestamps end in 2262. What does not fold is an error.

use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::Utc;
use datafusion::{
    common::{
        DFSchema, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    execution::SessionState,
    logical_expr::{Expr, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
};
use sqlparser::ast::{DataType, Expr as SqlExpr, ExprWithAlias, TypedString, Value};
use tidemark_model::Instant;

use crate::Error;

/// Folds the expression of a clause; `now()` is what the state says.
///
/// # Errors
/// [`Error::Invalid`] when it is no constant, or no instant.
pub(crate) fn fold(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<Instant, Error> {
    if let Some(text) = literal(expr) {
        return parse(text);
    }
    let scalar = constant(expr, params, state)?;
    instant(&scalar).ok_or_else(|| {
        Error::Invalid(format!(
            "a time clause needs an instant, {expr} is {scalar} of type {}: use TIMESTAMP '2013-01-01T06:00:00Z'",
            scalar.data_type()
        ))
    })?
}

/// The text of `'…'` and `TIMESTAMP '…'`.
fn literal(expr: &SqlExpr) -> Option<&str> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        SqlExpr::TypedString(TypedString { data_type: DataType::Timestamp(..) | DataType::Date, value, .. }) => {
            match &value.value {
                Value::SingleQuotedString(text) => Some(text),
                _ => None,
            }
        }
        SqlExpr::Nested(inner) => literal(inner),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Instant, Error> {
    if let Ok(instant) = Instant::parse(text) {
        return Ok(instant);
    }
    let read = string_to_datetime(&Utc, text).map(|at| Instant::from_micros(at.timestamp_micros()));
    read.ok().filter(|at| (Instant::MIN..=Instant::MAX).contains(at)).ok_or_else(|| {
        let text: String = text.chars().take(60).collect();
        Error::Invalid(format!("{text:?} is not an instant: use RFC 3339, such as 2013-01-01T06:00:00Z"))
    })
}

/// Plans, binds and simplifies the expression until a literal remains.
fn constant(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<ScalarValue, Error> {
    let not_constant = |reason: String| {
        Error::Invalid(format!("the instant of a time clause must be a constant, {expr} is not: {reason}"))
    };
    let schema = DFSchema::empty();
    let planned = state
        .create_logical_expr_from_sql_expr(ExprWithAlias { expr: expr.clone(), alias: None }, &schema)
        .map_err(|e| not_constant(e.strip_backtrace()))?;
    let bound = planned.transform(|expr| bind(expr, params)).map_err(|e| not_constant(e.strip_backtrace()))?.data;
    let context = SimplifyContext::builder()
        .with_schema(std::sync::Arc::new(schema.clone()))
        .with_config_options(std::sync::Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(bound, &schema).map_err(|e| not_constant(e.strip_backtrace()))?;
    match simplifier.simplify(coerced).map_err(|e| not_constant(e.strip_backtrace()))? {
        Expr::Literal(scalar, _) => Ok(scalar),
        Expr::Alias(alias) => match *alias.expr {
            Expr::Literal(scalar, _) => Ok(scalar),
            other => Err(not_constant(format!("{other} remains"))),
        },
        other => Err(not_constant(format!("{other} remains"))),
    }
}

/// A parameter's value in its place.
fn bind(expr: Expr, params: &[ScalarValue]) -> Result<Transformed<Expr>, datafusion::error::DataFusionError> {
    let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
    let number = placeholder.id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
    match number.checked_sub(1).and_then(|at| params.get(at)) {
        Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
        None => datafusion::common::plan_err!("parameter {} has no value", placeholder.id),
    }
}

/// The instant a scalar is, if it is one.
fn instant(scalar: &ScalarValue) -> Option<Result<Instant, Error>> {
    let micros = match scalar {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1_000_000)?,
        ScalarValue::TimestampMillisecond(Some(at), _) => at.checked_mul(1000)?,
        ScalarValue::TimestampMicrosecond(Some(at), _) => *at,
        ScalarValue::TimestampNanosecond(Some(at), _) => at.div_euclid(1000),
        ScalarValue::Date32(Some(days)) => i64::from(*days) * 86_400_000_000,
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            return Some(parse(text));
        }
        _ => return None,
    };
    Some(Ok(Instant::from_micros(micros).clamp(Instant::MIN, Instant::MAX)))
}
