//! Declared schemas: registered with versions, kept over restarts, held at the door, and what they do to columns.

use axum::http::Request;
use serde_json::{Value, json};
use tidemark_model::{CollectionName, FieldType, Standing};

use crate::bed::{Bed, End, Reply, ns};

const SCHEMA: &str = "/v1/shop/orders/schema";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

async fn put(bed: &Bed, path: &str, schema: &Value) -> Reply {
    bed.send(Request::put(path).body(schema.to_string().into()).expect("a request")).await
}

async fn get(bed: &Bed, path: &str) -> Reply {
    bed.send(Request::get(path).body(axum::body::Body::empty()).expect("a request")).await
}

fn order() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An order",
        "type": "object",
        "required": ["total", "state"],
        "properties": {
            "total": {"type": "number", "minimum": 0, "exclusiveMaximum": 1000},
            "state": {"enum": ["new", "paid"]},
            "count": {"type": "integer"},
            "note": {"type": ["string", "null"], "minLength": 1, "maxLength": 3},
            "at": {"type": "string", "format": "date-time"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
            "buyer": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "extra": {"type": "object", "additionalProperties": {"type": "integer"}}
        }
    })
}

#[tokio::test]
async fn versions_are_kept() {
    let mut bed = Bed::new().await;
    assert_eq!(get(&bed, SCHEMA).await.problem(), (404, "no_schema"));
    let first = put(&bed, SCHEMA, &order()).await.ok();
    assert_eq!((&first["version"], &first["strictness"], &first["schema"]), (&1.into(), &"strict".into(), &order()));
    let same = put(&bed, SCHEMA, &order()).await.ok();
    assert_eq!(same["version"], 1, "the same again is no new version");
    let lenient = put(&bed, &format!("{SCHEMA}?strictness=lenient"), &order()).await.ok();
    assert_eq!((&lenient["version"], &lenient["strictness"]), (&2.into(), &"lenient".into()));
    for end in [End::Killed, End::Drained] {
        bed = bed.restart(end).await;
        let newest = get(&bed, SCHEMA).await.ok();
        assert_eq!(newest["version"], 2, "after {end:?}");
        assert_eq!(newest["versions"].as_array().map(Vec::len), Some(2));
        assert_eq!(get(&bed, &format!("{SCHEMA}?version=1")).await.ok()["strictness"], "strict");
    }
    assert_eq!(get(&bed, &format!("{SCHEMA}?version=3")).await.problem(), (404, "no_schema"));
    assert_eq!(get(&bed, &format!("{SCHEMA}?version=x")).await.problem(), (400, "invalid_parameter"));
    for n in 3..=70 {
        let schema = json!({"type": "object", "title": n.to_string()});
        assert_eq!(put(&bed, SCHEMA, &schema).await.ok()["version"], n);
    }
    bed = bed.restart(End::Killed).await;
    let newest = get(&bed, SCHEMA).await.ok();
    assert_eq!(newest["versions"].as_array().map(Vec::len), Some(70), "also over a checkpoint of the register");
    assert_eq!(get(&bed, &format!("{SCHEMA}?version=1")).await.ok()["schema"], order());
}

