//! A request becomes a [`Statement`]: its body, its headers, and everything that can be wrong with them.
//!
//! The body is JSON `{"sql","params","namespace","as_of","valid_as_of","nearest","schema"}`, or the SQL itself as `text/plain` or
//! `application/sql`. Instants are RFC 3339 with a zone or epoch milliseconds. A member of the body is more specific
//! than the header that means the same (`x-namespace`, `x-as-of`, `x-valid-as-of`, `x-nearest`, `x-schema`).

use axum::http::{HeaderMap, header};
use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidemark_model::{Instant, Kind, Namespace, Principal};
use tidemark_proto::Problem;

use crate::{
    Session, Statement,
    door::{AFTER, read_after, read_instant, read_schema, read_switch},
};

/// Digits that a decimal of 128 bits holds for certain.
const DECIMAL_DIGITS: usize = 38;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    sql: String,
    #[serde(default, borrow)]
    params: Vec<&'a RawValue>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default, borrow)]
    as_of: Option<&'a RawValue>,
    #[serde(default, borrow)]
    valid_as_of: Option<&'a RawValue>,
    #[serde(default)]
    nearest: Option<bool>,
    #[serde(default)]
    schema: Option<String>,
}

/// What is wrong with the request itself, not with its SQL.
fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::Invalid, "invalid_request", detail)
}

/// Reads the statement of a request.
///
/// # Errors
/// 400 with the reason, 415 for a body of another type.
pub(crate) fn statement(principal: Principal, headers: &HeaderMap, body: &[u8]) -> Result<Statement, Problem> {
    let kind = media_type(headers);
    match kind.as_str() {
        "" | "application/json" => of_json(principal, headers, body),
        "text/plain" | "application/sql" => {
            let sql = std::str::from_utf8(body).map_err(|e| invalid(format!("the body is not UTF-8: {e}")))?.to_owned();
            Ok(Statement { sql, params: Vec::new(), principal, session: of_headers(headers)?, pin: None })
        }
        other => Err(Problem::new(
            Kind::Unsupported,
            "unsupported_media_type",
            format!(
                "a query of content type {other:?} is not spoken: send application/json, application/sql or text/plain"
            ),
        )),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn of_json(principal: Principal, headers: &HeaderMap, body: &[u8]) -> Result<Statement, Problem> {
    let unreadable = |reason: &dyn std::fmt::Display| {
        invalid(format!("the body is not a query: {reason}; send {{\"sql\":\"select 1\",\"params\":[]}} as JSON"))
    };
    // What reads objects would take an array of their members, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(unreadable(&"it is no object"));
    }
    let body: Body<'_> = serde_json::from_slice(body).map_err(|e| unreadable(&e))?;
    let mut session = of_headers(headers)?;
    if let Some(name) = &body.namespace {
        session.namespace = Some(namespace(name)?);
    }
    if let Some(at) = body.as_of {
        session.as_of = moment("as_of", at)?.or(session.as_of);
    }
    if let Some(at) = body.valid_as_of {
        session.valid_as_of = moment("valid_as_of", at)?.or(session.valid_as_of);
    }
    session.nearest = body.nearest.unwrap_or(session.nearest);
    if let Some(of) = &body.schema {
        session.schema = read_schema(of).map_err(|e| invalid(format!("schema: {e}")))?;
    }
    let params = body.params.iter().enumerate().map(|(i, raw)| parameter(i, raw.get())).collect::<Result<_, _>>()?;
    Ok(Statement { sql: body.sql, params, principal, session, pin: None })
}

fn of_headers(headers: &HeaderMap) -> Result<Session, Problem> {
    let text = |name: &str| -> Result<Option<&str>, Problem> {
        let value = headers.get(name).map(|value| value.to_str());
        value.transpose().map_err(|_not_text| invalid(format!("header {name} is not text")))
    };
    let instant = |name: &str| -> Result<Option<Instant>, Problem> {
        text(name)?.map(|at| read_instant(at).map_err(|e| invalid(format!("header {name}: {e}")))).transpose()
    };
    let wrong = |name: &'static str| move |e: String| invalid(format!("header {name}: {e}"));
    Ok(Session {
        namespace: text("x-namespace")?.map(namespace).transpose()?,
        as_of: instant("x-as-of")?,
        valid_as_of: instant("x-valid-as-of")?,
        nearest: text("x-nearest")?.map(read_switch).transpose().map_err(wrong("x-nearest"))?.unwrap_or_default(),
        schema: text("x-schema")?.map(read_schema).transpose().map_err(wrong("x-schema"))?.unwrap_or_default(),
        after: text(AFTER)?.map(read_after).transpose().map_err(wrong(AFTER))?,
    })
}

fn namespace(name: &str) -> Result<Namespace, Problem> {
    Namespace::parse(name).map_err(|e| invalid(e.to_string()))
}

/// An instant of the body: a string, a number, or null for none.
fn moment(name: &str, raw: &RawValue) -> Result<Option<Instant>, Problem> {
    if raw.get() == "null" {
        return Ok(None);
    }
    let text = serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_number| raw.get().to_owned());
    read_instant(&text).map(Some).map_err(|e| invalid(format!("{name}: {e}")))
}

/// A parameter from the text of a JSON scalar; integers keep every digit.
fn parameter(index: usize, text: &str) -> Result<ScalarValue, Problem> {
    let refused = |what: &str| invalid(format!("params[{index}] {what}: send a string, a number, true, false or null"));
    match text.as_bytes().first() {
        Some(b'n') => Ok(ScalarValue::Null),
        Some(b't') => Ok(ScalarValue::Boolean(Some(true))),
        Some(b'f') => Ok(ScalarValue::Boolean(Some(false))),
        Some(b'"') => serde_json::from_str(text)
            .map(|s| ScalarValue::Utf8(Some(s)))
            .map_err(|e| refused(&format!("cannot be read ({e})"))),
        Some(b'[' | b'{') => Err(refused("is no scalar")),
        _ => number(text).ok_or_else(|| refused("is a number out of range")),
    }
}

fn number(text: &str) -> Option<ScalarValue> {
    if let Ok(n) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(n)));
    }
    if let Ok(n) = text.parse::<u64>() {
        return Some(ScalarValue::UInt64(Some(n)));
    }
    let digits = text.trim_start_matches('-');
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let exact = (digits.len() <= DECIMAL_DIGITS).then(|| text.parse::<i128>().ok()).flatten()?;
        return Some(ScalarValue::Decimal128(Some(exact), 38, 0));
    }
    text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| ScalarValue::Float64(Some(n)))
}

#[cfg(test)]
mod tests;
