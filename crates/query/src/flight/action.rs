//! Actions: prepared statements, transactions, sessions, cancelling.
//!
//! Flight SQL's own actions wrap their message in an `Any`, Flight's (sessions, cancelling, renewing) do not.

use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    RenewFlightEndpointRequest,
    sql::{
        ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest,
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionEndTransactionRequest, Any,
        EndTransaction, ProstMessageExt,
    },
};
use prost::Message;
use tidemark_proto::session::{
    CloseSessionRequest, CloseSessionResult, GetSessionOptionsRequest, PreparedStatementResult,
    SetSessionOptionsRequest, close_session_result,
};
use tonic::{Response, Status};

use super::{Door, Replies, options, query, replies, session::Caller, statement::Carried, wire};
use crate::flight::status::invalid;

const ACTIONS: [(&str, &str); 10] = [
    ("CreatePreparedStatement", "plans a statement: ActionCreatePreparedStatementRequest, its Result"),
    ("ClosePreparedStatement", "forgets a prepared statement: ActionClosePreparedStatementRequest, nothing"),
    ("BeginTransaction", "fixes the instant that statements in it read at: ActionBeginTransactionRequest, its Result"),
    ("EndTransaction", "forgets a transaction, which only read: ActionEndTransactionRequest, nothing"),
    ("CancelQuery", "deprecated form of CancelFlightInfo: ActionCancelQueryRequest, its Result"),
    ("CancelFlightInfo", "stops the streams of a FlightInfo: CancelFlightInfoRequest, its Result"),
    ("RenewFlightEndpoint", "endpoints do not expire: RenewFlightEndpointRequest, the same FlightEndpoint"),
    (
        "SetSessionOptions",
        "sets catalog, schema, as_of, valid_as_of, nearest, tidemark.schema: SetSessionOptionsRequest, its Result",
    ),
    ("GetSessionOptions", "tells the options that are set: GetSessionOptionsRequest, its Result"),
    ("CloseSession", "forgets the options: CloseSessionRequest, its Result"),
];

