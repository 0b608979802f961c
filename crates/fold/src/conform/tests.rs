//! What `conform` promises, as tables of input and expectation.

use tidemark_model::{
    DocSchema, Ids,
    json::{Value, for_each_field},
    schema::{Kinds, Observed},
};

use super::*;
use crate::{
    columns::changes_schema,
    derive::{
        changes,
        tests::{events, schema},
    },
    rows::below,
};

const VALUES: [&str; 28] = [
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
    r#""2026-02-02T14:30:00Z""#,
    r#""2026-02-02T14:30:00.5+01:00""#,
    r#""0001-01-01T00:00:00Z""#,
    r#""2026-02-02""#,
];

fn document(random: &Ids) -> String {
    // Each document draws from a part of the values, so that columns stay narrow now and then.
    let (from, length) = (below(random, 28), 1 + below(random, 6));
    let field = |name: &str| {
        let value = VALUES[usize::try_from((from + below(random, length.unsigned_abs())) % 28).expect("small")];
        format!("\"{name}\":{value}")
    };
    let fields: Vec<String> = ["a", "b", "c", "d"].iter().map(|name| field(name)).collect();
    format!("{{{}}}", fields[usize::try_from(below(random, 3)).expect("small")..].join(","))
}

/// The schema after these documents where `a` and `b` are declared to hold instants, or are from a document on.
fn declared(documents: &[Option<&str>], since: usize) -> DocSchema {
    documents.iter().flatten().enumerate().fold(DocSchema::default(), |schema, (at, document)| {
        let mut observed = Observed::default();
        for_each_field(document, |name, raw| {
            let value = Value::of(raw);
            let is_declared = at >= since && ["a", "b"].contains(&name.as_ref());
            observed.see(&name, if is_declared { Kinds::of_declared_instant(&value) } else { Kinds::of(&value) });
        })
        .expect("an object");
        schema.evolved(&observed).unwrap_or(schema)
    })
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
        // In two of three histories fields are declared to be instants, from the beginning or later.
        let since = [usize::MAX, 0, 1][usize::try_from(seed % 3).expect("small")];
        let (older, newer) = (declared(early, since), declared(&documents, since));
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
