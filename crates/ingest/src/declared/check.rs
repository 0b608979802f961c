//! A document against a rule, on its text. The first misfit is told: where, and what would fit.

use serde_json::value::RawValue;
use tidemark_model::{
    Instant,
    json::{self, EXACT_FLOAT_MAX, Value},
};

use super::rule::{Others, Rule, Type};
use crate::error::shown;

/// Where it does not fit, and why.
type Misfit = (String, String);

/// Checks a document.
pub(super) fn document(rule: &Rule, raw: &str) -> Result<(), Misfit> {
    value(rule, raw, &mut String::new())
}

fn value(rule: &Rule, raw: &str, at: &mut String) -> Result<(), Misfit> {
    let read = Value::of(raw);
    if !rule.types.is_empty() && !rule.types.iter().any(|kind| is_of(*kind, &read, raw)) {
        let names: Vec<&str> = rule.types.iter().map(|kind| kind.name()).collect();
        return misfit(at, format!("{} is no {}{}", shown(raw), names.join(" or "), hint(&read, rule)));
    }
    let is_listed = || serde_json::from_str(raw).is_ok_and(|value: serde_json::Value| rule.values.contains(&value));
    if !rule.values.is_empty() && !is_listed() {
        return misfit(at, format!("{} is none of the declared values", shown(raw)));
    }
    match &read {
        Value::Int(int) => number(rule, *int as f64, at),
        Value::Float(float) => number(rule, *float, at),
        Value::Big(text) => number(rule, text.parse().unwrap_or(f64::NAN), at),
        Value::String(text) => string(rule, text, at),
        Value::Nested(raw) if raw.starts_with('{') => object(rule, raw, at),
        Value::Nested(raw) => array(rule, raw, at),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// Numbers fit their declared column without loss, or not at all.
fn is_of(kind: Type, value: &Value<'_>, raw: &str) -> bool {
    match kind {
        Type::Null => *value == Value::Null,
        Type::Boolean => matches!(value, Value::Bool(_)),
        Type::Integer => matches!(value, Value::Int(_)),
        Type::Number => match value {
            Value::Int(int) => (-EXACT_FLOAT_MAX..=EXACT_FLOAT_MAX).contains(int),
            other => matches!(other, Value::Float(_)),
        },
        Type::String => matches!(value, Value::String(_)),
        Type::Object => raw.starts_with('{'),
        Type::Array => raw.starts_with('['),
    }
}

fn hint(value: &Value<'_>, rule: &Rule) -> &'static str {
    let wants_number = rule.types.contains(&Type::Number) || rule.types.contains(&Type::Integer);
    match value {
        Value::Int(_) | Value::Big(_) if wants_number => " that its column holds exactly",
        Value::Float(_) if wants_number => " written without a fraction",
        _ => "",
    }
}

fn number(rule: &Rule, number: f64, at: &str) -> Result<(), Misfit> {
    let fits_least = rule.least.is_none_or(|(least, included)| number > least || (included && number == least));
    let fits_greatest = rule.greatest.is_none_or(|(most, included)| number < most || (included && number == most));
    match (fits_least, fits_greatest) {
        (true, true) => Ok(()),
        (false, _) => misfit(at, format!("{number} is too small")),
        (_, false) => misfit(at, format!("{number} is too large")),
    }
}

fn string(rule: &Rule, text: &str, at: &str) -> Result<(), Misfit> {
    if rule.length != (None, None) {
        within(text.chars().count(), rule.length, "characters", at)?;
    }
    if rule.is_instant && Instant::parse(text).is_err() {
        return misfit(at, format!("{:?} is no date-time (RFC 3339 with a zone)", shown(text)));
    }
    Ok(())
}

fn within(count: usize, (fewest, most): (Option<usize>, Option<usize>), what: &str, at: &str) -> Result<(), Misfit> {
    if fewest.is_some_and(|fewest| count < fewest) || most.is_some_and(|most| count > most) {
        return misfit(at, format!("{count} {what} are too few or too many"));
    }
    Ok(())
}

fn object(rule: &Rule, raw: &str, at: &mut String) -> Result<(), Misfit> {
    let mut result = Ok(());
    let mut seen = vec![false; rule.required.len()];
    let read = json::for_each_field(raw, |name, raw| {
        if result.is_err() {
            return;
        }
        if let Some(place) = rule.required.iter().position(|required| *required == name) {
            seen[place] = true;
        }
        let length = at.len();
        at.push('/');
        at.push_str(&shown(&name).replace('~', "~0").replace('/', "~1"));
        result = match (rule.property(&name), &rule.others) {
            (Some(rule), _) => value(rule, raw, at),
            (None, Others::Fit(rule)) => value(rule, raw, at),
            (None, Others::Refused) => misfit(at, "the field is not declared".to_owned()),
            (None, Others::Allowed | Others::Unsaid) => Ok(()),
        };
        at.truncate(length);
    });
    if read.is_err() {
        return misfit(at, "it is no JSON object".to_owned());
    }
    result?;
    match seen.iter().position(|seen| !seen) {
        Some(place) => misfit(&format!("{at}/{}", shown(&rule.required[place])), "the field is required".to_owned()),
        None => Ok(()),
    }
}

fn array(rule: &Rule, raw: &str, at: &mut String) -> Result<(), Misfit> {
    if rule.items.is_none() && rule.count == (None, None) {
        return Ok(());
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw) else { return misfit(at, "it is no array".to_owned()) };
    within(items.len(), rule.count, "items", at)?;
    let Some(rule) = &rule.items else { return Ok(()) };
    for (place, item) in items.iter().enumerate() {
        let length = at.len();
        at.push_str(&format!("/{place}"));
        value(rule, item.get(), at)?;
        at.truncate(length);
    }
    Ok(())
}

fn misfit(at: &str, why: String) -> Result<(), Misfit> {
    Err((at.to_owned(), why))
}
