//! Statements described and run: FlightInfo on one side, streams on the other.
//!
//! FlightInfo plans and fixes the instants; the ticket carries both, so that whoever redeems it, whenever and however
//! often, reads the same. One endpoint, no location: it is redeemed where it was given.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket,
    flight_descriptor::DescriptorType,
    sql::{Any, Command, ProstMessageExt, TicketStatementQuery},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tidemark_model::Principal;
use tonic::Status;

use super::{
    Door, Replies, metadata,
    session::Caller,
    statement::Carried,
    status::{self, defect, invalid},
    wire,
};
use crate::{Answer, Description, Session, Setting, TableInfo};

/// What a descriptor or a ticket asks.
///
/// # Errors
/// INVALID_ARGUMENT when it is no Flight SQL message.
pub(crate) fn command(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(|e| invalid(format!("no Flight SQL message: {e}")))?;
    Command::try_from(any).map_err(|e| invalid(format!("no Flight SQL message: {e}")))
}

/// The statement that reads a whole table.
fn whole_table(schema: &str, name: &str) -> String {
    let quoted = |name: &str| name.replace('"', "\"\"");
    format!("SELECT * FROM \"{}\".\"{}\"", quoted(schema), quoted(name))
}

/// A table as a flight, for ListFlights.
///
/// # Errors
/// INTERNAL when its schema cannot be encoded.
pub(crate) fn flight_of_table(table: &TableInfo) -> Result<FlightInfo, Status> {
    let carried = Carried::new(whole_table(&table.schema_name, &table.name), Session::default());
    let path = FlightDescriptor::new_path(vec![table.schema_name.clone(), table.name.clone()]);
    flight(path, &wire::schema(&table.columns), ticket_of(&carried))
}

fn ticket_of(carried: &Carried) -> Bytes {
    TicketStatementQuery { statement_handle: carried.seal() }.as_any().encode_to_vec().into()
}

fn flight(descriptor: FlightDescriptor, schema: &Schema, ticket: Bytes) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
    // With one endpoint the rows always come in the order of the answer.
    let info = FlightInfo::new().with_descriptor(descriptor).with_endpoint(endpoint).with_ordered(true);
    info.try_with_schema(schema).map_err(|e| defect("a schema could not be encoded", e))
}

/// A planned statement: what it will answer, and the settings it leaves to the client's session.
pub(super) struct Planned {
    pub(super) info: FlightInfo,
    pub(super) settings: Vec<Setting>,
}

