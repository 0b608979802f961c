//! Compaction now: `POST /v1/compact`. The jobs of the process do the same by themselves, later and only where it is due.
//!
//! Two rooms are composed: the change room takes in and folds what waits, so that ingest may put all small files of the
//! events table together.

use axum::{Router, extract::State, response::Response, routing::post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_catalog::Catalog;
use tidemark_cdc::Cdc;
use tidemark_ingest::Ingest;
use tidemark_model::{CollectionName, Kind, Namespace, Principal, Scope};
use tidemark_proto::{By, Problem};

use crate::reply::{self, answer, json, problem};

/// Compacts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Compactor {
    /// Who exists.
    pub catalog: Catalog,
    /// Compacts events.
    pub ingest: Ingest,
    /// Compacts collections.
    pub cdc: Cdc,
}

/// What was done with a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// `namespace.table`.
    pub table: String,
    /// Commits that it took; none where nothing was to do.
    pub commits: u64,
    /// Files of the newest manifest before and after.
    pub files_before: u64,
    /// See `files_before`.
    pub files_after: u64,
    /// Their bytes before and after.
    pub bytes_before: u64,
    /// See `bytes_before`.
    pub bytes_after: u64,
}

impl Done {
    fn of(table: String, commits: u64, files: [u64; 2], bytes: [u64; 2]) -> Self {
        let ([files_before, files_after], [bytes_before, bytes_after]) = (files, bytes);
        Self { table, commits, files_before, files_after, bytes_before, bytes_after }
    }
}

impl Compactor {
    /// Compacts one collection and the events of its namespace, or a namespace as a whole.
    ///
    /// # Errors
    /// The first problem; what was done before stays.
    pub async fn compact(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
    ) -> Result<Vec<Done>, Problem> {
        // What was acknowledged until now is meant too.
        self.ingest.flush(namespace).await.map_err(Problem::from)?;
        let all = || self.catalog.collections(namespace).iter().map(|known| known.name.clone()).collect();
        let names: Vec<CollectionName> = collection.map_or_else(all, |one| vec![one.clone()]);
        let mut done = Vec::with_capacity(names.len() + 1);
        for name in names {
            let compacted = self.cdc.compact((namespace, &name)).await.map_err(|error| problem(&error))?;
            let table = format!("{namespace}.{name}");
            done.push(Done::of(table, compacted.commits, compacted.files, compacted.bytes));
        }
        let events = self.ingest.compact(namespace).await.map_err(Problem::from)?;
        done.push(Done::of(format!("{namespace}.events"), events.commits, events.files, events.bytes));
        tracing::info!(%namespace, collection = collection.map(CollectionName::as_str), "compacted on demand");
        Ok(done)
    }
}

/// The route.
pub fn router(compactor: Compactor) -> Router {
    Router::new().route("/v1/compact", post(compact)).with_state(compactor)
}

/// The body; empty is `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Only this namespace.
    namespace: Option<String>,
    /// Only this collection of it, and its events.
    collection: Option<String>,
}

async fn compact(State(compactor): State<Compactor>, By(principal): By, body: Bytes) -> Response {
    let done = async {
        let (namespaces, collection) = asked(&compactor.catalog, &principal, &body)?;
        let mut tables = Vec::new();
        for namespace in &namespaces {
            tables.extend(compactor.compact(namespace, collection.as_ref()).await?);
        }
        Ok(json(&serde_json::json!({ "tables": tables })))
    };
    answer(done.await)
}

type Asked = (Vec<Namespace>, Option<CollectionName>);

fn asked(catalog: &Catalog, principal: &Principal, body: &[u8]) -> Result<Asked, Problem> {
    let Wanted { namespace, collection } = reply::body(body)?;
    let invalid = |detail: String| Problem::new(Kind::Invalid, "invalid_body", detail);
    let namespace = namespace.as_deref().map(Namespace::parse).transpose().map_err(|e| invalid(e.to_string()))?;
    let collection =
        collection.as_deref().map(CollectionName::parse).transpose().map_err(|e| invalid(e.to_string()))?;
    // Without a namespace it is about those of whoever asks.
    let Some(namespace) = namespace else {
        if collection.is_some() {
            return Err(invalid("a collection is told with its namespace".to_owned()));
        }
        principal.check_scope(Scope::Admin)?;
        let all = catalog.namespaces().into_iter().filter(|namespace| principal.may_admin(namespace));
        return Ok((all.collect(), None));
    };
    principal.check(Scope::Admin, &namespace)?;
    if !catalog.namespaces().contains(&namespace) {
        let detail = format!("there is no namespace {namespace}: see system.namespaces");
        return Err(Problem::new(Kind::NotFound, "unknown_namespace", detail));
    }
    Ok((vec![namespace], collection))
}