#[tokio::test]
async fn schemas_that_cannot_be_used_are_refused() {
    let bed = Bed::new().await;
    for (schema, says) in [
        (json!([]), "must be an object"),
        (json!({"type": "array"}), "describes documents"),
        (json!({"type": "objekt"}), "/type"),
        (json!({"properties": {"a": {"pattern": "^a"}}}), "/properties/a/pattern"),
        (json!({"allOf": []}), "allOf"),
        (json!({"properties": {"a": {"$ref": "#/b"}}}), "$ref"),
        (json!({"properties": {"a": {"format": "email"}}}), "format"),
        (json!({"required": "a"}), "/required"),
        (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength"),
    ] {
        let reply = put(&bed, SCHEMA, &schema).await;
        assert_eq!(reply.problem(), (400, "invalid_schema"), "{schema}: {}", reply.json);
        assert!(reply.json["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{schema}: {}", reply.json);
    }
    assert_eq!(put(&bed, &format!("{SCHEMA}?strictness=very"), &order()).await.problem(), (400, "invalid_parameter"));
    assert_eq!(put(&bed, "/v1/shop/events/schema", &order()).await.problem(), (400, "invalid_name"));
    assert_eq!(get(&bed, SCHEMA).await.problem(), (404, "no_schema"), "nothing of it was declared");
}

/// Fields besides `total` and `state`, and where they do not fit.
const MISFITS: &[(&str, &str)] = &[
    (r#""total":"1""#, "/doc/total"),
    (r#""total":-1"#, "/doc/total"),
    (r#""total":1000"#, "/doc/total"),
    (r#""total":9007199254740993"#, "/doc/total"),
    (r#""state":"gone""#, "/doc/state"),
    (r#""count":1.5"#, "/doc/count"),
    (r#""count":18446744073709551616"#, "/doc/count"),
    (r#""note":"""#, "/doc/note"),
    (r#""note":"four""#, "/doc/note"),
    (r#""note":7"#, "/doc/note"),
    (r#""at":"yesterday""#, "/doc/at"),
    (r#""tags":["a",1]"#, "/doc/tags/1"),
    (r#""tags":["a","b","c"]"#, "/doc/tags"),
    (r#""buyer":{}"#, "/doc/buyer/name"),
    (r#""buyer":{"name":"x","age":1}"#, "/doc/buyer/age"),
    (r#""extra":{"a/b":"x"}"#, "/doc/extra/a~1b"),
    (r#""other":1"#, "/doc/other"),
];

#[tokio::test]
async fn documents_that_do_not_fit_are_refused_and_told_where() {
    let bed = Bed::new().await;
    put(&bed, SCHEMA, &order()).await.ok();
    for (fields, pointer) in MISFITS {
        let change = format!(r#"{{"op":"insert","id":"1","doc":{{"total":1,"state":"new",{fields}}}}}"#);
        let reply = bed.changes(&change).await;
        assert_eq!(reply.problem(), (422, "schema_mismatch"), "{fields}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], *pointer, "{fields}: {}", reply.json);
        assert!(reply.json["detail"].as_str().is_some_and(|detail| detail.contains("version 1")), "{fields}");
    }
    let missing = bed.changes(r#"{"op":"insert","id":"1","doc":{"total":1}}"#).await;
    assert_eq!(missing.json["errors"][0]["pointer"], "/doc/state");
    let good = r#"{"total":0,"state":"paid","count":7,"note":null,"at":"2026-01-01T00:00:00Z","tags":["a"],"buyer":{"name":"x"},"extra":{"n":1}}"#;
    bed.changes(&format!(r#"{{"op":"insert","id":"1","doc":{good}}}"#)).await.ok();
    bed.changes(r#"{"op":"delete","id":"1"}"#).await.ok();
    let other = r#"{"collection":"carts","op":"insert","id":"1","doc":{"total":"x"}}"#;
    bed.post("/v1/shop/events", other, &[]).await.ok();
    let partial = format!(
        "{}\n{}",
        r#"{"op":"insert","id":"2","doc":{"total":1,"state":"new"}}"#, r#"{"op":"insert","id":"3","doc":{}}"#
    );
    let partial = bed.post("/v1/shop/orders/changes?on_error=partial", partial, &[NDJSON]).await.ok();
    assert_eq!((&partial["accepted"], &partial["errors"][0]["code"]), (&1.into(), &"schema_mismatch".into()));
}

#[tokio::test]
async fn every_envelope_is_held_to_it() {
    let bed = Bed::new().await;
    put(&bed, SCHEMA, &order()).await.ok();
    for (body, pointer) in [
        (r#"{"type":"collection.insert","collection":"orders","docId":"1","doc":{"total":1}}"#, "/doc/state"),
        (r#"{"op":"c","after":{"id":1,"total":1,"state":"new"},"source":{"table":"orders","lsn":1}}"#, "/after/id"),
        (r#"{"collection":"orders","op":"insert","id":"1","doc":{"total":1}}"#, "/doc/state"),
    ] {
        let reply = bed.post("/v1/shop/events", body, &[]).await;
        assert_eq!(reply.problem(), (422, "schema_mismatch"), "{body}: {}", reply.json);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn a_lenient_schema_lets_other_fields_through_and_a_newer_one_counts() {
    let bed = Bed::new().await;
    let insert = |doc: &str| format!(r#"{{"op":"insert","id":"1","doc":{doc}}}"#);
    put(&bed, SCHEMA, &order()).await.ok();
    put(&bed, &format!("{SCHEMA}?strictness=lenient"), &order()).await.ok();
    bed.changes(&insert(r#"{"total":1,"state":"new","other":1,"buyer":{"name":"x","age":1}}"#)).await.ok();
    let wrong = bed.changes(&insert(r#"{"total":"1","state":"new"}"#)).await;
    assert_eq!(wrong.problem(), (422, "schema_mismatch"));
    put(&bed, SCHEMA, &json!({"type": "object", "additionalProperties": true})).await.ok();
    bed.changes(&insert(r#"{"total":"1"}"#)).await.ok();
}

#[tokio::test]
async fn declared_fields_have_their_types_from_the_first_document_on() {
    let mut bed = Bed::new().await;
    put(&bed, SCHEMA, &order()).await.ok();
    bed.changes(r#"{"op":"insert","id":"1","doc":{"total":1,"state":"new"}}"#).await.ok();
    for _ in 0..2 {
        let schema = bed.catalog.collections(&ns("shop"))[0].schema.clone();
        let types: std::collections::BTreeMap<&str, FieldType> =
            schema.fields.iter().map(|field| (field.name.as_str(), field.column_type())).collect();
        assert_eq!(types["total"], FieldType::Float64, "a whole number does not make it an integer");
        assert_eq!(types["count"], FieldType::Int64, "also of fields that no document holds yet");
        assert_eq!(types["tags"], FieldType::Json);
        assert_eq!(types["state"], FieldType::Utf8);
        assert_eq!(types["at"], FieldType::Timestamp);
        bed = bed.restart(End::Killed).await;
    }
}

/// Erases `orders` of `shop`, up to the last append there.
async fn erase(bed: &Bed) {
    let (namespace, orders) = (ns("shop"), CollectionName::parse("orders").expect("a name"));
    bed.ingest.stand(&namespace, Some(&orders), Standing::Erasing).await.expect("begins to erase");
    bed.ingest.flush(&namespace).await.expect("flushes");
    let erased = Standing::Erased { at: bed.catalog.events(&namespace).system_time };
    bed.ingest.stand(&namespace, Some(&orders), erased).await.expect("erases");
}

#[tokio::test]
async fn what_was_declared_of_an_erased_name_judges_nothing_that_comes_after() {
    let bed = Bed::new().await;
    let (namespace, orders) = (ns("shop"), CollectionName::parse("orders").expect("a name"));
    put(&bed, SCHEMA, &json!({"required": ["gone"]})).await.ok();
    bed.changes(r#"{"id":"1","op":"insert","doc":{"gone":1}}"#).await.ok();
    erase(&bed).await;
    bed.changes(r#"{"id":"1","op":"insert","doc":{"other":1}}"#).await.ok();
    erase(&bed).await;
    for _life in 0..2 {
        // Made by its name alone, and erased with nothing appended since: at the same system time.
        assert!(bed.ingest.create(&namespace, Some(&orders)).await.expect("creates"));
        put(&bed, SCHEMA, &json!({"required": ["life"]})).await.ok();
        erase(&bed).await;
    }
    bed.changes(r#"{"id":"1","op":"insert","doc":{"last":1}}"#).await.ok();
    assert_eq!(bed.catalog.standing(&namespace, Some(&orders)), Some(Standing::Live), "it begins anew with its append");
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.catalog.standing(&namespace, Some(&orders)), Some(Standing::Live));
}

#[tokio::test]
async fn what_is_declared_of_an_erased_name_holds_over_a_restart_before_its_first_document() {
    let bed = Bed::new().await;
    let (namespace, orders) = (ns("shop"), CollectionName::parse("orders").expect("a name"));
    put(&bed, SCHEMA, &json!({"required": ["gone"]})).await.ok();
    bed.changes(r#"{"id":"1","op":"insert","doc":{"gone":1,"at":"x"}}"#).await.ok();
    erase(&bed).await;
    put(&bed, SCHEMA, &order()).await.ok();
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.changes(r#"{"id":"2","op":"insert","doc":{"total":-1,"state":"new"}}"#).await.problem().0, 422);
    let fits = r#"{"id":"2","op":"insert","doc":{"total":1,"state":"new","at":"2026-01-01T00:00:00Z"}}"#;
    bed.changes(fits).await.ok();
    assert_eq!(bed.changes(r#"{"id":"3","op":"insert","doc":{"total":-1,"state":"new"}}"#).await.problem().0, 422);
    let schema = bed.catalog.collection(&namespace, &orders).expect("it is there").schema.clone();
    let at = schema.fields.iter().find(|field| field.name.as_str() == "at").expect("a column");
    assert_eq!(at.column_type(), FieldType::Timestamp);
}
