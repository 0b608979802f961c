//! Publishing over HTTP: `POST /v1/publish` publishes tables now, or writes what is published anew.
//!
//! The job of the process does the same by itself, later and only where something changed.

use std::collections::BTreeSet;

use axum::{Router, extract::State, response::Response, routing::post};
use bytes::Bytes;
use serde::Deserialize;
use tidemark_catalog::{
    CatalogError, Publisher,
    publish::{How, Publication},
};
use tidemark_ingest::Ingest;
use tidemark_model::{Kind, Namespace, Principal, Scope, Table};
use tidemark_proto::{By, Problem};

use crate::reply::{self, answer, json};

/// The routes.
pub fn router(publisher: Publisher, ingest: Ingest) -> Router {
    Router::new().route("/v1/publish", post(publish)).with_state((publisher, ingest))
}

/// The body; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Only tables of this namespace.
    namespace: Option<String>,
    /// Only this table of it.
    table: Option<String>,
    /// Delete what is published and write it anew.
    rebuild: bool,
}

async fn publish(State((publisher, ingest)): State<(Publisher, Ingest)>, By(principal): By, body: Bytes) -> Response {
    let done = async {
        let (tables, how) = asked(&publisher, &principal, &body)?;
        // Whoever asks expects what was acknowledged until now.
        for namespace in tables.iter().map(|(namespace, _)| namespace).collect::<BTreeSet<_>>() {
            ingest.flush(namespace).await.map_err(Problem::from)?;
        }
        let mut published: Vec<Publication> = Vec::new();
        for (namespace, table) in &tables {
            published.extend(publisher.publish(namespace, table, how).await.map_err(|error| problem(&error))?);
        }
        Ok(published)
    };
    answer(done.await.map(|published| json(&serde_json::json!({ "tables": published }))))
}

type Asked = (Vec<(Namespace, Table)>, How);

fn asked(publisher: &Publisher, principal: &Principal, body: &[u8]) -> Result<Asked, Problem> {
    let wanted: Wanted = reply::body(body)?;
    let invalid = |error: &dyn std::fmt::Display| Problem::new(Kind::Invalid, "invalid_body", error.to_string());
    let namespace = wanted.namespace.as_deref().map(Namespace::parse).transpose().map_err(|error| invalid(&error))?;
    let table = wanted.table.as_deref().map(Table::parse).transpose().map_err(|error| invalid(&error))?;
    if table.is_some() && namespace.is_none() {
        return Err(invalid(&"a table is told with its namespace"));
    }
    // Without a namespace it is about those of whoever asks.
    match &namespace {
        Some(namespace) => principal.check(Scope::Admin, namespace)?,
        None => principal.check_scope(Scope::Admin)?,
    }
    let mut tables = publisher.tables(namespace.as_ref());
    tables.retain(|(namespace, _)| principal.may_admin(namespace));
    tables.retain(|(_, one)| table.as_ref().is_none_or(|table| table == one));
    tables.retain(|(namespace, table)| publisher.is_there(namespace, table));
    if tables.is_empty() && namespace.is_some() {
        return Err(Problem::new(
            Kind::NotFound,
            "unknown_table",
            "there is no such table: see information_schema.tables",
        ));
    }
    Ok((tables, if wanted.rebuild { How::Anew } else { How::Further }))
}

fn problem(error: &CatalogError) -> Problem {
    tracing::warn!(%error, "a table was not published");
    Problem::new(error.kind(), "not_published", error.to_string())
}
