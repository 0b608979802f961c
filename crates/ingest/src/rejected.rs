//! What was refused while the rest of its request was taken, kept for whoever looks for it later (`system.rejected`).
//!
//! 1. Reading a request notes its refused records ([`Noted`]), up to [`NOTED_MAX`] and [`NOTED_BYTES_MAX`] of text.
//! 2. [`Rejects::keep`] writes them as one object ([`stored`]) before the request is appended: who got a receipt finds what it
//!    tells of, also after a crash. A request whose append fails and that is sent again may be noted twice.
//! 3. All that is kept is in memory too, within [`Caps`]: the oldest go first. Many small objects become one now and then,
//!    and with them goes what is past its time.
//!
//! Requests without refused records, and an idle lake, write nothing.

mod stored;

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use tidemark_catalog::{Catalog, Rejects as Told};
use tidemark_model::{Clock, CollectionName, Ids, Instant, Namespace, Rejected};
use tidemark_proto::problem::RecordError;
use tidemark_storage::{ObjectPath, Store, StoreError, paths};
use tokio::sync::RwLock;

use crate::{config::Config, dedup::lock, error::Error, front::Ingest};

/// The most refused records of one request that are kept; the others are only counted.
pub(crate) const NOTED_MAX: usize = 1000;
/// The most bytes of text of one request that are kept: records after it are kept without their text.
pub(crate) const NOTED_BYTES_MAX: usize = 1 << 20;
/// Objects from which on they become one.
const OBJECTS_MAX: usize = 64;
/// How much longer than its time a record may stay, so that clean-up is seldom.
const OVERDUE_US: i64 = 3_600_000_000;

/// A refused record of a request.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) error: RecordError,
    /// As it was sent, or how it begins.
    pub(crate) record: Option<String>,
    pub(crate) record_bytes: usize,
}

/// What a request says of where its records come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sender {
    pub(crate) door: &'static str,
    pub(crate) collection: Option<CollectionName>,
}

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy)]
struct Caps {
    records: usize,
    bytes: usize,
    age_us: i64,
}

/// What is kept.
#[derive(Debug)]
pub(crate) struct Rejects {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    caps: Caps,
    kept: Mutex<Kept>,
    /// Held by many who add objects, or by one who makes them one.
    objects: RwLock<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    records: VecDeque<Arc<Rejected>>,
    bytes: usize,
    objects: Vec<ObjectPath>,
}

impl Kept {
    fn add(&mut self, records: impl IntoIterator<Item = Rejected>) {
        for record in records {
            self.bytes += record.bytes();
            self.records.push_back(Arc::new(record));
        }
    }

    /// Lets the oldest go until the rest is within bounds.
    fn trim(&mut self, caps: Caps) {
        while self.records.len() > caps.records || self.bytes > caps.bytes {
            self.drop_oldest();
        }
    }

    /// Lets go what is from before an instant; whether something went.
    fn forget(&mut self, before: Instant) -> bool {
        let count = self.records.len();
        while self.records.front().is_some_and(|oldest| oldest.at < before) {
            self.drop_oldest();
        }
        self.records.len() < count
    }

    /// Lets go those that are so.
    fn erase(&mut self, is_of: impl Fn(&Rejected) -> bool) {
        self.records.retain(|record| !is_of(record));
        self.bytes = self.records.iter().map(|record| record.bytes()).sum();
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.records.pop_front() {
            self.bytes -= gone.bytes();
        }
    }
}

impl Rejects {
    /// Reads what was kept. An object that cannot be read is told of and left where it is.
    pub(crate) async fn open(
        config: &Config,
        catalog: &Catalog,
        (clock, ids): (Arc<dyn Clock>, Arc<Ids>),
    ) -> Result<Self, Error> {
        let caps = Caps {
            records: config.rejected_max,
            bytes: config.rejected_bytes_max,
            age_us: i64::try_from(config.rejected_s).unwrap_or(i64::MAX).saturating_mul(1_000_000),
        };
        let (store, mut kept, mut seen) = (catalog.store().clone(), Kept::default(), HashSet::new());
        let mut records = Vec::new();
        for object in store.list(&paths::rejected()).await.map_err(store_error)? {
            let path = object.location;
            match stored::decode(&store.get(&path).await.map_err(store_error)?) {
                Ok(read) => {
                    kept.objects.push(path);
                    // What was made one and not yet deleted is there twice.
                    records.extend(read.into_iter().filter(|record| seen.insert(record.id.clone())));
                }
                Err(error) => tracing::warn!(%path, %error, "kept refusals cannot be read and are left alone"),
            }
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        kept.add(records);
        kept.trim(caps);
        Ok(Self { store, clock, ids, caps, kept: Mutex::new(kept), objects: RwLock::default() })
    }

    /// Whether anything is kept at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.caps.records > 0 && self.caps.bytes > 0
    }

