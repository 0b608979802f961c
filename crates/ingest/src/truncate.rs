//! Truncates: a source deletes every document of a collection without naming one.
//!
//! A request that holds one is stored in parts: the records before it; a delete of every document that lives then, asked of
//! whoever knows ([`Documents`]), in appends of bounded size; the records behind it. Each part is whole or not at all, the
//! request is not: one that failed is sent again. The deletes carry the truncate's source time and order, so that they lose
//! against whatever the source wrote after it, whenever they are made, and an id of their own for each document, so
//! that those made twice are stored once.

use std::sync::{Arc, PoisonError, Weak};

use futures::TryStreamExt;
use tidemark_catalog::documents::Documents;
use tidemark_model::{CollectionName, Instant, Namespace, Op, Shard};

use crate::{
    batch::ValidBatch,
    error::Error,
    front::{Ingest, Room},
    hash,
    prepare::{Key, Prepared},
    receipt::Receipt,
    row::{Row, RowId, RowKind},
};

/// The most truncates of one request: each asks for all documents of a collection.
pub(crate) const TRUNCATES_MAX: usize = 64;
/// The most deletes of one append.
const DELETES_MAX: usize = 5000;

/// A truncate of one collection.
#[derive(Debug)]
pub(crate) struct Truncation {
    pub(crate) index: u32,
    pub(crate) collection: CollectionName,
    pub(crate) shard: Shard,
    pub(crate) ts: Option<Instant>,
    pub(crate) bookmark: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) meta: Option<String>,
}

impl Truncation {
    /// Deletes of these documents.
    fn deletes(&self, ids: &[String], room: &Room) -> Result<ValidBatch, Error> {
        let row = |id: &String| Row {
            index: self.index,
            shard: self.shard,
            id: self.id_of(id).unwrap_or_else(|| RowId::made(room.ids.ulid(room.clock.now()))),
            kind: RowKind::Change {
                collection: 0,
                document_id: id.clone().into(),
                op: Op::Delete,
                prev: None,
                bookmark: self.bookmark.as_deref().map(Into::into),
            },
            ts: self.ts,
            source: self.source.as_deref().map(Into::into),
            subject: self.subject.as_deref().map(Into::into),
            actor: None,
            data: None,
            meta: self.meta.as_deref().map(Into::into),
        };
        let rows = ids.iter().map(row).collect();
        let collections = std::slice::from_ref(&self.collection);
        ValidBatch::build(rows, collections, &[self.shard]).map_err(|error| Error::Rows("built", error))
    }

    /// The same truncate deletes the same document under the same id; without a position nobody knows whether it is the same.
    fn id_of(&self, document: &str) -> Option<RowId<'static>> {
        let parts = [self.collection.as_str(), self.bookmark.as_deref()?, "truncate", document];
        Some(RowId::Given(format!("debezium-{:032x}", hash::delivery(parts.join("\0").as_bytes())).into()))
    }
}

impl Ingest {
    /// Says who knows which documents live; the first one stays. Held weakly, because whoever knows reads this room.
    pub fn serve(&self, documents: &Arc<dyn Documents>) {
        let mut known = self.room.documents.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_with(|| Arc::downgrade(documents));
    }
}

impl Room {
    /// Who knows which documents live.
    pub(crate) fn documents(&self) -> Option<Arc<dyn Documents>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade)
    }

    /// Stores the parts of a request that holds truncates, in order; its key goes with the last.
    pub(crate) async fn store_in_parts(
        self: &Arc<Self>,
        namespace: &Namespace,
        mut prepared: Prepared,
        key: Option<&Key>,
    ) -> Result<Receipt, Error> {
        let rest = std::mem::take(&mut prepared.rest);
        let _held = (prepared.place.take(), std::mem::take(&mut prepared.proposal));
        let (on_error, total, parts) = (prepared.on_error, prepared.total, rest.len());
        let mut receipt = self.store(namespace, prepared, None, None).await?;
        for (nth, (truncation, batch)) in rest.into_iter().enumerate() {
            self.truncate(namespace, &truncation, &mut receipt).await?;
            let (part, key) = (Prepared::part(batch, on_error, total), key.filter(|_| nth + 1 == parts));
            let stored = self.store(namespace, part, key, Some(&receipt)).await?;
            receipt.add(stored);
        }
        Ok(receipt)
    }

    /// Deletes every document that lives now.
    async fn truncate(
        self: &Arc<Self>,
        namespace: &Namespace,
        truncation: &Truncation,
        receipt: &mut Receipt,
    ) -> Result<(), Error> {
        let nobody = || Error::Internal("nobody knows any more which documents live".to_owned());
        let documents = self.documents().ok_or_else(nobody)?;
        // Of a collection that was dropped no document is seen: its truncate must not be told as done.
        self.stands_now(namespace, [&truncation.collection])?;
        let mut live = documents.live((namespace, &truncation.collection), truncation.ts).await?;
        self.stands_now(namespace, [&truncation.collection])?;
        let mut deleted = 0;
        while let Some(ids) = live.try_next().await? {
            for ids in ids.chunks(DELETES_MAX) {
                let batch = truncation.deletes(ids, self)?;
                let part = Prepared::part(batch, crate::OnError::Partial, ids.len());
                receipt.add(self.store(namespace, part, None, Some(receipt)).await?);
                deleted += ids.len();
            }
        }
        tracing::info!(%namespace, collection = %truncation.collection, deleted, "a source truncated a collection");
        Ok(())
    }
}
