//! Rows for a path, batch by batch: each one is acknowledged when it is durable, so that a client knows what it need not
//! send again.
//!
//! Acks are JSON in `app_metadata`: the first says that the stream is taken, with the offset -1; then one per batch. A batch
//! has the offset that its own metadata names (`{"offset_id": n}`), or else the one after the batch before it, from 0.

use std::sync::Arc;

use arrow_flight::{FlightData, PutResult};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tidemark_catalog::appends::{Appended, Appends};
use tidemark_model::{Namespace, Principal, Table};
use tonic::Status;

use super::{
    Data,
    frames::{Frames, Pushed},
    refused,
};
use crate::flight::status::invalid;

/// What a client may say of a batch.
#[derive(Deserialize)]
struct Said {
    offset_id: i64,
}

/// What is told of the batches so far.
#[derive(Serialize)]
struct Ack {
    /// The offset of the last durable batch.
    ack_up_to_offset: i64,
    /// Rows of this stream that are durable.
    ack_up_to_records: u64,
    /// Of the last batch: rows that are stored because of it, rows that were stored before, an instant that sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Stored>,
}

#[derive(Serialize)]
struct Stored {
    accepted: u64,
    duplicates: u64,
    system_time: String,
}

impl Ack {
    fn encode(&self) -> PutResult {
        PutResult { app_metadata: serde_json::to_vec(self).unwrap_or_default().into() }
    }
}

/// Where a stream stands.
struct Acking {
    appends: Arc<dyn Appends>,
    by: Principal,
    to: (Namespace, Table),
    data: Data,
    frames: Frames,
    offset: i64,
    records: u64,
}

/// Appends what comes, and tells of it.
pub(super) fn acks(
    appends: Arc<dyn Appends>,
    (by, to): (Principal, (Namespace, Table)),
    data: Data,
) -> impl Stream<Item = Result<PutResult, Status>> + Send {
    let ready = Ack { ack_up_to_offset: -1, ack_up_to_records: 0, batch: None };
    let frames = Frames::new(appends.held());
    let acking = Acking { appends, by, to, data, frames, offset: -1, records: 0 };
    let rest = stream::unfold(Some(acking), |acking| async {
        let mut acking = acking?;
        match acking.next().await {
            Ok(Some(ack)) => Some((Ok(ack.encode()), Some(acking))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    stream::iter([Ok(ready.encode())]).chain(rest)
}

impl Acking {
    /// Appends the next batch.
    async fn next(&mut self) -> Result<Option<Ack>, Status> {
        while let Some(message) = self.frames.next(&mut self.data).await {
            let message = message?;
            if self.frames.push(&message)? == Pushed::Rows {
                return self.append(&message).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn append(&mut self, message: &FlightData) -> Result<Ack, Status> {
        let offset = match message.app_metadata.as_ref() {
            b"" => self.offset + 1,
            said => serde_json::from_slice::<Said>(said)
                .map(|said| said.offset_id)
                .map_err(|e| invalid(format!("the metadata of a batch is {{\"offset_id\": n}} or nothing: {e}")))?,
        };
        if offset <= self.offset {
            return Err(invalid(format!("offset {offset} does not follow {}: offsets grow", self.offset)));
        }
        let (by, to) = (&self.by, (&self.to.0, &self.to.1));
        let appended = self.appends.append_arrow(by, to, self.frames.take()?).await;
        let Appended { accepted, duplicates, system_time } = appended.map_err(|problem| refused(&problem))?;
        self.offset = offset;
        self.records += accepted + duplicates;
        let batch = Some(Stored { accepted, duplicates, system_time: system_time.to_string() });
        Ok(Ack { ack_up_to_offset: offset, ack_up_to_records: self.records, batch })
    }
}
