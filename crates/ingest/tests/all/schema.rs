//! Schemas evolve at admission, in the order of the log, and replay gives the same.

use futures::future::join_all;
use tidemark_model::{DocSchema, FieldType};

use crate::bed::{Bed, End, ns};

fn schema(bed: &Bed) -> DocSchema {
    let collections = bed.catalog.collections(&ns("shop"));
    DocSchema::clone(&collections[0].schema)
}

fn types(schema: &DocSchema) -> Vec<(&str, FieldType)> {
    schema.fields.iter().map(|field| (field.name.as_str(), field.column_type())).collect()
}

#[tokio::test]
async fn columns_appear_and_widen_before_the_ack() {
    let bed = Bed::new().await;
    for (doc, expected) in [
        (r#"{"n":1,"s":"x"}"#, &[("n", FieldType::Int64), ("s", FieldType::Utf8)][..]),
        (r#"{"n":2,"b":null}"#, &[("n", FieldType::Int64), ("s", FieldType::Utf8)]),
        (r#"{"b":true,"n":1.5}"#, &[("n", FieldType::Float64), ("s", FieldType::Utf8), ("b", FieldType::Boolean)]),
        (r#"{"n":{}}"#, &[("n", FieldType::Utf8), ("s", FieldType::Utf8), ("b", FieldType::Boolean)]),
    ] {
        bed.changes(&format!(r#"{{"op":"insert","id":"1","doc":{doc}}}"#)).await.ok();
        assert_eq!(types(&schema(&bed)), expected, "{doc}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_gives_the_same_schema() {
    let mut bed = Bed::new().await;
    let values = ["1", "1.5", r#""x""#, "true", "{}", "null", "9007199254740993"];
    for round in 0..3 {
        let docs = (0..30).map(|n| {
            let doc = format!(r#"{{"a{}":{},"b{round}":{}}}"#, n % 7, values[n % 7], values[(n * 3 + round) % 7]);
            let bed = &bed;
            async move { bed.changes(&format!(r#"{{"op":"insert","id":"{n}","doc":{doc}}}"#)).await.ok() }
        });
        join_all(docs).await;
        if round == 1 {
            bed.ingest.flush_all().await.expect("flushes");
        }
        let before = schema(&bed);
        bed = bed.restart(if round == 0 { End::Killed } else { End::Drained }).await;
        assert_eq!(schema(&bed), before, "round {round}");
    }
    let before = schema(&bed);
    bed.changes(r#"{"op":"insert","id":"1","doc":{"new":1}}"#).await.ok();
    let after = schema(&bed);
    assert_eq!((after.id, after.fields.len()), (before.id + 1, before.fields.len() + 1));
    assert_eq!(after.fields[..before.fields.len()], before.fields[..], "field ids stay");
}

#[tokio::test]
async fn a_collection_keeps_its_shard() {
    let mut bed = Bed::new().await;
    let shard = |receipt: &serde_json::Value| receipt["positions"][0]["shard"].as_u64();
    let first = shard(&bed.changes(r#"{"op":"delete","id":"1"}"#).await.ok());
    for end in [End::Killed, End::Drained] {
        bed = bed.restart(end).await;
        assert_eq!(shard(&bed.changes(r#"{"op":"delete","id":"1"}"#).await.ok()), first);
        let known = bed.catalog.collections(&ns("shop"));
        assert_eq!((known.len(), Some(u64::from(known[0].shard.0))), (1, first));
    }
}

#[tokio::test]
async fn columns_have_a_cap_and_names_have_a_rule() {
    let bed = Bed::new().await;
    let fields: Vec<String> = (0..1005).map(|n| format!(r#""c{n}":{n}"#)).collect();
    let odd = r#""a b":1,"_own":1,"1st":1,"é":1,"C0":1,"":1"#;
    for _ in 0..2 {
        bed.changes(&format!(r#"{{"op":"insert","id":"1","doc":{{{odd},{}}}}}"#, fields.join(","))).await.ok();
    }
    let schema = schema(&bed);
    assert_eq!((schema.fields.len(), schema.id), (1000, 1), "the second document brings nothing new");
    let first = schema.fields.iter().take(2).map(|field| field.name.as_str()).collect::<Vec<_>>();
    assert_eq!(first, ["C0", "c1"], "names that differ by case only are one column, the first one's");
    bed.changes(r#"{"op":"insert","id":"2","doc":{"c2":1.5,"late":1}}"#).await.ok();
    let after = types(&self::schema(&bed)).into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect::<Vec<_>>();
    assert_eq!(after[2], ("c2".to_owned(), FieldType::Float64), "columns still widen");
    assert!(after.len() == 1000 && after.iter().all(|(name, _)| name != "late"));
}
