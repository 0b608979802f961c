//! What somebody says about collections — schemas they declare, how long the past is kept — as one entry of the register,
//! durable before the answer.
//!
//! Nothing of it goes through the log: a declaration binds the requests that come after its answer, and replay does not
//! judge again.

use std::sync::Arc;

use tidemark_model::{
    CollectionName, Namespace, Retention,
    declared::{Declared, Strictness},
    retention::Kept,
};
use tidemark_storage::{paths, register::Created};

use super::{
    Catalog, CatalogError, Journal, PERSIST_ATTEMPTS,
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

    /// What was said about how long the past is kept: of a collection, or of a namespace.
    #[must_use]
    pub fn retention_said(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Retention {
        let state = self.state();
        let known = state.namespaces.get(namespace);
        known.and_then(|known| known.retention.get(&collection.cloned())).copied().unwrap_or_default()
    }

    /// How long the past of a collection is kept, as far as it was said: of itself, then of its namespace.
    #[must_use]
    pub fn retention(&self, namespace: &Namespace, collection: &CollectionName) -> Retention {
        self.retention_said(namespace, Some(collection)).or(self.retention_said(namespace, None))
    }

    /// Says how long the past is kept; saying nothing takes back what was said.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn keep(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
        retention: Retention,
    ) -> Result<(), CatalogError> {
        let mut journal = self.0.journal.lock().await;
        for _attempt in 0..PERSIST_ATTEMPTS {
            if self.retention_said(namespace, collection) == retention {
                return Ok(());
            }
            let kept = Kept { collection: collection.cloned(), retention };
            let news = NamespaceChanges { retention: vec![kept], ..NamespaceChanges::of(namespace.clone()) };
            self.tell(&mut journal, news).await?;
        }
        Err(without_pause())
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
            let (declared_at, schema, collection) = (self.0.clock.now(), schema.clone(), collection.clone());
            let version = newest.map_or(1, |known| known.version + 1);
            let declared = Declared { collection, version, declared_at, strictness, schema };
            let news = NamespaceChanges { declared: vec![declared], ..NamespaceChanges::of(namespace.clone()) };
            self.tell(&mut journal, news).await?;
        }
        Err(without_pause())
    }

    /// Writes one entry with the news, or learns what another wrote in its place. The state says which.
    async fn tell(&self, journal: &mut Journal, news: NamespaceChanges) -> Result<(), CatalogError> {
        self.0.owner.check().await?;
        let (version, at) = (journal.newest + 1, self.0.clock.now());
        let put_id = self.0.ids.ulid(at).to_string();
        let entry = Entry::new(version, self.epoch(), put_id, at, self.told(version, news));
        let created = journal.register.create(entry.version, entry.encode()?).await?;
        journal.newest = entry.version;
        let there = match created {
            Created::Won => entry,
            Created::Lost | Created::Fenced => journal::read(&journal.register, version).await?,
        };
        self.0.owner.admits(there.epoch)?;
        self.state_mut().absorb(&there);
        Ok(())
    }

    fn told(&self, version: u64, news: NamespaceChanges) -> Content {
        if !Entry::is_checkpoint(version) {
            return Content::Changes(vec![news]);
        }
        let mut records = self.state().checkpoint();
        match records.iter_mut().find(|record| record.namespace == news.namespace) {
            Some(record) => record.add(news),
            None => {
                let (namespace, collections) = (news.namespace.clone(), Vec::new());
                let (declared, retention) = (Vec::new(), Vec::new());
                let mut record = NamespaceRecord { namespace, collections, declared, retention };
                record.add(news);
                records.push(record);
            }
        }
        Content::Checkpoint(records)
    }
}

fn without_pause() -> CatalogError {
    CatalogError::unreadable(&paths::catalog(), "another process writes to it without pause")
}
