//! The tables tell one story: whatever points to something points to what is there.

use std::collections::BTreeSet;

use super::{columns, functions::escaped_by_backslash, rows, settings::SETTINGS, tables};
use crate::{door::fixture, plan::names::Seen, sql::postgres::EMPTY};
use tidemark_model::Principal;

async fn seen() -> Seen {
    Seen { catalog: fixture::catalog().await, principal: Principal::lake() }
}

#[tokio::test]
async fn every_row_has_at_most_as_many_cells_as_columns_and_makes_a_batch() {
    let seen = seen().await;
    for table in columns::names() {
        let schema = rows::schema(columns::of(table).unwrap());
        let rows = tables::rows(table, &seen);
        assert!(rows.iter().all(|row| row.len() <= schema.fields().len()), "{table}");
        assert_eq!(rows::batch(&schema, &rows).unwrap().num_rows(), rows.len(), "{table}");
        let names: BTreeSet<_> = schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(names.len(), schema.fields().len(), "{table} has a column twice");
        assert!(rows.is_empty() || !EMPTY.contains(&table), "{table} is told to be empty");
    }
    assert!(EMPTY.iter().all(|table| columns::of(table).is_some()));
}

#[test]
fn patterns_come_to_be_escaped_by_the_backslash() {
    for (pattern, escape, expected) in [
        ("pg/_%", "/", Some("pg\\_%")),
        ("a//b/%/c", "/", Some("a/b\\%c")),
        ("a\\b/\\", "/", Some("a\\\\b\\\\")),
        ("a\\%", "", Some("a\\\\%")),
        ("a/", "/", None),
        ("a", "//", None),
    ] {
        assert_eq!(escaped_by_backslash(pattern, escape).ok().as_deref(), expected, "{pattern} {escape}");
    }
}

#[test]
fn settings_are_ordered_by_name() {
    assert!(SETTINGS.iter().is_sorted());
}
