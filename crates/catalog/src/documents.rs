//! Which documents of a collection live: what ingest has to know where a source deletes them all without naming one.
//!
//! Another trait of what rooms share at run time, passed in by the server: the query room knows, ingest asks.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tidemark_model::{CollectionName, Instant, Kind, Namespace};

/// The question was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unanswered {
    /// What it means to the caller.
    pub kind: Kind,
    /// What happened and what to do.
    pub detail: String,
}

/// Ids of documents, some at a time.
pub type LiveIds = BoxStream<'static, Result<Vec<String>, Unanswered>>;

/// Knows which documents live.
#[async_trait]
pub trait Documents: Send + Sync + Debug {
    /// The ids of the documents of a collection that live now, in no order; with an instant of source time, of those that
    /// lived then, as far as is known now. None of a collection that does not exist.
    async fn live(&self, of: (&Namespace, &CollectionName), upto: Option<Instant>) -> Result<LiveIds, Unanswered>;
}
