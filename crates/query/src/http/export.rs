//! Exports: `GET /v1/{namespace}/{collection}/export`, a state of a collection as one file.
//!
//! Parquet has the columns of the table. NDJSON has one change a line, which the door of changes takes in again:
//! documents exactly as they were sent, with the source times they have.

use axum::{
    extract::{
        Path, Query as Parameters, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
};
use serde::Deserialize;
use tidemark_model::{CollectionName, Kind, Namespace};
use tidemark_proto::{By, Problem};

use super::{accept::Format, answer, problem};
use crate::{CollectionRef, Export, Holds, Query, Then, door::read_instant};

/// What may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    as_of: Option<String>,
    valid_as_of: Option<String>,
    snapshot: Option<String>,
    r#where: Option<String>,
    #[serde(default)]
    format: FileFormat,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileFormat {
    #[default]
    Ndjson,
    Parquet,
}

pub(super) async fn export(
    State(query): State<Query>,
    By(principal): By,
    path: Result<Path<(String, String)>, PathRejection>,
    asked: Result<Parameters<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let invalid = |detail: String| Problem::new(Kind::Invalid, "invalid_request", detail);
    let Path((namespace, collection)) = path.map_err(|e| invalid(e.body_text()))?;
    let Parameters(asked) = asked.map_err(|e| invalid(e.body_text()))?;
    let instant = |text: &Option<String>| text.as_deref().map(read_instant).transpose().map_err(invalid);
    let (format, holds) = match asked.format {
        FileFormat::Ndjson => (Format::Changes, Holds::Documents),
        FileFormat::Parquet => (Format::Parquet, Holds::Columns),
    };
    let export = Export {
        principal,
        of: CollectionRef {
            namespace: Namespace::parse(&namespace).map_err(|e| invalid(e.to_string()))?,
            collection: CollectionName::parse(&collection).map_err(|e| invalid(e.to_string()))?,
        },
        then: Then { as_of: instant(&asked.as_of)?, valid_as_of: instant(&asked.valid_as_of)? },
        snapshot: asked.snapshot,
        predicate: asked.r#where,
        holds,
    };
    let answer = query.export(&export).await.map_err(|e| problem(&e))?;
    answer::respond(answer, format).await.map_err(|e| problem(&e))
}
