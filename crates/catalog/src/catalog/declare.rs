//! Declaring schemas: one entry of the register, durable before the answer. Nothing of it goes through the log: a
//! declaration binds the requests that come after its answer, and replay does not judge again.

use std::sync::Arc;

use tidemark_model::{
    CollectionName, Namespace,
    declared::{Declared, Strictness},
};
use tidemark_storage::{paths, register::Created};

use super::{
    Catalog, CatalogError, PERSIST_ATTEMPTS,
    journal::{self, Content, Entry, NamespaceChanges, NamespaceRecord},
};

impl Catalog {
    /// Every version of the declared schema of a collection, oldest first.
    #[must_use]
    pub fn declared(&self, namespace: &Namespace, collection: &CollectionName) -> Vec<Arc<Declared>> {
        let state = self.state();
        let versions = state.namespaces.get(namespace).and_then(|known| known.declared.get(collection));
        versions.cloned().unwrap_or_default()
    }

    /// The newest declared schema of each collection that has one.
    #[must_use]
    pub fn declared_newest(&self, namespace: &Namespace) -> Vec<Arc<Declared>> {
        let state = self.state();
        let known = state.namespaces.get(namespace);
        known
            .into_iter()
            .flat_map(|known| known.declared.values())
            .filter_map(|versions| versions.last().cloned())
            .collect()
    }

    /// Declares a schema; the same again is the version that stands.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn declare(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        strictness: Strictness,
        schema: String,
    ) -> Result<Arc<Declared>, CatalogError> {
        let mut journal = self.0.journal.lock().await;
        for _attempt in 0..PERSIST_ATTEMPTS {
            let newest = self.declared(namespace, collection).pop();
            if let Some(same) = newest.as_ref().filter(|known| known.strictness == strictness && known.schema == schema)
            {
                return Ok(Arc::clone(same));
            }
            self.0.owner.check().await?;
            let (at, schema, collection) = (self.0.clock.now(), schema.clone(), collection.clone());
            let version = newest.map_or(1, |known| known.version + 1);
            let declared = Declared { collection, version, declared_at: at, strictness, schema };
            let content = self.with_declared(journal.newest + 1, namespace, declared.clone());
            let put_id = self.0.ids.ulid(at).to_string();
            let entry = Entry::new(journal.newest + 1, self.epoch(), put_id, at, content);
            let created = journal.register.create(entry.version, entry.encode()?).await?;
            journal.newest = entry.version;
            if matches!(created, Created::Won) {
                self.state_mut().declare(namespace, &declared);
                return Ok(Arc::new(declared));
            }
            let there = journal::read(&journal.register, entry.version).await?;
            self.0.owner.admits(there.epoch)?;
            self.state_mut().absorb(&there.content);
        }
        Err(CatalogError::unreadable(&paths::catalog(), "another process writes to it without pause"))
    }

    fn with_declared(&self, version: u64, namespace: &Namespace, declared: Declared) -> Content {
        if !Entry::is_checkpoint(version) {
            let (namespace, changes, declared) = (namespace.clone(), Vec::new(), vec![declared]);
            return Content::Changes(vec![NamespaceChanges { namespace, changes, declared }]);
        }
        let mut records = self.state().checkpoint();
        match records.iter_mut().find(|record| record.namespace == *namespace) {
            Some(record) => record.declared.push(declared),
            None => {
                let (namespace, collections, declared) = (namespace.clone(), Vec::new(), vec![declared]);
                records.push(NamespaceRecord { namespace, collections, declared });
            }
        }
        Content::Checkpoint(records)
    }
}
