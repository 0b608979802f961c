//! The gRPC door of the room: the pipeline of the HTTP door, with streams and producers (interfaces.md, gRPC ingest).
//!
//! 1. `message`: what goes in and what is answered, as messages. 2. `stream`: batches in order, with credit.
//! 3. `status`: errors.

mod message;
mod status;
mod stream;

use std::time::Instant as Stopwatch;

use futures::{StreamExt, stream::BoxStream};
use tidemark_model::{Namespace, Principal, Scope};
use tidemark_proto::{
    By,
    v1::{
        AppendRequest, AppendResponse, AppendStreamRequest, AppendStreamResponse, GetProducerRequest, ProducerState,
        ingest_server::{Ingest as Service, IngestServer},
    },
};
use tonic::{Request, Response, Status, Streaming};

use self::{message::Destination, stream::Appending};
use crate::{
    error::{Error, shown},
    front::Ingest,
    receipt::Receipt,
    request::Sequenced,
};

/// Bytes of a message besides its records.
const AROUND_BYTES_MAX: usize = 64 << 10;

/// The service, ready to be put behind a server.
pub fn service(ingest: Ingest) -> IngestServer<Door> {
    let bytes_max = ingest.room.config.body_bytes_max + AROUND_BYTES_MAX;
    IngestServer::new(Door { ingest }).max_decoding_message_size(bytes_max)
}

/// The door: a handle of the room.
#[derive(Debug, Clone)]
pub struct Door {
    ingest: Ingest,
}

#[tonic::async_trait]
impl Service for Door {
    type AppendStreamStream = BoxStream<'static, Result<AppendStreamResponse, Status>>;

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let started = Stopwatch::now();
        let by = by(&request)?;
        let done = self.take(&by, request.into_inner()).await;
        observe(&self.ingest, &done, started);
        let receipt = done.map_err(status::of)?;
        Ok(Response::new(AppendResponse { receipt: Some(message::receipt(receipt)) }))
    }

    /// Answers at once: a client may wait for that before it sends its first message.
    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let by = by(&request)?;
        let appending = Appending::new(self.ingest.clone(), by, request.into_inner());
        Ok(Response::new(appending.replies().boxed()))
    }

    async fn get_producer(&self, request: Request<GetProducerRequest>) -> Result<Response<ProducerState>, Status> {
        let by = by(&request)?;
        let GetProducerRequest { namespace, producer_id } = request.into_inner();
        let namespace = Namespace::parse(&namespace).map_err(|error| status::of(error.into()))?;
        by.check(Scope::Ingest, &namespace).map_err(|denied| status::of(denied.into()))?;
        let standing = self.ingest.producer(&namespace, &producer_id).await.map_err(status::of)?;
        let Some(standing) = standing else {
            let id = shown(&producer_id);
            return Err(Status::not_found(format!("nothing is known of producer {id:?}: begin with sequence 1")));
        };
        Ok(Response::new(ProducerState {
            epoch: standing.epoch,
            durable: standing.durable,
            system_time_us: standing.system_time.micros(),
        }))
    }
}

/// Who asks, as the authoriser in front of the door said.
fn by<T>(request: &Request<T>) -> Result<Principal, Status> {
    By::of(request.extensions()).map(|By(principal)| principal).map_err(|_nobody| status::of(Error::Nobody))
}

impl Door {
    async fn take(&self, by: &Principal, request: AppendRequest) -> Result<Receipt, Error> {
        let AppendRequest { target, records, idempotency_key, producer, sequence } = request;
        let to = Destination::of(target)?;
        self.ingest.admit(by, &to.namespace)?;
        let records = records.ok_or_else(|| Error::Parameter {
            what: "records",
            value: String::new(),
            allowed: "an append has records",
        })?;
        let batch = message::batch(records, &self.ingest.room, None)?;
        let request = to.request(batch).sent_by(by);
        match producer {
            None if sequence != 0 => Err(Error::Parameter {
                what: "sequence",
                value: sequence.to_string(),
                allowed: "a sequence goes with a producer",
            }),
            None if idempotency_key.is_empty() => self.ingest.append(&to.namespace, request).await,
            None => self.ingest.append(&to.namespace, request.with_key(idempotency_key)).await,
            Some(_) if !idempotency_key.is_empty() => Err(Error::Parameter {
                what: "idempotency key",
                value: shown(&idempotency_key),
                allowed: "beside a producer its sequence is the key",
            }),
            Some(producer) => {
                let at = Sequenced { id: producer.id, epoch: producer.epoch, sequence };
                self.ingest.append_sequenced(&to.namespace, at, Some(request)).await
            }
        }
    }
}

/// Counts a request as the HTTP door does.
fn observe(ingest: &Ingest, done: &Result<Receipt, Error>, started: Stopwatch) {
    let metrics = &ingest.room.metrics;
    if let Err(Error::Pressure { what, limit }) = done {
        metrics.back_pressure(what, *limit);
    }
    let status = done.as_ref().map_or_else(|error| error.kind().http(), |_receipt| 200);
    metrics.request(status, started.elapsed());
}
