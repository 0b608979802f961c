//! What somebody says about collections — schemas they declare, how long the past is kept, whether they are there — as one
//! entry of the register, durable before the answer.
//!
//! Nothing of it goes through the log: a declaration binds the requests that come after its answer, and replay does not
//! judge again.

use std::sync::Arc;

use tidemark_model::{
    CollectionName, Namespace, Retention, Standing, Stood,
    declared::{Declared, Strictness},
    retention::Kept,
};
use tidemark_storage::{paths, register::Created};
use tokio::sync::MutexGuard;

use super::{
    Catalog, CatalogError, Journal, PERSIST_ATTEMPTS,
    journal::{self, Content, Entry, NamespaceChanges},
    state::State,
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
        let mut journal = self.journal().await?;
        for _attempt in 0..PERSIST_ATTEMPTS {
            if self.retention_said(namespace, collection) == retention {
                return Ok(());
            }
            let kept = Kept { collection: collection.cloned(), retention };
            let news = NamespaceChanges { retention: vec![kept], ..NamespaceChanges::of(namespace.clone()) };
            self.tell(&mut journal, vec![news]).await?;
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
        let mut journal = self.journal().await?;
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
            self.tell(&mut journal, vec![news]).await?;
        }
        Err(without_pause())
    }

    /// What became of a namespace, or of a collection; `None` of one that was never there.
    #[must_use]
    pub fn standing(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Option<Standing> {
        let state = self.state();
        let known = state.namespaces.get(namespace)?;
        match collection {
            None => Some(known.standing),
            Some(name) => known.collections.get(name).map(|collection| collection.known.standing),
        }
    }

    /// The namespaces, and the collections of those that are there, that were dropped and are not erased yet.
    #[must_use]
    pub fn away(&self) -> Vec<(Namespace, Option<CollectionName>, Standing)> {
        let is_away = |standing: Standing| matches!(standing, Standing::Dropped { .. } | Standing::Erasing);
        let mut away = Vec::new();
        for (namespace, known) in &self.state().namespaces {
            if is_away(known.standing) {
                away.push((namespace.clone(), None, known.standing));
            } else if known.standing.is_live() {
                let collections = known.collections.values().map(|collection| &collection.known);
                let gone = collections.filter(|collection| is_away(collection.standing));
                away.extend(gone.map(|gone| (namespace.clone(), Some(gone.name.clone()), gone.standing)));
            }
        }
        away
    }

    /// Says what became of a namespace or a collection. Of an erased one what was declared and said of its past goes too, and a
    /// namespace takes its collections along.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn stand(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
        standing: Standing,
    ) -> Result<(), CatalogError> {
        // What the entry speaks of has to be in the register before it.
        self.persist(namespace).await?;
        let mut journal = self.journal().await?;
        for _attempt in 0..PERSIST_ATTEMPTS {
            if self.standing(namespace, collection).is_none_or(|stands| stands == standing) {
                return Ok(());
            }
            let stood = Stood { collection: collection.cloned(), standing };
            let news = NamespaceChanges { standings: vec![stood], ..NamespaceChanges::of(namespace.clone()) };
            self.tell(&mut journal, vec![news]).await?;
        }
        Err(without_pause())
    }

    /// Learns whether what was told last holds, where its outcome stayed unknown.
    ///
    /// # Errors
    /// [`CatalogError`]; it is unknown still.
    pub async fn settle(&self) -> Result<(), CatalogError> {
        self.journal().await.map(drop)
    }

    /// The turn of whoever writes to the register, once everything in it is known. What a failed write left behind would hold
    /// only when the next entry is written, or after a restart, perhaps long after its teller was told that it failed.
    pub(super) async fn journal(&self) -> Result<MutexGuard<'_, Journal>, CatalogError> {
        let mut journal = self.0.journal.lock().await;
        if journal.is_unsettled {
            self.tell(&mut journal, Vec::new()).await?;
        }
        Ok(journal)
    }

    /// Writes one entry with the news, or learns what is there in its place. The state says which.
    async fn tell(&self, journal: &mut Journal, news: Vec<NamespaceChanges>) -> Result<(), CatalogError> {
        self.0.owner.check().await?;
        let (version, at) = (journal.newest + 1, self.0.clock.now());
        let put_id = self.0.ids.ulid(at).to_string();
        let of = |content| Entry::new(version, self.epoch(), put_id.clone(), at, content);
        let entry = of(self.told(version, news.clone()));
        let encoded = entry.encode()?;
        journal.is_unsettled = true;
        let there = match journal.register.create(version, encoded).await? {
            // Of an entry that holds everything the news alone: appends have gone on meanwhile.
            Created::Won => of(Content::Changes(news)),
            Created::Lost | Created::Fenced => journal::read(&journal.register, version).await?,
        };
        self.0.owner.admits(there.epoch)?;
        self.state_mut().absorb(&there);
        (journal.newest, journal.is_unsettled) = (version, false);
        Ok(())
    }

    fn told(&self, version: u64, news: Vec<NamespaceChanges>) -> Content {
        let news = Content::Changes(news);
        if !Entry::is_checkpoint(version) {
            return news;
        }
        // Everything there is, with the news.
        let mut state = State::new(self.0.store.clone());
        let at = self.0.clock.now();
        for content in [Content::Checkpoint(self.state().checkpoint()), news] {
            state.absorb(&Entry::new(version, self.epoch(), String::new(), at, content));
        }
        Content::Checkpoint(state.checkpoint())
    }
}

pub(super) fn without_pause() -> CatalogError {
    CatalogError::unreadable(&paths::catalog(), "another process writes to it without pause")
}
