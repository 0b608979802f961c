//! A table as of one manifest, tail included.
//!
//! Each row is read exactly once while it moves from tail to events file to delta to state: stages are read upstream
//! first, no later step uses a copy older than the step before, and each stage is cut by the mark of the stage behind
//! it (storage.md, Reading a table). In steps:
//!
//! 1. take the events manifest, then ask the tail for what lies after its mark: together they are complete as of the
//!    tail's answer, and no row is in both;
//! 2. read the collection's manifest, which by now may have gone further than that events manifest;
//! 3. cut tail and events files by the collection's mark.

mod snapshots;

use std::sync::Arc;

use arrow::{
    array::{Int64Array, RecordBatch},
    compute::{filter_record_batch, kernels::cmp},
    error::ArrowError,
};
use tidemark_model::{CollectionName, Namespace, Seq, Table};

pub use self::snapshots::Held;
use crate::{Behind, Catalog, Collection, CollectionManifest, EventsManifest, LiveTail, Tail, manifest::EventsFile};

/// How often a view is read anew because the tail moved on between its two steps.
const ATTEMPTS: usize = 32;
/// The column of a tail that holds the sequence.
const SEQ: &str = "_seq";

/// One consistent view of one table.
#[derive(Debug, Clone)]
pub struct View {
    /// The namespace.
    pub namespace: Namespace,
    /// The table.
    pub table: Table,
    /// The events manifest of the namespace.
    pub events: Arc<EventsManifest>,
    /// Of a collection: what the catalog knows of it, with the schema of its newest row, and its manifest.
    pub collection: Option<(Arc<Collection>, Arc<CollectionManifest>)>,
    /// Durable rows after the marks of what is above, in order of position.
    pub tail: Tail,
}

impl View {
    /// Reads a view: tail after the events mark, then the collection's manifest, and cuts.
    ///
    /// # Errors
    /// [`Behind`] when the tail moved on more often than is plausible.
    pub async fn read(
        catalog: &Catalog,
        live: &dyn LiveTail,
        namespace: &Namespace,
        table: &Table,
    ) -> Result<Self, Behind> {
        for _attempt in 0..ATTEMPTS {
            let events = catalog.events(namespace);
            match live.tail(namespace, table, &events.mark).await {
                Ok(tail) => return Self::cut(catalog, (namespace, table), events, tail),
                Err(Behind) => catalog.metrics().view_rebuilt(),
            }
            tokio::task::yield_now().await;
        }
        Err(Behind)
    }

    fn cut(
        catalog: &Catalog,
        (namespace, table): (&Namespace, &Table),
        events: Arc<EventsManifest>,
        tail: Tail,
    ) -> Result<Self, Behind> {
        let (namespace, table) = (namespace.clone(), table.clone());
        let collection = match &table {
            Table::Events => None,
            Table::Collection(name) => known(catalog, &namespace, name),
        };
        let tail = match &collection {
            Some((known, manifest)) if manifest.mark > events.mark.seq(known.shard) => after(tail, manifest.mark)?,
            _ => tail,
        };
        Ok(Self { namespace, table, events, collection, tail })
    }

    /// The events files that hold changes of this collection after its mark; of the events table every file.
    pub fn pending_files(&self) -> impl Iterator<Item = &EventsFile> {
        self.events.files.iter().filter(|file| match (&self.table, &self.collection) {
            (Table::Events, _) => true,
            (Table::Collection(name), Some((_known, manifest))) => holds_after(file, name, manifest.mark),
            (Table::Collection(_), None) => false,
        })
    }
}

fn known(
    catalog: &Catalog,
    namespace: &Namespace,
    name: &CollectionName,
) -> Option<(Arc<Collection>, Arc<CollectionManifest>)> {
    // The manifest first: what the catalog knows of the collection is then not older than the manifest's schema.
    let manifest = catalog.manifest(namespace, name);
    catalog.any_collection(namespace, name).map(|known| (known, manifest))
}

fn holds_after(file: &EventsFile, name: &CollectionName, mark: Seq) -> bool {
    file.collections.iter().any(|held| held.collection == *name && held.seq.max > mark)
}

/// The rows of a collection's tail after its mark. A tail without positions cannot be cut, so it counts as behind.
fn after(tail: Tail, mark: Seq) -> Result<Tail, Behind> {
    let cut = tail.batches.iter().map(|batch| rows_after(batch, mark));
    let batches: Vec<RecordBatch> = cut.collect::<Result<_, ArrowError>>().map_err(|error| {
        tracing::error!(%error, "the live tail has rows without positions");
        Behind
    })?;
    Ok(Tail { batches: batches.into_iter().filter(|batch| batch.num_rows() > 0).collect() })
}

fn rows_after(batch: &RecordBatch, mark: Seq) -> Result<RecordBatch, ArrowError> {
    let seq = batch.column_by_name(SEQ).ok_or_else(|| ArrowError::SchemaError(format!("{SEQ} is missing")))?;
    filter_record_batch(batch, &cmp::gt(seq, &Int64Array::new_scalar(mark))?)
}

#[cfg(test)]
mod tests;
