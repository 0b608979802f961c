//! Requests of producers: each one in its turn, stored once, whoever sends it again.
//!
//! Before a request is read it is judged by its sequence; what is stored with its records says where the producer stands.
//! A newer epoch is claimed by an append without rows, so that the older one stays fenced over restarts.

use std::sync::Arc;

use tidemark_model::{Instant, Namespace};

use crate::{
    batch::ValidBatch,
    dedup::producers::{Judged, Stand, Turn},
    error::{Error, shown},
    front::{Ingest, Room},
    hash,
    prepare::{Key, Prepared},
    receipt::Receipt,
    request::{OnError, PRODUCER_BYTES_MAX, Request, Sequenced},
};

/// Where a producer stands, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The greatest epoch that was seen.
    pub epoch: u64,
    /// The last durable sequence; 0 when there is none.
    pub durable: u64,
    /// When it was last heard of.
    pub system_time: Instant,
}

impl From<Stand> for Standing {
    fn from(stand: Stand) -> Self {
        Self { epoch: stand.at.epoch, durable: stand.at.sequence, system_time: stand.receipt.system_time }
    }
}

impl Ingest {
    /// Appends what a producer sent, once. No request: the sequence is passed over.
    ///
    /// # Errors
    /// [`Error`]; a refused sequence is free. [`Error::Fenced`], [`Error::SequenceGap`] and [`Error::SequenceMismatch`]
    /// when it is not its turn.
    pub async fn append_sequenced(
        &self,
        namespace: &Namespace,
        at: Sequenced,
        request: Option<Request>,
    ) -> Result<Receipt, Error> {
        check(&at.id)?;
        if at.sequence == 0 {
            let (value, allowed) = ("0".to_owned(), "sequences begin at 1");
            return Err(Error::Parameter { what: "sequence", value, allowed });
        }
        let (room, namespace) = (self.open_room()?, namespace.clone());
        self.finish(async move { room.append_sequenced(&namespace, at, request).await }).await
    }

    /// Begins an epoch of a producer: older ones are fenced when this returns. Where it stands.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Fenced`] when a newer epoch has begun.
    pub async fn open_producer(&self, namespace: &Namespace, id: &str, epoch: u64) -> Result<Standing, Error> {
        check(id)?;
        let (room, namespace, id) = (self.open_room()?, namespace.clone(), id.to_owned());
        self.finish(async move { room.open_producer(&namespace, id, epoch).await }).await
    }

    /// Where a producer stands; none when nothing is known of it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn producer(&self, namespace: &Namespace, id: &str) -> Result<Option<Standing>, Error> {
        check(id)?;
        let (room, key) = (&self.room, hash::producer(id));
        room.stands_now(namespace, [])?;
        Ok(room.flusher.producers.stand(namespace, key, room.log.now()).await.map(Standing::from))
    }
}

fn check(id: &str) -> Result<(), Error> {
    if (1..=PRODUCER_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    Err(Error::Parameter { what: "producer id", value: shown(id), allowed: "use 1 to 128 bytes" })
}

impl Room {
    async fn append_sequenced(
        self: &Arc<Self>,
        namespace: &Namespace,
        at: Sequenced,
        request: Option<Request>,
    ) -> Result<Receipt, Error> {
        let body = request.as_ref().map_or(0, |request| hash::body(&request.target, &request.batch.bytes));
        let turn = self.turn(namespace, &at.id).await?;
        if let Judged::Seen(receipt) = turn.judge(&at, body, self.log.now())? {
            self.metrics.duplicate_request();
            return Ok(receipt);
        }
        let prepared = match request {
            Some(request) => self.read(namespace, request).await?,
            None => nothing()?,
        };
        self.store_in_turn(namespace, (&turn, at, body), prepared).await
    }

    async fn open_producer(self: &Arc<Self>, namespace: &Namespace, id: String, epoch: u64) -> Result<Standing, Error> {
        let turn = self.turn(namespace, &id).await?;
        let (sequence, body) = match turn.stand(self.log.now()) {
            Some(stand) if stand.at.epoch == epoch => return Ok(stand.into()),
            Some(stand) if stand.at.epoch > epoch => {
                return Err(Error::Fenced { id: shown(&id), sent: epoch, epoch: stand.at.epoch });
            }
            Some(stand) => (stand.at.sequence, stand.body),
            None => (0, 0),
        };
        self.has_room()?;
        let claimed = Sequenced { id, epoch, sequence };
        let receipt = self.store_in_turn(namespace, (&turn, claimed, body), nothing()?).await?;
        Ok(Standing { epoch, durable: sequence, system_time: receipt.system_time })
    }

    async fn turn(&self, namespace: &Namespace, id: &str) -> Result<Turn, Error> {
        // Of an erased namespace nothing is remembered: sequences begin anew.
        self.stands_now(namespace, [])?;
        let producers = &self.flusher.producers;
        let full = || Error::Pressure { what: "the number of producers of seven days", limit: producers.max() };
        producers.turn(namespace, hash::producer(id)).await.ok_or_else(full)
    }

    async fn store_in_turn(
        self: &Arc<Self>,
        namespace: &Namespace,
        (turn, at, body): (&Turn, Sequenced, u128),
        prepared: Prepared,
    ) -> Result<Receipt, Error> {
        let key = Key { shown: at.shown(), key: hash::producer(&at.id), body, producer: Some(at.clone()) };
        let receipt = self.store_all(namespace, prepared, Some(&key)).await?;
        let kept = Receipt { errors: Vec::new(), producer: Some(at.clone()), ..receipt.clone() };
        turn.settle(Stand { at, body, receipt: Arc::new(kept) });
        Ok(receipt)
    }
}

/// A request without records.
fn nothing() -> Result<Prepared, Error> {
    let batch = ValidBatch::build(Vec::new(), &[], &[]).map_err(|error| Error::Rows("built", error))?;
    Ok(Prepared::part(batch, OnError::Reject, 0))
}
