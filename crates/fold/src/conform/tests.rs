//! What `conform` promises, as tables of input and expectation.

use tidemark_model::Ids;

use super::*;
use crate::{
    columns::changes_schema,
    derive::{
        changes,
        tests::{events, schema},
    },
    rows::below,
};

const VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-42",
    "9007199254740992",
    "9007199254740993",
    "18446744073709551616",
    "0.0",
    "-0.0",
    "1.0",
    "1.5",
    "1e17",
    "1e300",
    "1e-7",
    "123456789.125",
    "\"\"",
    "\"x\"",
    r#""a\u00e9\n""#,
    "{}",
    "[1, 2]",
    r#"{"a": "b"}"#,
];

fn document(random: &Ids) -> String {
    // Each document draws from a part of the values, so that columns stay narrow now and then.
    let (from, length) = (below(random, 24), 1 + below(random, 6));
    let field = |name: &str| {
        let value = VALUES[usize::try_from((from + below(random, length.unsigned_abs())) % 24).expect("small")];
        format!("\"{name}\":{value}")
    };
    let fields: Vec<String> = ["a", "b", "c", "d"].iter().map(|name| field(name)).collect();
    format!("{{{}}}", fields[usize::try_from(below(random, 3)).expect("small")..].join(","))
}

/// Casting a batch of an older schema equals deriving it anew under the newer one.
#[test]
fn casting_equals_deriving_anew() {
    for seed in 0..3000 {
        let random = Ids::seeded(seed);
        let documents: Vec<String> = (0..1 + below(&random, 6)).map(|_| document(&random)).collect();
        let documents: Vec<Option<&str>> = documents.iter().map(|text| Some(text.as_str())).collect();
        let early = &documents
            [..1 + usize::try_from(below(&random, documents.len() as u64)).expect("small").min(documents.len() - 1)];
        let (older, newer) = (schema(early), schema(&documents));
        let cast =
            to_schema(&changes(&events(early), &older).expect("derives"), &changes_schema(&newer)).expect("casts");
        let anew = changes(&events(early), &newer).expect("derives");
        assert_eq!(cast, anew, "seed {seed}: {documents:?}");
    }
}

#[test]
fn unwanted_columns_go_and_narrower_ones_are_refused() {
    let documents = [Some(r#"{"a":"x","b":1}"#)];
    let wide = changes(&events(&documents), &schema(&documents)).expect("derives");
    let less = changes_schema(&schema(&[Some(r#"{"b":1}"#)]));
    assert_eq!(to_schema(&wide, &less).expect("projects").schema(), less);
    let narrow = changes_schema(&schema(&[Some(r#"{"a":1}"#)]));
    assert!(matches!(to_schema(&wide, &narrow), Err(FoldError::Narrower { column, .. }) if column == "a"));
}

#[test]
fn equal_columns_are_not_copied() {
    let documents = [Some(r#"{"a":1}"#)];
    let batch = changes(&events(&documents), &schema(&documents)).expect("derives");
    let wider = changes_schema(&schema(&[documents[0], Some(r#"{"b":1}"#)]));
    let found = to_schema(&batch, &wider).expect("casts");
    assert!(Arc::ptr_eq(found.column(0), batch.column(0)) && found.column(11).null_count() == 1);
}
