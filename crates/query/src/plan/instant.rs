//! The expression of a time clause → an instant.
//!
//! Folded before planning: `now() - INTERVAL '1 hour'`, a parameter, a text. A text carries a zone or is read in UTC;
//! texts do not go through the engine, whose timestamps end in 2262. What does not fold is an error. The other constants
//! that questions have — offsets, versions, ids — fold here too.

use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray},
    compute::kernels::cast_utils::string_to_datetime,
    datatypes::{Float64Type, Int64Type},
};
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

const MICROS_PER_SECOND: i64 = 1_000_000;
/// The longest offset, microseconds: beyond it floats lose whole microseconds, and instants end.
const OFFSET_MAX: f64 = 9e15;

/// Folds the expression of a clause; `now()` is what the state says.
///
/// # Errors
/// [`Error::Invalid`] when it is no constant, or no instant.
pub(crate) fn fold(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<Instant, Error> {
    folded(expr, params, state).map(|(at, _is_cut)| at)
}

/// The last instant before what the expression says: a microsecond less, or none where parts of one were cut off.
///
/// # Errors
/// As [`fold`].
pub(crate) fn fold_before(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<Instant, Error> {
    folded(expr, params, state).map(|(at, is_cut)| if is_cut { at } else { at.plus_micros(-1) })
}

/// The whole microsecond at or before what the expression says, and whether there was more behind it.
fn folded(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<(Instant, bool), Error> {
    if let Some(text) = literal(expr) {
        return parse(text).map(|at| (at, is_cut(text)));
    }
    let scalar = constant(expr, params, state)?;
    let is_cut = match &scalar {
        ScalarValue::TimestampNanosecond(Some(at), _) => at.rem_euclid(1000) != 0,
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            is_cut(text)
        }
        _ => false,
    };
    let at = instant(&scalar).ok_or_else(|| {
        Error::Invalid(format!(
            "a time clause needs an instant, {expr} is {scalar} of type {}: use TIMESTAMP '2013-01-01T06:00:00Z'",
            scalar.data_type()
        ))
    })?;
    at.map(|at| (at, is_cut))
}

/// Whether the text of an instant says more than whole microseconds.
fn is_cut(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_seconds, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).skip(6).any(|digit| digit != b'0')
}

/// Microseconds of a number of seconds.
///
/// # Errors
/// [`Error::Invalid`] when it is no constant, or no number.
pub(crate) fn micros(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<i64, Error> {
    let scalar = constant(expr, params, state)?;
    let whole = scalar.data_type().is_integer().then(|| cast::<Int64Type>(&scalar)).flatten();
    let micros = whole.and_then(|seconds| seconds.checked_mul(MICROS_PER_SECOND)).or_else(|| {
        let micros = cast::<Float64Type>(&scalar)? * MICROS_PER_SECOND as f64;
        (micros.abs() <= OFFSET_MAX).then_some(micros.round() as i64)
    });
    micros.ok_or_else(|| Error::Invalid(format!("an offset needs seconds, {expr} is {scalar}: use AT (OFFSET => -60)")))
}

/// The number of a version.
///
/// # Errors
/// [`Error::Invalid`] when it is no constant, or no number.
pub(crate) fn number(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<u64, Error> {
    let scalar = constant(expr, params, state)?;
    let whole = Some(&scalar).filter(|scalar| !scalar.data_type().is_floating()).and_then(cast::<Int64Type>);
    whole.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| {
        Error::Invalid(format!("a version is a whole number, {expr} is {scalar}: versions('ns.coll') lists them"))
    })
}

/// A text.
///
/// # Errors
/// [`Error::Invalid`] when it is no constant, or no text.
pub(crate) fn text(expr: &SqlExpr, params: &[ScalarValue], state: &SessionState) -> Result<String, Error> {
    let scalar = constant(expr, params, state)?;
    match &scalar {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Ok(text.clone())
        }
        _ => Err(Error::Invalid(format!("the id of a document is a text, {expr} is {scalar}: put it in quotes"))),
    }
}

fn cast<T: ArrowPrimitiveType>(scalar: &ScalarValue) -> Option<T::Native> {
    let value = scalar.cast_to(&T::DATA_TYPE).ok()?.to_array().ok()?;
    let value = value.as_primitive_opt::<T>()?;
    value.is_valid(0).then(|| value.value(0))
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
        ScalarValue::Date32(Some(days)) => i64::from(*days).saturating_mul(86_400_000_000),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            return Some(parse(text));
        }
        _ => return None,
    };
    Some(Ok(Instant::from_micros(micros).clamp(Instant::MIN, Instant::MAX)))
}
