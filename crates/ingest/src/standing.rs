//! Dropping: nothing is added to what was dropped, and an erased name begins anew.
//!
//! An append holds the turn of [`Room::stands`] from the check until it is durable. Whoever changes a standing says so
//! first, which refuses what comes, and waits for those who were let on: so nothing of what was dropped is appended behind
//! the drop, and a flush after it has all there is. The register is written when nobody is held up by it any more.
//!
//! Where the register does not answer nobody knows whether what was said holds: nothing is added to the name until
//! [`Ingest::settle`] has learned it.
//!
//! What is remembered of an erased name is forgotten with the word that it is erased, before anybody may add to it again: two
//! erasures may be of the same system time, and a request is judged by what was declared before it is looked at whether its
//! names are there. Where another process said that word, it is forgotten when somebody adds to the name.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use tidemark_catalog::Commit;
use tidemark_model::{CollectionName, Instant, Namespace, Standing};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::{
    batch::Group,
    dedup::lock,
    error::Error,
    flush::publish::{ATTEMPTS_MAX, crowded},
    front::{Ingest, Room},
    metrics::Step,
};

/// A namespace, or a collection of it.
type Of = (Namespace, Option<CollectionName>);

/// What ingest holds of what becomes of names.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    /// Read by whoever adds, written for a moment by whoever changes a standing.
    gate: RwLock<()>,
    changing: Mutex<HashSet<Of>>,
    /// The names of which something was said whose outcome is unknown.
    unsettled: Mutex<HashSet<Of>>,
    /// The erased names of which nothing is remembered any more, and up to which system time they were erased.
    forgotten: Mutex<HashMap<Of, Instant>>,
}

/// A name whose standing is being changed; nobody adds to it.
struct Changing<'r> {
    standings: &'r Standings,
    of: Of,
}

/// Something that is being said of a name. Dropped before it is known to hold, it leaves the name unsettled.
pub(crate) struct Saying<'r> {
    standings: &'r Standings,
    of: Option<Of>,
}

impl Saying<'_> {
    /// It holds.
    pub(crate) fn holds(mut self) {
        self.of = None;
    }
}

impl Drop for Saying<'_> {
    fn drop(&mut self) {
        lock(&self.standings.unsettled).extend(self.of.take());
    }
}

impl Standings {
    /// Begins to say something of a name.
    pub(crate) const fn say(&self, of: Of) -> Saying<'_> {
        Saying { standings: self, of: Some(of) }
    }

    async fn change(&self, of: Of) -> Changing<'_> {
        lock(&self.changing).insert(of.clone());
        let changing = Changing { standings: self, of };
        self.pass().await;
        changing
    }

    /// Returns when whoever was let on before has ended.
    pub(crate) async fn pass(&self) {
        drop(self.gate.write().await);
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        lock(&self.standings.changing).remove(&self.of);
    }
}

impl Room {
    /// Lets on what adds to a namespace and to these collections of it; while the answer is held, none of them is dropped.
    pub(crate) async fn stands<'c>(
        &self,
        namespace: &Namespace,
        collections: impl IntoIterator<Item = &'c CollectionName>,
    ) -> Result<RwLockReadGuard<'_, ()>, Error> {
        let turn = self.standings.gate.read().await;
        self.closing.check()?;
        self.stands_now(namespace, collections)?;
        Ok(turn)
    }

    /// Whether they are there at this moment: a request that has nothing to add is told, too.
    pub(crate) fn stands_now<'c>(
        &self,
        namespace: &Namespace,
        collections: impl IntoIterator<Item = &'c CollectionName>,
    ) -> Result<(), Error> {
        self.is_there(namespace, None)?;
        collections.into_iter().try_for_each(|name| self.is_there(namespace, Some(name)))
    }

    /// Whether a namespace is there, or may be made.
    pub(crate) fn may_be(&self, namespace: &Namespace) -> Result<(), Error> {
        let limit = self.config.namespaces_max;
        let is_new = !self.catalog.standing(namespace, None).is_some_and(|standing| standing.is_live());
        if is_new {
            namespace.may_be_made()?;
        }
        if is_new && self.catalog.namespaces().len() >= limit {
            return Err(Error::TooManyNamespaces { limit });
        }
        Ok(())
    }

    fn is_there(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Result<(), Error> {
        let of = (namespace.clone(), collection.cloned());
        let what = || collection.map_or_else(|| namespace.to_string(), |name| format!("{namespace}.{name}"));
        if lock(&self.standings.changing).contains(&of) || lock(&self.standings.unsettled).contains(&of) {
            return Err(Error::Changing { what: what() });
        }
        match self.catalog.standing(namespace, collection) {
            Some(Standing::Dropped { until, .. }) => return Err(Error::Dropped { what: what(), until }),
            Some(Standing::Erasing) => return Err(Error::Changing { what: what() }),
            Some(Standing::Erased { at }) => self.forget(of, at),
            Some(Standing::Live) | None => {}
        }
        Ok(())
    }

    /// Forgets what is remembered of a name if it is erased by now.
    fn forget_if_erased(&self, of: Of) {
        if let Some(Standing::Erased { at }) = self.catalog.standing(&of.0, of.1.as_ref()) {
            self.forget(of, at);
        }
    }

    /// Forgets what is remembered of a name that was erased, once: whoever comes second may find what was admitted since.
    fn forget(&self, of: Of, at: Instant) {
        let mut forgotten = lock(&self.standings.forgotten);
        if forgotten.get(&of) == Some(&at) {
            return;
        }
        let (namespace, collection) = (&of.0, of.1.as_ref());
        self.rules.begin_anew(&self.catalog, namespace, collection);
        self.visible.admission.begin_anew(&self.catalog, namespace, collection);
        if collection.is_none() {
            self.flusher.seen_ids.forget(namespace);
            self.flusher.seen_keys.forget(namespace);
            self.flusher.producers.forget(namespace);
        }
        forgotten.insert(of, at);
    }

    /// From which system time on these collections are what they are now: what was done before was done to what was erased
    /// under their names.
    pub(crate) fn lives_since<'c>(
        &self,
        namespace: &Namespace,
        collections: impl IntoIterator<Item = &'c CollectionName>,
    ) -> Instant {
        let erased_at = |name| self.catalog.any_collection(namespace, name)?.erased_at;
        collections.into_iter().filter_map(erased_at).max().map_or(Instant::MIN, |at| at.plus_micros(1))
    }
}

