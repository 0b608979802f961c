//! `changed_fields(before, after)`: which top-level fields of two documents differ.
//!
//! Values are compared as JSON, so that white space and the order of fields change nothing. A document that is NULL has
//! no fields. `document_digest(document)` tells whether their texts differ.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, ListBuilder, StringBuilder, StringViewArray},
    compute::cast,
    datatypes::{DataType, Field},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tidemark_model::json::for_each_field;

/// Documents that differ only below so many levels differ. Those that are stored are flatter.
const LEVELS_MAX: usize = 128;

/// The function.
pub(crate) fn changed_fields() -> ScalarUDF {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let text = vec![DataType::Utf8View, DataType::Utf8View];
    create_udf("changed_fields", text, list, Volatility::Immutable, Arc::new(changed))
}

/// `document_digest(document)`: SHA-256 of its text, so that documents are compared without being held.
pub(crate) fn document_digest() -> ScalarUDF {
    create_udf("document_digest", vec![DataType::Utf8View], DataType::Binary, Volatility::Immutable, Arc::new(digested))
}

fn digested(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [documents] = arrays.as_slice() else {
        return internal_err!("document_digest takes one document, not {}", arrays.len());
    };
    let documents = text(documents)?;
    let digests = documents.as_string_view().iter().map(|document| document.map(Sha256::digest));
    Ok(ColumnarValue::Array(Arc::new(digests.collect::<BinaryArray>())))
}

fn changed(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [before, after] = arrays.as_slice() else {
        return internal_err!("changed_fields takes two documents, not {}", arrays.len());
    };
    let (before, after) = (text(before)?, text(after)?);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (before, after) in before.as_string_view().iter().zip(after.as_string_view()) {
        differing(before, after).iter().for_each(|name| lists.values().append_value(name));
        lists.append(true);
    }
    Ok(ColumnarValue::Array(Arc::new(lists.finish())))
}

fn text(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(if array.data_type().is_null() {
        Arc::new(StringViewArray::new_null(array.len()))
    } else {
        cast(array, &DataType::Utf8View)?
    })
}

/// Names of fields that one has and the other has not, or has with another value; in order.
fn differing(before: Option<&str>, after: Option<&str>) -> Vec<String> {
    if before == after {
        return Vec::new();
    }
    let (before, after) = (fields(before), fields(after));
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| name.to_string());
    let differs =
        after.iter().filter(|(name, value)| before.get(*name).is_none_or(|before| !same(before, value, LEVELS_MAX)));
    let mut names: Vec<String> = gone.chain(differs.map(|(name, _)| name.to_string())).collect();
    names.sort_unstable();
    names
}

/// The fields of a document by name; a text that is no document has none.
fn fields(document: Option<&str>) -> BTreeMap<Cow<'_, str>, &str> {
    let mut fields = BTreeMap::new();
    let read = document.map_or(Ok(()), |document| {
        for_each_field(document, |name, value| {
            fields.insert(name, value);
        })
    });
    if read.is_ok() { fields } else { BTreeMap::new() }
}

/// Whether two JSON values are the same, as far as this many levels of them tell. Numbers keep their digits: two that are the
/// same float are not yet the same.
fn same(left: &str, right: &str, levels: usize) -> bool {
    if left == right {
        return true;
    }
    // Each level is read once more by the one above it.
    let Some(below) = levels.checked_sub(1) else { return false };
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => both::<BTreeMap<String, &RawValue>>(left, right).is_some_and(|(left, right)| {
            let in_right = |(name, value): (&String, &&RawValue)| {
                right.get(name).is_some_and(|other| same(value.get(), other.get(), below))
            };
            left.len() == right.len() && left.iter().all(in_right)
        }),
        (Some(b'['), Some(b'[')) => both::<Vec<&RawValue>>(left, right).is_some_and(|(left, right)| {
            left.len() == right.len()
                && left.iter().zip(&right).all(|(left, right)| same(left.get(), right.get(), below))
        }),
        (Some(first), _) => {
            let is_number = *first == b'-' || first.is_ascii_digit();
            let same_value = || both::<serde_json::Value>(left, right).is_some_and(|(left, right)| left == right);
            same_value() && (!is_number || decimal(left) == decimal(right))
        }
        (None, _) => false,
    }
}

fn both<'t, T: serde::Deserialize<'t>>(left: &'t str, right: &'t str) -> Option<(T, T)> {
    serde_json::from_str(left).ok().zip(serde_json::from_str(right).ok())
}

/// A number by its value: whether it is below zero, its digits without zeros at either end, the power of ten of the last.
fn decimal(number: &str) -> (bool, String, Option<i64>) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |digits| (true, digits));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let shown = digits.trim_end_matches('0');
    let moved = i64::try_from(digits.len() - shown.len()).ok().zip(i64::try_from(fraction.len()).ok());
    let power = moved.zip(exponent.parse::<i64>().ok());
    let power = power.and_then(|((zeros, places), exponent)| exponent.checked_add(zeros)?.checked_sub(places));
    match shown.trim_start_matches('0') {
        "" => (false, String::new(), Some(0)),
        shown => (is_negative, shown.to_owned(), power),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_differ_as_json_are_named() {
        for (before, after, expected) in [
            (Some(r#"{"a":1,"b":2}"#), Some(r#"{ "b": 2, "a": 1 }"#), vec![]),
            (Some(r#"{"a":1,"b":{"x":1,"y":2}}"#), Some(r#"{"a":2,"b":{"y":2,"x":1}}"#), vec!["a"]),
            (Some(r#"{"a":1}"#), Some(r#"{"a":null,"c":""}"#), vec!["a", "c"]),
            (Some(r#"{"a":123456789012345678901234}"#), Some(r#"{"a":123456789012345678901235}"#), vec!["a"]),
            (Some(r#"{"a":[{"b":0.1}]}"#), Some(r#"{"a":[{"b":0.1000000000000000000001}]}"#), vec!["a"]),
            (Some(r#"{"a":1.50,"b":[1, 2],"c":1e2}"#), Some(r#"{"a":15e-1,"b":[1,2],"c":1.0E+2}"#), vec![]),
            (Some(r#"{"a":{"x":[1,2]}}"#), Some(r#"{"a":{"x":[1,2,3]}}"#), vec!["a"]),
            (Some(r#"{"a":"\u0061"}"#), Some(r#"{"a":"a"}"#), vec![]),
            (Some(r#"{"a":1}"#), None, vec!["a"]),
            (None, Some(r#"{"b":1,"a":1}"#), vec!["a", "b"]),
            (None, None, vec![]),
        ] {
            assert_eq!(differing(before, after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_read_to_a_depth() {
        let nested = |of: &str| format!("{{\"a\":{}{of}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(differing(Some(&nested("1")), Some(&nested("2"))), ["a"]);
        assert_eq!(differing(Some(&nested("1")), Some(&nested("1"))), [""; 0]);
    }
}
