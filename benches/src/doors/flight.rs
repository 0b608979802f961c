//! One Flight client for both servers: it decodes batches, sums `n`, and keeps nothing.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::sum,
    datatypes::Int64Type,
    ipc::writer::StreamWriter,
};
use arrow_flight::{
    Ticket, decode::FlightRecordBatchStream, error::FlightError, flight_service_client::FlightServiceClient,
    sql::client::FlightSqlServiceClient,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tonic::transport::{Channel, Endpoint};

use super::{Error, Read};

/// More than any message: both servers cut at 2 MiB of data.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Asks a statement and reads its answer.
pub(super) async fn statement(url: &str, sql: &str) -> Result<Read, Error> {
    redeem(connect(url).await?, asked(url, sql).await?, |_| Ok(())).await
}

/// Reads what a ticket stands for.
pub(super) async fn ticket(url: &str, ticket: Vec<u8>) -> Result<Read, Error> {
    redeem(connect(url).await?, Ticket::new(ticket), |_| Ok(())).await
}

/// Asks a statement and writes its batches into a file as they come.
pub(super) async fn keep(url: &str, sql: &str, path: &Path) -> Result<Read, Error> {
    let (file, mut writer) = (File::create(path)?, None);
    let read = redeem(connect(url).await?, asked(url, sql).await?, |batch| {
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(StreamWriter::try_new_buffered(file.try_clone()?, &batch.schema())?),
        };
        Ok(writer.write(batch)?)
    });
    let read = read.await?;
    writer.ok_or("no batch came")?.finish()?;
    Ok(read)
}

async fn connect(url: &str) -> Result<FlightServiceClient<Channel>, Error> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    Ok(FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// The one ticket of a statement.
async fn asked(url: &str, sql: &str) -> Result<Ticket, Error> {
    let mut client = FlightSqlServiceClient::new_from_inner(connect(url).await?);
    let endpoints = client.execute(sql.to_owned(), None).await?.endpoint;
    match <[_; 1]>::try_from(endpoints) {
        Ok([endpoint]) => Ok(endpoint.ticket.ok_or("an endpoint without a ticket")?),
        Err(endpoints) => Err(format!("one endpoint was awaited, and {} came", endpoints.len()).into()),
    }
}

async fn redeem(
    mut client: FlightServiceClient<Channel>,
    ticket: Ticket,
    mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<Read, Error> {
    let bytes = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&bytes);
    let messages = client.do_get(ticket).await?.into_inner().map_err(FlightError::from);
    let counted = messages.inspect_ok(move |message| {
        let size = [&message.data_header, &message.data_body].map(Bytes::len).iter().sum::<usize>();
        counter.fetch_add(size as u64, Ordering::Relaxed);
    });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(counted);
    let (mut rows, mut sum) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        each(&batch)?;
        rows += batch.num_rows() as u64;
        sum += sum_of_n(&batch)?;
    }
    Ok(Read { rows, sum: Some(sum), bytes: bytes.load(Ordering::Relaxed) })
}

/// The sum of the column `n`.
pub(super) fn sum_of_n(batch: &RecordBatch) -> Result<i64, Error> {
    let column = batch.column_by_name("n").and_then(|column| column.as_primitive_opt::<Int64Type>());
    Ok(sum(column.ok_or("no column n of integers")?).unwrap_or(0))
}