    /// Keeps the refused records of a request; durable when it returns.
    pub(crate) async fn keep(&self, namespace: &Namespace, from: &Sender, noted: Vec<Noted>) -> Result<(), Error> {
        if noted.is_empty() || !self.is_on() {
            return Ok(());
        }
        let at = self.clock.now();
        let rejected = |noted: Noted| Rejected {
            id: self.ids.ulid(at).to_string(),
            at,
            namespace: namespace.clone(),
            collection: from.collection.clone(),
            door: from.door.to_owned(),
            index: noted.error.index as u64,
            event_id: noted.error.id,
            code: noted.error.code,
            pointer: noted.error.pointer,
            message: noted.error.message,
            record: noted.record,
            record_bytes: noted.record_bytes as u64,
        };
        let records: Vec<Rejected> = noted.into_iter().map(rejected).collect();
        let crowded = {
            let _adding = self.objects.read().await;
            let path = paths::rejected_file(at, self.ids.ulid(at));
            self.store.put(&path, stored::encode(&records).into()).await.map_err(store_error)?;
            let mut kept = lock(&self.kept);
            kept.objects.push(path);
            kept.add(records);
            kept.trim(self.caps);
            kept.objects.len() > OBJECTS_MAX
        };
        if crowded {
            // The records are durable: the request goes on whatever becomes of this.
            if let Err(error) = self.merge(OBJECTS_MAX).await {
                tracing::warn!(%error, "refusals were not made one");
            }
        }
        Ok(())
    }

    /// Lets go what is past its time.
    pub(crate) async fn tick(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let is_overdue = lock(&self.kept).records.front().is_some_and(|oldest| {
            oldest.at < now.plus_micros(self.caps.age_us.saturating_add(OVERDUE_US).saturating_neg())
        });
        if is_overdue && lock(&self.kept).forget(now.plus_micros(self.caps.age_us.saturating_neg())) {
            self.merge(0).await?;
        }
        Ok(())
    }

    /// Lets go what was refused of a namespace, or of a collection of it; gone from the store too when it returns.
    ///
    /// # Errors
    /// Of the store; asked again it goes on.
    pub(crate) async fn erase(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Result<(), Error> {
        let is_of = |record: &Rejected| {
            record.namespace == *namespace && (collection.is_none() || record.collection.as_ref() == collection)
        };
        lock(&self.kept).erase(is_of);
        // Also where none of it is in memory: an attempt that failed may have left it in the store.
        self.merge(0).await?.map_or(Ok(()), |left| Err(store_error(left)))
    }

    /// Makes all objects one, if there are more than so many; why one of the old ones stays, if one does.
    async fn merge(&self, more_than: usize) -> Result<Option<StoreError>, Error> {
        let _alone = self.objects.write().await;
        let (records, old) = {
            let kept = lock(&self.kept);
            (kept.records.iter().map(|record| Rejected::clone(record)).collect::<Vec<_>>(), kept.objects.clone())
        };
        if old.len() <= more_than {
            return Ok(None);
        }
        let at = self.clock.now();
        let (mut objects, mut left) = (Vec::new(), None);
        if !records.is_empty() {
            let path = paths::rejected_file(at, self.ids.ulid(at));
            self.store.put(&path, stored::encode(&records).into()).await.map_err(store_error)?;
            objects.push(path);
        }
        // What cannot be deleted now is tried again with the next merge.
        for path in old {
            if let Err(error) = self.store.delete(&path).await {
                tracing::warn!(%path, %error, "old refusals were not deleted");
                objects.push(path);
                left = left.or(Some(error));
            }
        }
        lock(&self.kept).objects = objects;
        Ok(left)
    }

    /// All that is kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Rejected>> {
        lock(&self.kept).records.iter().cloned().collect()
    }
}

impl Told for Ingest {
    fn rejected(&self) -> Vec<Arc<Rejected>> {
        self.room.rejects.all()
    }
}

fn store_error(error: StoreError) -> Error {
    Error::Catalog(error.into())
}
