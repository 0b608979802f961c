//! Committing and finding the manifests of tables.
//!
//! A commit creates entry `on + 1`. Whoever finds the number taken learns the newest manifest instead, and whoever
//! finds a newer epoch in it is fenced.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Monotonic},
};

use tidemark_model::Instant;
use tidemark_storage::{
    ObjectPath, Store,
    register::{Created, Register},
};

use super::{CatalogError, Commit, owner::Owner};
use crate::manifest::{
    Head,
    stored::{self, Manifest},
};

/// The copy of a manifest for people is written at most this often, per table, from the end of one write to the beginning
/// of the next: some stores take one write of a name in a second.
const COPY_INTERVAL: Duration = Duration::from_secs(1);

/// A commit to be made: who, when, under which put id.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) owner: &'a Owner,
    pub(crate) put_id: String,
    pub(crate) at: Instant,
}

impl Attempt<'_> {
    /// Commits `next` as the successor of `on`.
    pub(super) async fn commit<M: Manifest>(
        self,
        register: &Register,
        on: &Head,
        mut next: M,
    ) -> Result<Commit<M>, CatalogError> {
        self.owner.admits(on.epoch)?;
        self.owner.check().await?;
        let version = on.version + 1;
        *next.head_mut() = Head {
            format: crate::manifest::FORMAT,
            version,
            epoch: self.owner.epoch,
            put_id: self.put_id,
            committed_at: self.at,
            orphans_below: next.head().orphans_below.max(on.orphans_below),
        };
        let body = stored::compressed(stored::to_json(&next)?)?;
        match register.create(version, body).await? {
            Created::Won => Ok(Commit::Committed(Arc::new(next))),
            Created::Lost | Created::Fenced => {
                let latest = newest::<M>(register, Some(version)).await?;
                let latest = latest.ok_or_else(|| CatalogError::unreadable(&register.path(version), "it is gone"))?;
                self.owner.admits(latest.head().epoch)?;
                Ok(Commit::Lost { latest: Arc::new(latest) })
            }
        }
    }
}

/// The newest manifest of a table.
pub(crate) async fn newest<M: Manifest>(register: &Register, hint: Option<u64>) -> Result<Option<M>, CatalogError> {
    match register.latest(hint).await? {
        Some((version, bytes)) => stored::decode(register.path(version).as_ref(), &bytes).map(Some),
        None => Ok(None),
    }
}

/// The best-effort copies of manifests (`manifest.json`): for people, and as hints for cold starts.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<HashMap<ObjectPath, Written>>);

/// When a copy was written last.
#[derive(Debug, Clone, Copy)]
enum Written {
    /// It is being written.
    Now,
    /// Its write ended.
    At(Monotonic),
}

/// A write under way; however it ends, its end is noted.
#[derive(Debug)]
struct Writing<'a> {
    copies: &'a Copies,
    path: &'a ObjectPath,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.copies.noted().insert(self.path.clone(), Written::At(Monotonic::now()));
    }
}

impl Copies {
    /// Writes a copy, unless one was written just now. A failure costs a hint and is no one's error.
    pub(crate) async fn offer<M: Manifest>(&self, store: &Store, path: &ObjectPath, manifest: &M) {
        let Some(_writing) = self.begin(path) else { return };
        let written = match stored::to_json(manifest) {
            Ok(json) => store.put(path, json).await.map_err(CatalogError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::debug!(%path, %error, "the copy of a manifest was not written");
        }
    }

    /// Begins the write that is due.
    fn begin<'a>(&'a self, path: &'a ObjectPath) -> Option<Writing<'a>> {
        let mut written = self.noted();
        match written.get(path) {
            Some(Written::Now) => return None,
            Some(Written::At(at)) if at.elapsed() < COPY_INTERVAL => return None,
            _ => {}
        }
        written.insert(path.clone(), Written::Now);
        Some(Writing { copies: self, path })
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<ObjectPath, Written>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version a copy tells, if it can be read.
pub(crate) async fn hint<M: Manifest>(store: &Store, path: &ObjectPath) -> Option<u64> {
    let bytes = store.get(path).await.ok()?;
    stored::decode::<M>(path.as_ref(), &bytes).ok().map(|manifest| manifest.head().version)
}