/// The collections that groups of rows are changes of.
pub(crate) fn collections(groups: &[Group]) -> impl Iterator<Item = &CollectionName> {
    groups.iter().filter_map(|group| group.collection.as_ref())
}

impl Ingest {
    /// Says what became of a namespace or a collection, once what is being added to it is durable.
    ///
    /// # Errors
    /// [`Error`] of the catalog.
    pub async fn stand(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
        standing: Standing,
    ) -> Result<(), Error> {
        let room = &self.room;
        let of = (namespace.clone(), collection.cloned());
        let _changing = room.standings.change(of.clone()).await;
        if let Standing::Erased { .. } = standing {
            // Another erasure than the last one, though it may be of the same system time. Nobody adds to the name until it is said.
            lock(&room.standings.forgotten).remove(&of);
        }
        let saying = room.standings.say(of.clone());
        room.catalog.stand(namespace, collection, standing).await?;
        saying.holds();
        room.forget_if_erased(of);
        Ok(())
    }

    /// Learns what became of the names of which something was said whose outcome is unknown, and lets on what adds to them.
    ///
    /// # Errors
    /// [`Error`] of the catalog; it is unknown still.
    pub async fn settle(&self) -> Result<(), Error> {
        let room = &self.room;
        let unsettled = lock(&room.standings.unsettled).clone();
        room.catalog.settle().await?;
        for of in unsettled {
            room.forget_if_erased(of.clone());
            room.rules.learn(&room.catalog, &of.0, of.1.as_ref());
            lock(&room.standings.unsettled).remove(&of);
        }
        Ok(())
    }

    /// Waits until nothing changes the standing of a collection, or of a namespace, and refuses where it is not there; while
    /// the answer is held, none of it is dropped.
    ///
    /// # Errors
    /// [`Error::Dropped`], [`Error::Changing`].
    pub async fn stands(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
    ) -> Result<RwLockReadGuard<'_, ()>, Error> {
        let turn = self.room.standings.gate.read().await;
        self.room.stands_now(namespace, collection)?;
        Ok(turn)
    }

    /// Lets go what was refused of a namespace, or of a collection of it.
    ///
    /// # Errors
    /// [`Error`] of the store; asked again it goes on.
    pub async fn erase_rejected(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
    ) -> Result<(), Error> {
        self.room.rejects.erase(namespace, collection).await
    }

    /// Lets all events of a namespace go, with the ids and keys that were remembered; its positions and its system time go on.
    /// All that was acknowledged must be in files ([`Ingest::flush`]).
    ///
    /// # Errors
    /// [`Error`] of the catalog; asked again it goes on.
    pub async fn erase_events(&self, namespace: &Namespace) -> Result<(), Error> {
        let room = &self.room;
        let _turn = room.upkeep.turn().await;
        for _attempt in 0..ATTEMPTS_MAX {
            let on = room.catalog.events(namespace);
            if on.files.is_empty() && on.sidecars.is_empty() {
                return Ok(());
            }
            room.upkeep.point(Step::Erase, "written").await;
            if let Commit::Committed(manifest) = room.catalog.commit_events(namespace, &on, on.begun_anew()).await? {
                room.metrics.step(Step::Erase, "committed");
                tracing::info!(%namespace, version = manifest.head.version, files = on.files.len(), "events were erased");
                room.upkeep.point(Step::Erase, "committed").await;
                return Ok(());
            }
            room.metrics.commit_lost();
        }
        Err(crowded(namespace))
    }
}
