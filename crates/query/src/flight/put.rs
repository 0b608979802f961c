//! DoPut: parameters are bound; rows go to whoever appends them; other changes are told where they go.
//!
//! Rows come in two flavours: `CommandStatementIngest`, as ADBC and what stands on it send it, one answer at the end;
//! and a stream for a path, which is answered batch by batch ([`stream`]).

mod frames;
mod ingest;
mod stream;

use arrow_flight::{
    FlightData, PutResult,
    flight_descriptor::DescriptorType,
    sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult},
};
use futures::{StreamExt, stream as streams, stream::BoxStream};
use prost::Message;
use tidemark_model::{Kind, Namespace, Table, name::NameError};
use tidemark_proto::Problem;
use tonic::{Code, Response, Status};

use super::{
    Door, Replies, params, query, replies,
    session::Caller,
    statement::Carried,
    status::{INGEST_DOOR, invalid},
};

/// What a client sends.
type Data = BoxStream<'static, Result<FlightData, Status>>;

impl Door {
    /// Takes a stream of data, whatever its first message says it is for.
    pub(super) async fn put(&self, mut data: Data, caller: Caller) -> Result<Response<Replies<PutResult>>, Status> {
        let Some(first) = data.next().await else {
            // What some drivers send of rows when there are none.
            return Ok(replies(vec![updated(0)]));
        };
        let first = first?;
        let descriptor = first.flight_descriptor.clone();
        let descriptor = descriptor.ok_or_else(|| invalid("the first message has no descriptor"))?;
        let data = streams::iter([Ok(first)]).chain(data).boxed();
        if descriptor.r#type() == DescriptorType::Path {
            let to = table_of_path(&descriptor.path)?;
            return Ok(Response::new(stream::acks(self.appends.clone(), (caller.principal, to), data).boxed()));
        }
        let one = match query::command(&descriptor.cmd)? {
            Command::CommandPreparedStatementQuery(ask) => bind(&ask.prepared_statement_handle, data).await?,
            Command::CommandStatementUpdate(ask) => {
                let carried = Carried::new(ask.query, caller.session.clone()).within(ask.transaction_id);
                return self.update(carried, caller).await;
            }
            Command::CommandPreparedStatementUpdate(ask) => {
                let mut carried = self.prepared(&ask.prepared_statement_handle, &caller)?;
                carried.params = params::gather(data).await?;
                return self.update(carried, caller).await;
            }
            Command::CommandStatementIngest(ask) => updated(self.ingest(&ask, data, &caller).await?),
            other => return Err(Status::unimplemented(format!("{} is not spoken here", other.type_url()))),
        };
        Ok(replies(vec![one]))
    }

    /// Sets what a statement sets, for the session of whoever asks. SQL updates nothing else.
    async fn update(&self, carried: Carried, mut caller: Caller) -> Result<Response<Replies<PutResult>>, Status> {
        let description = self.describe(&self.fixed(carried, &caller.principal)?, &caller.principal).await?;
        if !description.sets {
            return Err(invalid(format!(
                "this statement answers rows: ask it as a query; changes are rows, {INGEST_DOOR}"
            )));
        }
        let mut response = replies(vec![updated(0)]);
        caller.keep(&description.settings, response.metadata_mut())?;
        Ok(response)
    }
}

/// How many rows a statement changed.
fn updated(record_count: i64) -> PutResult {
    PutResult { app_metadata: DoPutUpdateResult { record_count }.encode_to_vec().into() }
}

/// `[namespace, table]`, a catalog in front or not.
fn table_of_path(path: &[String]) -> Result<(Namespace, Table), Status> {
    match path {
        [namespace, table] => table_of(namespace, table),
        [catalog, namespace, table] if catalog == super::metadata::CATALOG => table_of(namespace, table),
        _ => Err(invalid("a path names a table: [namespace, collection], or [namespace, events]")),
    }
}

fn table_of(namespace: &str, table: &str) -> Result<(Namespace, Table), Status> {
    let bad = |error: NameError| refused(&Problem::new(Kind::Invalid, "invalid_name", error.to_string()));
    Ok((Namespace::parse(namespace).map_err(bad)?, Table::parse(table).map_err(bad)?))
}

/// A problem of whoever appends.
fn refused(problem: &Problem) -> Status {
    tidemark_proto::status::of(problem, Code::from_i32(problem.kind().grpc()))
}

/// A handle with these rows bound. It always goes back: some drivers take an absent one for an empty one.
async fn bind(handle: &[u8], data: Data) -> Result<PutResult, Status> {
    let mut carried = Carried::of_handle(handle)?;
    carried.params = params::gather(data).await?;
    let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(carried.seal()) };
    Ok(PutResult { app_metadata: result.encode_to_vec().into() })
}
