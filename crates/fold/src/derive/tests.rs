//! What `derive` promises, as tables of input and expectation.

use arrow::{
    array::{AsArray, Int64Array, TimestampMicrosecondArray, new_null_array},
    util::display::array_value_to_string,
};
use tidemark_model::schema::{Kinds, Observed};

use super::*;
use crate::columns::events_schema;

/// Change events with these documents; everything else is the same in every row.
pub(crate) fn events(documents: &[Option<&str>]) -> RecordBatch {
    let rows = documents.len();
    let numbers = || (0..).take(rows);
    let times = || Arc::new(TimestampMicrosecondArray::from_iter_values(numbers()).with_timezone("UTC")) as ArrayRef;
    let schema = events_schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        event::DATA => Arc::new(documents.iter().collect::<StringArray>()) as ArrayRef,
        event::TS | event::SYSTEM_TIME => times(),
        event::SHARD | event::SEQ => Arc::new(Int64Array::from_iter_values(numbers())),
        event::SOURCE | event::SUBJECT | event::META | event::PREV | event::BOOKMARK => {
            new_null_array(field.data_type(), rows)
        }
        name => Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("{name}-{n}")))),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch")
}

/// The schema after these documents.
pub(crate) fn schema(documents: &[Option<&str>]) -> DocSchema {
    let mut observed = Observed::default();
    for document in documents.iter().flatten() {
        for_each_field(document, |name, raw| observed.see(&name, Kinds::of(&Value::of(raw)))).expect("an object");
    }
    DocSchema::default().evolved(&observed).unwrap_or_default()
}

#[test]
fn documents_become_columns() {
    let documents = [
        Some(r#"{"n":1,"f":1,"s":"a\nb","b":true,"j":{"x":[1, 2]},"m":1.50}"#),
        Some(r#"{"f":0.5,"n":-7,"s":"","b":false,"j":[],"m":"x","_hidden":1,"a b":2}"#),
        Some(r#"{"n":null,"s":null,"m":true}"#),
        None,
        Some(r#"{"n":1,"n":2,"m":18446744073709551616,"m":{"deep":1}}"#),
        Some("{}"),
    ];
    let found = changes(&events(&documents), &schema(&documents)).expect("derives");
    for (name, expected) in [
        ("n", ["1", "-7", "", "", "2", ""]),
        ("f", ["1.0", "0.5", "", "", "", ""]),
        ("s", ["a\nb", "", "", "", "", ""]),
        ("b", ["true", "false", "", "", "", ""]),
        ("j", [r#"{"x":[1, 2]}"#, "[]", "", "", "", ""]),
        ("m", ["1.5", "x", "true", "", r#"{"deep":1}"#, ""]),
    ] {
        let column = found.column_by_name(name).expect("a column");
        let texts: Vec<String> = (0..6).map(|row| array_value_to_string(column, row).expect("prints")).collect();
        assert_eq!(texts, expected, "{name}");
    }
    assert_eq!(found.num_columns(), INPUT.len() + 6);
    assert!(found.column_by_name("s").is_some_and(|text| text.is_valid(1) && text.is_null(2)));
}

#[test]
fn declared_instants_become_timestamps_and_their_texts_canonical_ones() {
    let documents = [
        Some(r#"{"at":"2026-02-02T14:30:00.1234567+01:00","m":"2026-02-02T14:30:00Z"}"#),
        Some(r#"{"at":null,"m":"soon"}"#),
        Some(r#"{"m":7}"#),
    ];
    let mut observed = Observed::default();
    observed.see("at", Kinds::INSTANT);
    observed.see("m", Kinds::INSTANT.union(Kinds::of(&Value::Int(7))).union(Kinds::of(&Value::String("soon".into()))));
    let schema = DocSchema::default().evolved(&observed).expect("changes");
    let found = changes(&events(&documents), &schema).expect("derives");
    let at = found.column_by_name("at").expect("a column");
    assert_eq!(*at.data_type(), timestamp());
    assert_eq!(array_value_to_string(at, 0).expect("prints"), "2026-02-02T13:30:00.123456Z");
    assert!(at.is_null(1) && at.is_null(2));
    let texts = found.column_by_name("m").expect("a column").as_string::<i32>();
    assert_eq!([0, 1, 2].map(|row| texts.value(row)), ["2026-02-02T14:30:00.000000Z", "soon", "7"]);
}

#[test]
fn half_a_surrogate_pair_makes_no_row_unreadable() {
    let documents = [Some(r#"{"\ud800":1,"n":1,"s":"a\udc00"}"#), Some(r#"{"n":2,"s":"b"}"#)];
    let found = changes(&events(&documents), &schema(&documents)).expect("derives");
    let texts = |name| {
        let column = found.column_by_name(name).expect("a column");
        [0, 1].map(|row| array_value_to_string(column, row).expect("prints"))
    };
    assert_eq!((texts("n"), texts("s")), (["1", "2"].map(str::to_owned), ["a\u{fffd}", "b"].map(str::to_owned)));
    assert_eq!(found.num_columns(), INPUT.len() + 2);
}

#[test]
fn the_lakes_own_columns_pass_through_without_a_copy() {
    let documents = [Some(r#"{"n":1}"#), None];
    let events = events(&documents);
    let found = changes(&events, &schema(&documents)).expect("derives");
    assert_eq!(found.schema(), changes_schema(&schema(&documents)));
    for (at, name) in INPUT.iter().enumerate() {
        assert!(Arc::ptr_eq(found.column(at), events.column_by_name(name).expect("a column")), "{name}");
    }
    assert_eq!(found.column_by_name("_event_id").expect("a column").as_string::<i32>().value(1), "id-1");
}

#[test]
fn what_is_no_object_is_an_error_that_names_the_change() {
    for bad in ["[1]", "", "{", r#"{"a":1} x"#] {
        let found = changes(&events(&[Some("{}"), Some(bad)]), &DocSchema::default());
        assert!(matches!(found, Err(FoldError::Document { seq: 1, .. })), "{bad:?}");
    }
}
