//! Ids and order of documents that are deleted: the tombstones of the base, and the deletes of the overlay.
//!
//! A tombstone of the base whose document came back since is told too, so whoever asks looks at the documents first, and
//! takes the greatest order of an id.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    execution::memory_pool::MemoryConsumer,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use tidemark_catalog::{Collection, CollectionManifest, View};
use tidemark_fold::columns;

use super::{At, Reader, base::BaseScan, overlay, provider::Wanted, width::Width};
use crate::plan::{session::environment, shape};

/// The dead of one collection.
#[derive(Debug)]
pub(crate) struct Deleted {
    view: Arc<View>,
    known: (Arc<Collection>, Arc<CollectionManifest>),
    at: At,
    reader: Arc<Reader>,
}

impl Deleted {
    /// The dead of a view of a collection; `None` for a view of something else.
    pub(crate) fn new(view: Arc<View>, at: At, reader: Arc<Reader>) -> Option<Self> {
        let known = view.collection.clone()?;
        Some(Self { view, known, at, reader })
    }
}

#[async_trait]
impl TableProvider for Deleted {
    fn schema(&self) -> SchemaRef {
        shape::viewed(&columns::tombstones_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Wanted { columns: self.schema(), projection: projection.cloned() };
        // What decides is carried in every width.
        let width = Width::of(Some(&[]));
        let memory = MemoryConsumer::new("an overlay").register(&environment(state).memory_pool);
        let asks = overlay::Asks { at: self.at, width, id: None, memory: &memory };
        let overlay = overlay::of(&self.reader, &self.view, &self.known, &asks).await?;
        let Self { reader, known, at, .. } = self;
        let scan = BaseScan { reader, known, at: *at, wanted: &wanted, filters: &[], state };
        let mut inputs = scan.tombstones()?;
        inputs.extend(wanted.memory(&[overlay::deletes(&overlay.winners)?], Vec::new())?);
        wanted.united(inputs)
    }
}
