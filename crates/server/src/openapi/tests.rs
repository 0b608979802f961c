//! The tables fit together, and nothing is named that is not there.

use std::collections::HashSet;

use super::*;

#[test]
fn every_route_is_described_and_nothing_else() {
    let routes: HashSet<_> = access::TABLE.iter().map(|(method, pattern, _)| (*method, *pattern)).collect();
    let described: HashSet<_> = operations::TABLE.iter().map(|(method, pattern, _)| (*method, *pattern)).collect();
    assert_eq!(routes, described);
    let ids: HashSet<_> = operations::TABLE.iter().map(|(.., about)| about.id).collect();
    assert_eq!(ids.len(), operations::TABLE.len(), "ids are told apart");
}

#[test]
fn whatever_is_referred_to_is_there() {
    fn walk(value: &Value, whole: &Value, found: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("a reference into the document");
                    assert!(whole.pointer(pointer).is_some(), "{reference}");
                    *found += 1;
                }
                members.values().for_each(|member| walk(member, whole, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, whole, found)),
            _ => {}
        }
    }
    let (whole, mut found) = (document(), 0);
    walk(&whole, &whole, &mut found);
    assert!(found > 100, "{found}");
}

#[test]
fn what_a_route_needs_is_told() {
    let whole = document();
    let send = &whole["paths"]["/v1/{namespace}/events"]["post"];
    assert_eq!(send["description"], "Needs the scope `ingest` in the namespace.");
    assert_eq!(send["parameters"][0]["$ref"], "#/components/parameters/path_namespace");
    assert_eq!(whole["paths"]["/health"]["get"]["security"], json!([]));
    let made = &whole["paths"]["/v1/tokens"]["post"];
    assert!(made["description"].as_str().expect("text").ends_with("as `create_token`."));
    assert!(made["responses"]["201"].is_object() && made["responses"]["default"].is_object());
}