/// The actions that are spoken.
pub(crate) fn all() -> Vec<ActionType> {
    ACTIONS.map(|(name, text)| ActionType { r#type: name.to_owned(), description: text.to_owned() }).into()
}

type Reply = Result<Response<Replies<arrow_flight::Result>>, Status>;

fn reply(message: &impl Message) -> Response<Replies<arrow_flight::Result>> {
    replies(vec![arrow_flight::Result { body: message.encode_to_vec().into() }])
}

/// A result of Flight SQL, wrapped as its requests are.
fn wrapped_reply(name: &str, message: &impl Message) -> Response<Replies<arrow_flight::Result>> {
    let type_url = format!("type.googleapis.com/arrow.flight.protocol.sql.{name}");
    reply(&Any { type_url, value: message.encode_to_vec().into() })
}

/// A message that stands bare in an action.
fn bare<M: Message + Default>(action: &Action) -> Result<M, Status> {
    M::decode(action.body.clone()).map_err(|e| invalid(format!("the body of {} cannot be read: {e}", action.r#type)))
}

/// A message that stands in an `Any`.
fn wrapped<M: ProstMessageExt>(action: &Action) -> Result<M, Status> {
    let any: Any = bare(action)?;
    let message = any.unpack().map_err(|e| invalid(format!("the body of {} cannot be read: {e}", action.r#type)))?;
    message.ok_or_else(|| invalid(format!("the body of {} holds a {}", action.r#type, any.type_url)))
}

impl Door {
    /// Does what an action says.
    pub(super) async fn act(&self, action: Action, caller: Caller) -> Reply {
        match action.r#type.as_str() {
            "CreatePreparedStatement" => self.prepare(wrapped(&action)?, caller).await,
            "ClosePreparedStatement" => {
                let ask: ActionClosePreparedStatementRequest = wrapped(&action)?;
                Carried::of_handle(&ask.prepared_statement_handle)?;
                Ok(replies(Vec::new()))
            }
            "BeginTransaction" => {
                wrapped::<ActionBeginTransactionRequest>(&action)?;
                let transaction_id = self.transactions.begin(&caller.principal, self.query.pin());
                Ok(wrapped_reply("ActionBeginTransactionResult", &ActionBeginTransactionResult { transaction_id }))
            }
            "EndTransaction" => {
                let ask: ActionEndTransactionRequest = wrapped(&action)?;
                if ask.action() == EndTransaction::Unspecified {
                    return Err(invalid("say whether the transaction is committed or rolled back"));
                }
                self.transactions.end(&caller.principal, &ask.transaction_id, self.query.pin().now)?;
                Ok(replies(Vec::new()))
            }
            "CancelQuery" => {
                let ask: ActionCancelQueryRequest = wrapped(&action)?;
                let info = FlightInfo::decode(ask.info).map_err(|e| invalid(format!("no FlightInfo: {e}")))?;
                // The outcomes of both forms have the same numbers.
                self.cancel(Some(info), &caller).map(|result| wrapped_reply("ActionCancelQueryResult", &result))
            }
            "CancelFlightInfo" => {
                let ask: CancelFlightInfoRequest = bare(&action)?;
                self.cancel(ask.info, &caller).map(|result| reply(&result))
            }
            "RenewFlightEndpoint" => {
                let ask: RenewFlightEndpointRequest = bare(&action)?;
                Ok(reply(&ask.endpoint.ok_or_else(|| invalid("no endpoint to renew"))?))
            }
            "SetSessionOptions" => set_options(bare(&action)?, caller),
            "GetSessionOptions" => {
                bare::<GetSessionOptionsRequest>(&action)?;
                Ok(reply(&options::get(&caller.session)))
            }
            "CloseSession" => {
                bare::<CloseSessionRequest>(&action)?;
                close(&caller)
            }
            other => Err(Status::unimplemented(format!("action {other:?} is not spoken here"))),
        }
    }

    /// Plans a statement; what writes is refused here, before anything could be bound. What only sets is an update to
    /// drivers, which tell it by the flag or by an answer without columns.
    async fn prepare(&self, ask: ActionCreatePreparedStatementRequest, caller: Caller) -> Reply {
        let carried = Carried::new(ask.query, caller.session.clone()).within(ask.transaction_id);
        let description = self.describe(&self.fixed(carried.clone(), &caller.principal)?, &caller.principal).await?;
        let result = PreparedStatementResult {
            prepared_statement_handle: carried.seal(),
            dataset_schema: wire::schema_message(&query::columns(&description))?,
            parameter_schema: wire::schema_message(&wire::schema(&description.params))?,
            is_update: Some(description.sets),
        };
        Ok(wrapped_reply("ActionCreatePreparedStatementResult", &result))
    }

    fn cancel(&self, info: Option<FlightInfo>, caller: &Caller) -> Result<CancelFlightInfoResult, Status> {
        let endpoints = info.map(|info| info.endpoint).unwrap_or_default();
        let tickets = endpoints.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
        let id = caller.principal.id();
        match tickets.filter(|ticket| self.running.cancel(id, &ticket.ticket)).count() {
            0 => Err(Status::not_found("nothing of this FlightInfo is running")),
            _ => Ok(CancelFlightInfoResult { status: CancelStatus::Cancelled.into() }),
        }
    }
}

fn set_options(ask: SetSessionOptionsRequest, mut caller: Caller) -> Reply {
    let result = options::set(&mut caller.stored, ask);
    let mut response = reply(&result);
    caller.hand_over(response.metadata_mut())?;
    Ok(response)
}

/// There is always a session to close, and closing it again is no mistake.
fn close(caller: &Caller) -> Reply {
    let mut response = reply(&CloseSessionResult { status: close_session_result::Status::Closed.into() });
    caller.forget(response.metadata_mut())?;
    Ok(response)
}
