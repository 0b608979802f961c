//! Answers as Flight carries them.
//!
//! The schema a client is told (FlightInfo, GetSchema, prepared result) and the schema of the stream are made by the
//! same function, [`schema`]: no views, no dictionaries, no runs, no large or view lists, and then what the encoder itself
//! makes of it. Batches are re-stamped with it and cut so that clients with a limit of 4 MiB survive; bodies are
//! compressed for who asks for it only, because some drivers cannot read that.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc, encode::FlightDataEncoderBuilder, error::FlightError};
use arrow_ipc::{CompressionType, writer::IpcWriteOptions};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tonic::Status;

use super::status::defect;

/// Bytes of data in one message, about; a row is never cut.
const MESSAGE_BYTES: usize = 2 << 20;

/// The schema under which an answer travels.
pub(crate) fn schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    let plain = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    // The encoder has its own ideas (a union is never nullable, for one): ask it.
    let encoder = FlightDataEncoderBuilder::new().with_schema(plain.clone()).build(stream::empty());
    encoder.known_schema().unwrap_or(plain)
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    if data_type == *field.data_type() {
        return field.clone();
    }
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
}

/// The type every client can read.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(plain_field(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

/// A batch under the schema of its stream.
///
/// # Errors
/// INTERNAL when the batch is not what was promised.
fn restamp(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |(column, field): (&ArrayRef, &FieldRef)| match column.data_type() == field.data_type() {
        true => Ok(column.clone()),
        false => cast(column, field.data_type()),
    };
    if batch.num_columns() != schema.fields().len() {
        return Err(ArrowError::SchemaError(format!(
            "{} columns were promised and {} came",
            schema.fields().len(),
            batch.num_columns()
        )));
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// Bytes that a column puts into a message: of sliced columns only what the slice shows.
fn message_bytes(array: &dyn Array) -> usize {
    let part = |values: &ArrayRef, first: i32, end: i32| {
        let (first, end) = (first.unsigned_abs() as usize, end.unsigned_abs() as usize);
        message_bytes(&values.slice(first, end - first)) + (array.len() + 1) * size_of::<i32>()
    };
    let ends = |offsets: &[i32]| (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, end) = ends(list.value_offsets());
            part(list.values(), first, end)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, end) = ends(map.value_offsets());
            part(&(Arc::new(map.entries().clone()) as ArrayRef), first, end)
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| message_bytes(column)).sum(),
        DataType::FixedSizeList(..) => message_bytes(array.as_fixed_size_list().values()),
        _ => array.to_data().get_slice_memory_size().unwrap_or(0),
    }
}

/// Cuts a batch into messages; rows are of uneven width, so parts that are still too large are cut again.
fn cut(batch: RecordBatch, out: &mut Vec<RecordBatch>) {
    let rows = batch.num_rows();
    let bytes: usize = batch.columns().iter().map(|column| message_bytes(column)).sum();
    if bytes <= MESSAGE_BYTES || rows <= 1 {
        if rows > 0 {
            out.push(batch);
        }
        return;
    }
    let part = (rows / bytes.div_ceil(MESSAGE_BYTES)).clamp(1, rows.div_ceil(2));
    for first in (0..rows).step_by(part) {
        cut(batch.slice(first, part.min(rows - first)), out);
    }
}

/// Encodes a stream; the schema message always comes first, also for an answer without rows.
pub(crate) fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
    compression: Option<CompressionType>,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    let stamp = schema.clone();
    let messages = batches.flat_map(move |batch| {
        let batch =
            batch.and_then(|b| restamp(&b, &stamp).map_err(|e| defect("an answer is not as it was promised", e)));
        let mut parts = Vec::new();
        let failed = batch.map(|batch| cut(batch, &mut parts)).err();
        stream::iter(parts.into_iter().map(Ok).chain(failed.map(|status| Err(FlightError::from(status)))))
    });
    // Never fails: the format's version that compression needs is the default.
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap_or_default();
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema).with_options(options);
    encoder.with_max_flight_data_size(usize::MAX).build(messages).map(|message| message.map_err(Status::from))
}

/// A schema as an encapsulated IPC message.
///
/// # Errors
/// INTERNAL when it cannot be encoded.
pub(crate) fn schema_message(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
    Ok(message.map_err(|e| defect("a schema could not be encoded", e))?.0)
}

#[cfg(test)]
mod tests;
