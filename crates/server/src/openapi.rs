//! The description of the HTTP port, `GET /openapi.json`: OpenAPI 3.1, made of the table that guards the routes.
//!
//! 1. [`crate::access`] tells which routes there are, what each needs and what is recorded of it.
//! 2. [`operations`] tells what each is for, what it takes and answers.
//! 3. [`schemas`]: the shapes of bodies and answers, parameters and names.
//!
//! A route that stands in one table and not in the other fails a test; schemathesis asks a running server whether its
//! answers are as described (`tests/clients/test_openapi.py`).

mod operations;
mod schemas;

use std::sync::LazyLock;

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tidemark_model::Scope;

use self::operations::{Answer, Body, Operation};
use crate::{
    access::{self, Needs},
    metrics::VERSION,
};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The route.
pub fn router() -> Router {
    let described = || async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()) };
    Router::new().route("/openapi.json", get(described))
}

/// The whole document.
fn document() -> Value {
    let mut paths = Map::new();
    for (method, pattern, row) in access::TABLE {
        let Some(about) = operations::of(method, pattern) else { continue };
        let path = paths.entry((*pattern).to_owned()).or_insert_with(|| json!({}));
        path[method.to_ascii_lowercase()] = operation(pattern, *row, about);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidemark",
            "version": VERSION,
            "summary": "An event lakehouse with a memory.",
            "description": "Events and changes go in and are durable when they are acknowledged; SQL asks about the \
                            present or any instant of the past. Arrow Flight SQL and PostgreSQL's protocol have ports of their own.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": schemas::components(),
        "security": [{ "bearer": [] }, { "basic": [] }],
    })
}

fn operation(pattern: &str, row: access::Row, about: &Operation) -> Value {
    let mut described = json!({
        "operationId": about.id,
        "tags": [about.tag],
        "summary": about.summary,
        "description": description(row),
        "parameters": parameters(pattern, about.parameters),
        "responses": responses(about.answer),
    });
    if let Some(body) = body(about.body) {
        described["requestBody"] = body;
    }
    if row.needs == Needs::Nothing {
        described["security"] = json!([]);
    }
    described
}

/// What a route needs, for people.
fn description(row: access::Row) -> String {
    let of = |scope: Scope| scope.as_str();
    let mut text = match row.needs {
        Needs::Nothing => "Answers without a token.".to_owned(),
        Needs::Door => "What the token has to allow depends on what is asked.".to_owned(),
        Needs::Sight => "Needs a token that sees the namespace.".to_owned(),
        Needs::In(scope) => format!("Needs the scope `{}` in the namespace.", of(scope)),
        Needs::Whole(scope) => format!("Needs the scope `{}` in all namespaces.", of(scope)),
    };
    if let Some(action) = row.action {
        text.push_str(&format!(" Recorded in the audit trail as `{action}`."));
    }
    text
}

/// The names in the path, then what else may be told.
fn parameters(pattern: &str, others: &[&str]) -> Vec<Value> {
    let in_path = pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let named = in_path.map(|name| format!("path_{name}")).chain(others.iter().map(|name| (*name).to_owned()));
    named.map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect()
}

fn body(body: Body) -> Option<Value> {
    let json_of = |name: &str| json!({ "application/json": { "schema": schema(name) } });
    Some(match body {
        Body::None => return None,
        Body::Json(name) => json!({ "required": true, "content": json_of(name) }),
        Body::Optional(name) => json!({ "required": false, "content": json_of(name) }),
        Body::Sql => json!({ "required": true, "content": {
            "application/json": { "schema": schema("Query") },
            "application/sql": { "schema": { "type": "string", "minLength": 1 } },
            "text/plain": { "schema": { "type": "string", "minLength": 1 } },
        } }),
        Body::Records(name) => {
            let binary = json!({ "schema": { "type": "string", "format": "binary" } });
            json!({ "required": true, "content": {
                "application/json": { "schema": schema(name) },
                "application/x-ndjson": { "schema": { "type": "string" } },
                "application/cloudevents+json": { "schema": schema("CloudEvent") },
                "application/cloudevents-batch+json": { "schema": { "type": "array", "items": schema("CloudEvent") } },
                "application/vnd.apache.arrow.stream": binary,
            } })
        }
    })
}

fn responses(answer: Answer) -> Value {
    let text = || json!({ "schema": { "type": "string" } });
    let binary = || json!({ "schema": { "type": "string", "format": "binary" } });
    let (status, content) = match answer {
        Answer::Json(name) => ("200", json!({ "application/json": { "schema": schema(name) } })),
        Answer::Created(name) => ("201", json!({ "application/json": { "schema": schema(name) } })),
        Answer::Nothing => ("204", Value::Null),
        Answer::Text => ("200", json!({ "text/plain": text() })),
        Answer::Rows => (
            "200",
            json!({
                "application/json": { "schema": schema("Answer") },
                "application/x-ndjson": text(),
                "text/csv": text(),
                "application/vnd.apache.arrow.stream": binary(),
                (PARQUET): binary(),
            }),
        ),
        Answer::File => ("200", json!({ "application/x-ndjson": text(), (PARQUET): binary() })),
        Answer::Report(name) => {
            ("200", json!({ "application/json": { "schema": schema(name) }, "application/x-ndjson": text() }))
        }
        Answer::Stream => ("200", json!({ "text/event-stream": text() })),
    };
    let headers = json!({ "x-request-id": { "$ref": "#/components/headers/x-request-id" } });
    let mut done = json!({ "description": "Done.", "headers": headers });
    if !content.is_null() {
        done["content"] = content;
    }
    let mut responses = json!({ (status): done, "default": { "$ref": "#/components/responses/problem" } });
    if answer == Answer::Rows {
        responses["304"] = json!({ "description": "The answer is the one whose tag was told in `If-None-Match`." });
    }
    responses
}

/// In two parts: it ends like an object path, which only storage may spell.
const PARQUET: &str = concat!("application/vnd.apache.", "parquet");

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

#[cfg(test)]
mod tests;
