//! DoPut: parameters are bound; changes are told where they go.

use arrow_flight::{
    FlightData, PutResult,
    sql::{Command, DoPutPreparedStatementResult},
};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use tonic::Status;

use super::{
    params, query,
    statement::Carried,
    status::{INGEST_DOOR, invalid},
};

/// Takes a stream of data, whatever its first message says it is for.
pub(crate) async fn take(mut data: BoxStream<'static, Result<FlightData, Status>>) -> Result<PutResult, Status> {
    let first = data.next().await.ok_or_else(|| invalid("a DoPut without a message"))??;
    let descriptor = first.flight_descriptor.clone().ok_or_else(|| invalid("the first message has no descriptor"))?;
    let data = stream::iter([Ok(first)]).chain(data);
    match query::command(&descriptor.cmd)? {
        Command::CommandPreparedStatementQuery(ask) => bind(&ask.prepared_statement_handle, data).await,
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) => {
            Err(invalid(format!("Flight SQL is read only: ask queries here; changes are events, {INGEST_DOOR}")))
        }
        Command::CommandStatementIngest(_) => {
            Err(Status::unimplemented(format!("Flight SQL is read only: changes are events, {INGEST_DOOR}")))
        }
        other => Err(Status::unimplemented(format!("{} is not spoken here", other.type_url()))),
    }
}

/// A handle with these rows bound. It always goes back: some drivers take an absent one for an empty one.
async fn bind(
    handle: &[u8],
    data: impl futures::Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<PutResult, Status> {
    let mut carried = Carried::open("handle of the prepared statement", handle)?;
    carried.params = params::gather(data).await?;
    let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(carried.seal()) };
    Ok(PutResult { app_metadata: result.encode_to_vec().into() })
}