impl Door {
    /// What a descriptor will answer.
    pub(super) async fn info(&self, descriptor: FlightDescriptor, caller: &Caller) -> Result<Planned, Status> {
        let (principal, session) = (&caller.principal, caller.session.clone());
        if descriptor.r#type() == DescriptorType::Path {
            let [schema, name] = descriptor.path.as_slice() else {
                return Err(invalid("a path names a table: [schema, table]"));
            };
            let carried = Carried::new(whole_table(schema, name), session);
            return self.planned(descriptor, carried, principal).await;
        }
        let command = command(&descriptor.cmd)?;
        match &command {
            Command::CommandStatementQuery(ask) => {
                let carried = Carried::new(ask.query.clone(), session).within(ask.transaction_id.clone());
                self.planned(descriptor, carried, principal).await
            }
            Command::CommandPreparedStatementQuery(ask) => {
                let carried = self.prepared(&ask.prepared_statement_handle, caller)?;
                self.planned(descriptor, carried, principal).await
            }
            metadata => match metadata::schema(metadata) {
                Some(schema) => {
                    let ticket = descriptor.cmd.clone();
                    flight(descriptor, &schema, ticket).map(|info| Planned { info, settings: Vec::new() })
                }
                None => Err(Status::unimplemented(format!("{} is not spoken here", command.type_url()))),
            },
        }
    }

    async fn planned(
        &self,
        descriptor: FlightDescriptor,
        carried: Carried,
        principal: &Principal,
    ) -> Result<Planned, Status> {
        let mut carried = self.fixed(carried, principal)?;
        let description = self.describe(&carried, principal).await?;
        carried.pin = Some(description.pin);
        let mut info = flight(descriptor, &told(&carried, &columns(&description)), ticket_of(&carried))?;
        if description.sets {
            // It is done by being planned: its settings go back with this answer.
            info.endpoint.clear();
        }
        let info = info.with_app_metadata(format!("{{\"system_time\":\"{}\"}}", description.pin.system_time));
        Ok(Planned { info, settings: description.settings })
    }

    /// A statement in a transaction, at that one's instants.
    pub(super) fn fixed(&self, carried: Carried, by: &Principal) -> Result<Carried, Status> {
        if carried.transaction.is_empty() {
            return Ok(carried);
        }
        let pin = self.transactions.pin(by, &carried.transaction, self.query.pin().now)?;
        Ok(Carried { pin: Some(pin), transaction: Bytes::new(), ..carried })
    }

    /// A prepared statement as a call asks it: at the settings of the call, and at the instants of its transaction, or at none
    /// once that was ended. Drivers keep handles over a commit.
    pub(super) fn prepared(&self, handle: &[u8], caller: &Caller) -> Result<Carried, Status> {
        let carried = Carried::of_handle(handle)?.asked_in(&caller.session);
        if carried.transaction.is_empty() {
            return Ok(carried);
        }
        let now = self.query.pin().now;
        let pin = self.transactions.pin_if_open(&caller.principal, &carried.transaction, now)?;
        Ok(Carried { pin, transaction: Bytes::new(), ..carried })
    }

    /// Plans a statement with the first of its bound rows; all rows answer the same columns.
    pub(super) async fn describe(&self, carried: &Carried, principal: &Principal) -> Result<Description, Status> {
        let first = carried.runs(principal)?.into_iter().next();
        let first = first.unwrap_or_else(|| carried.with(Vec::new(), principal));
        self.query.describe(&first).await.map_err(|e| status::of(&e))
    }

    /// What a ticket holds.
    pub(super) async fn data(&self, ticket: &[u8], caller: &Caller) -> Result<Replies<FlightData>, Status> {
        let Caller { principal, compression, .. } = caller;
        let compression = *compression;
        match command(ticket)? {
            Command::TicketStatementQuery(ask) => {
                self.answers(Carried::open("ticket", &ask.statement_handle)?, caller).await
            }
            Command::CommandPreparedStatementQuery(ask) => {
                self.answers(self.prepared(&ask.prepared_statement_handle, caller)?, caller).await
            }
            Command::CommandStatementQuery(ask) => {
                let carried = Carried::new(ask.query, caller.session.clone()).within(ask.transaction_id);
                self.answers(self.fixed(carried, &caller.principal)?, caller).await
            }
            command => {
                let Some(rows) = metadata::rows(&command, || self.query.tables(principal)) else {
                    return Err(Status::unimplemented(format!("{} is no ticket", command.type_url())));
                };
                let rows = rows?;
                Ok(wire::encode(wire::schema(&rows.schema()), stream::iter([Ok(rows)]), compression).boxed())
            }
        }
    }

    /// Runs a statement for each of its bound rows, one after the other, as one stream.
    async fn answers(&self, carried: Carried, caller: &Caller) -> Result<Replies<FlightData>, Status> {
        let (principal, compression) = (&caller.principal, caller.compression);
        let mut runs = carried.runs(principal)?.into_iter();
        let Some(first) = runs.next() else {
            let schema = self.describe(&carried, principal).await?.schema;
            return Ok(wire::encode(told(&carried, &schema), stream::empty(), compression).boxed());
        };
        let Answer { schema, stream: rows, .. } = self.query.run(&first).await.map_err(|e| status::of(&e))?;
        let query = self.query.clone();
        let rest = stream::iter(runs).then(move |statement| {
            let query = query.clone();
            async move { query.run(&statement).await.map(batches).map_err(|e| status::of(&e)) }
        });
        let rows = rows.map_err(|e| status::of(&e.into())).chain(rest.try_flatten());
        Ok(wire::encode(told(&carried, &schema), rows, compression).boxed())
    }
}

/// The columns a statement answers. What only sets has none: the settings go back to the client as its session.
pub(super) fn columns(description: &Description) -> SchemaRef {
    match description.sets {
        true => Arc::new(Schema::empty()),
        false if description.params.fields().is_empty() => wire::schema(&description.schema),
        false => nullable(&description.schema),
    }
}

/// The schema an answer is told and sent under.
fn told(carried: &Carried, schema: &Schema) -> SchemaRef {
    if carried.params.is_empty() { wire::schema(schema) } else { nullable(schema) }
}

/// Whether a column can be null may depend on the bound values, and each row has its own: where something is bound, every
/// column can.
fn nullable(schema: &Schema) -> SchemaRef {
    let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
    wire::schema(&Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()))
}

fn batches(answer: Answer) -> impl futures::Stream<Item = Result<arrow::array::RecordBatch, Status>> {
    answer.stream.map_err(|e| status::of(&e.into()))
}
