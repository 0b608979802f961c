//! Dropping: nothing is added to what was dropped, and an erased name begins anew.
//!
//! An append holds the turn of [`Room::stands`] from the check until it is durable; whoever changes a standing waits until
//! nobody does. So nothing of what was dropped is appended behind the drop, and a flush after it has all there is.

use tidemark_catalog::Commit;
use tidemark_model::{CollectionName, Namespace, Standing};
use tokio::sync::RwLockReadGuard;

use crate::{
    batch::Group,
    error::Error,
    flush::publish::{ATTEMPTS_MAX, crowded},
    front::{Ingest, Room},
    metrics::Step,
};

impl Room {
    /// Lets on what adds to a namespace and to these collections of it; while the answer is held, none of them is dropped.
    pub(crate) async fn stands<'c>(
        &self,
        namespace: &Namespace,
        collections: impl IntoIterator<Item = &'c CollectionName>,
    ) -> Result<RwLockReadGuard<'_, ()>, Error> {
        let turn = self.standings.read().await;
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

    fn is_there(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Result<(), Error> {
        let what = || collection.map_or_else(|| namespace.to_string(), |name| format!("{namespace}.{name}"));
        match self.catalog.standing(namespace, collection) {
            Some(Standing::Dropped { until, .. }) => Err(Error::Dropped { what: what(), until }),
            Some(Standing::Erasing) => Err(Error::Erasing { what: what() }),
            Some(Standing::Live | Standing::Erased { .. }) | None => Ok(()),
        }
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
        let _nobody_adds = room.standings.write().await;
        room.catalog.stand(namespace, collection, standing).await?;
        if let Standing::Erased { .. } = standing {
            room.rules.forget(namespace, collection);
            room.visible.admission.begin_anew(&room.catalog, namespace, collection);
            if collection.is_none() {
                room.flusher.seen_ids.forget(namespace);
                room.flusher.seen_keys.forget(namespace);
                room.flusher.producers.forget(namespace);
            }
        }
        Ok(())
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
