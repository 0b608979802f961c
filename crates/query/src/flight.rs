//! The Flight SQL door.
//!
//! Our own `FlightService`, not the trait that `arrow-flight` offers: that one has no place for GetSchema,
//! PollFlightInfo, ListFlights, sessions and `is_update`, and drivers need them. The door keeps no state but the list of
//! open transactions: tickets, prepared statements and sessions are sealed bytes that clients carry.
//!
//! 1. [`session`]: who asks, and their settings. 2. [`query`]: statements, described and run. 3. [`metadata`]: the lake
//!    itself. 4. [`action`] and [`put`]: prepared statements, options, cancelling, bound parameters, rows to append.
//!    [`transaction`]: instants that are kept. 5. [`wire`]: schemas and batches as they travel.

mod action;
mod metadata;
mod options;
mod params;
mod put;
mod query;
mod running;
mod seal;
mod session;
mod statement;
mod status;
mod transaction;
mod wire;

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
    flight_service_server::{FlightService, FlightServiceServer},
};
use futures::{StreamExt, stream, stream::BoxStream};
use tidemark_catalog::appends::Appends;
use tonic::{Request, Response, Status, Streaming};

use self::{query::Planned, running::Running, session::Caller, transaction::Transactions};
use crate::Query;

/// Most bytes of one message from a client.
const DECODED_BYTES_MAX: usize = 64 << 20;

type Replies<T> = BoxStream<'static, Result<T, Status>>;

/// The service, ready to be put behind a server; rows that clients send go to `appends`.
pub fn service(query: Query, appends: Arc<dyn Appends>) -> FlightServiceServer<Door> {
    let (running, transactions) = (Running::default(), Transactions::default());
    let door = Door { query, appends, running, transactions };
    FlightServiceServer::new(door).max_decoding_message_size(DECODED_BYTES_MAX)
}

/// The door: a handle of the room, whoever takes rows, and the streams that are on their way.
#[derive(Debug, Clone)]
pub struct Door {
    query: Query,
    appends: Arc<dyn Appends>,
    running: Running,
    transactions: Transactions,
}

fn replies<T: Send + 'static>(items: Vec<T>) -> Response<Replies<T>> {
    Response::new(stream::iter(items.into_iter().map(Ok)).boxed())
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = Replies<HandshakeResponse>;
    type ListFlightsStream = Replies<FlightInfo>;
    type DoGetStream = Replies<FlightData>;
    type DoPutStream = Replies<PutResult>;
    type DoExchangeStream = Replies<FlightData>;
    type DoActionStream = Replies<arrow_flight::Result>;
    type ListActionsStream = Replies<ActionType>;

    /// Answers at once, because some clients never end their side, with the token in the header and in one message,
    /// because clients read either.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let caller = Caller::of(request.metadata(), request.extensions())?;
        let token = caller.credential.token().into_owned();
        let payload = token.clone().into_bytes().into();
        let mut response = replies(vec![HandshakeResponse { protocol_version: 0, payload }]);
        session::put(response.metadata_mut(), "authorization", &format!("Bearer {token}"))?;
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let caller = Caller::of(request.metadata(), request.extensions())?;
        let tables = self.query.tables(&caller.principal);
        let flights: Vec<_> = tables.iter().map(query::flight_of_table).collect::<Result<_, _>>()?;
        Ok(replies(flights))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let mut caller = Caller::of(request.metadata(), request.extensions())?;
        let Planned { info, settings } = self.info(request.into_inner(), &caller).await?;
        let mut response = Response::new(info);
        caller.keep(&settings, response.metadata_mut())?;
        Ok(response)
    }

    /// Planning is quick, so the first answer is the last.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let (metadata, info, extensions) = self.get_flight_info(request).await?.into_parts();
        let poll = PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None };
        Ok(Response::from_parts(metadata, poll, extensions))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let schema = self.get_flight_info(request).await?.into_inner().schema;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = Caller::of(request.metadata(), request.extensions())?;
        let ticket = request.into_inner().ticket;
        let place = self.running.enter(caller.principal.id(), &ticket);
        let data = place.ends(self.data(&ticket, &caller)).await?;
        Ok(Response::new(place.watch(data).boxed()))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = Caller::of(request.metadata(), request.extensions())?;
        self.put(request.into_inner().boxed(), caller).await
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("DoExchange is not spoken here: use DoGet"))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = Caller::of(request.metadata(), request.extensions())?;
        self.act(request.into_inner(), caller).await
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(replies(action::all()))
    }
}

#[cfg(test)]
mod tests;
