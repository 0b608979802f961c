//! A table as of one manifest, tail included.
//!
//! Each row is read exactly once while it moves from tail to events file to delta to state: stages are read upstream
//! first, no later step uses a copy older than the step before, and each stage is cut by the mark of the stage behind
//! it (storage.md, Reading a table).

use std::sync::Arc;

use tidemark_model::{Namespace, Table};

use crate::{Behind, Catalog, Collection, CollectionManifest, EventsManifest, LiveTail, Tail, manifest::EventsFile};

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
        let _ = (catalog, live, namespace, table);
        todo!()
    }

    /// The events files that hold changes of this collection after its mark; of the events table every file.
    pub fn pending_files(&self) -> impl Iterator<Item = &EventsFile> {
        self.events.files.iter()
    }
}
