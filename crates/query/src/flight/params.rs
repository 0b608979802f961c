//! Bound parameters: batches of a DoPut become the bytes a handle carries, and those become values.

use arrow::{
    array::{Array, RecordBatch},
    buffer::Buffer,
    compute::cast,
    datatypes::DataType,
    error::ArrowError,
};
use arrow_flight::{FlightData, decode::FlightRecordBatchStream, error::FlightError};
use arrow_ipc::{reader::StreamDecoder, writer::StreamWriter};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::{Stream, TryStreamExt, future::ready};
use tonic::Status;

use super::status::{defect, invalid};

/// Most rows that can be bound at once: each is a query of its own.
const BOUND_ROWS_MAX: usize = 1_000;
/// Most bytes of bound parameters: the handle that carries them travels with every call.
const BOUND_BYTES_MAX: usize = 1 << 20;
/// Most bytes of the messages that bring them, which may repeat dictionaries.
const BODY_BYTES_MAX: usize = 4 * BOUND_BYTES_MAX;

/// Reads the rows of a DoPut as an IPC stream.
///
/// # Errors
/// INVALID_ARGUMENT past a limit or when the data cannot be read.
pub(crate) async fn gather(
    data: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<Bytes, Status> {
    // The message that names what is bound may bring nothing else.
    let data = data.try_filter(|message| ready(!message.data_header.is_empty()));
    // Before anything is decoded: dictionaries are kept, and no batch may follow them.
    let mut read = 0;
    let data = data.and_then(move |message| {
        read += message.data_body.len();
        ready(if read > BODY_BYTES_MAX { Err(too_many()) } else { Ok(message) })
    });
    let mut stream = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
    let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = stream.try_next().await.map_err(unreadable)? {
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        if rows > BOUND_ROWS_MAX || bytes > BOUND_BYTES_MAX {
            return Err(too_many());
        }
        batches.push(batch);
    }
    let Some(schema) = stream.schema().cloned() else { return Ok(Bytes::new()) };
    if schema.fields().is_empty() {
        return Ok(Bytes::new());
    }
    let write = || -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()?;
        writer.into_inner()
    };
    Ok(write().map_err(|e| defect("parameters could not be kept", e))?.into())
}

fn too_many() -> Status {
    invalid(format!(
        "more than {BOUND_ROWS_MAX} rows or {BOUND_BYTES_MAX} bytes of parameters: bind fewer rows at once"
    ))
}

fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => invalid(format!("the parameters cannot be read: {other}")),
    }
}

/// The values of every bound row.
///
/// # Errors
/// INVALID_ARGUMENT when the bytes are no IPC stream.
pub(crate) fn rows(stream: &[u8]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let read = || -> Result<Vec<Vec<ScalarValue>>, ArrowError> {
        // Not a reader: that one takes memory for as much as a length in the bytes claims.
        let (mut decoder, mut bytes) = (StreamDecoder::new(), Buffer::from(stream));
        let mut rows = Vec::new();
        while !bytes.is_empty() {
            if let Some(batch) = decoder.decode(&mut bytes)? {
                rows.extend(rows_of(&batch)?);
            }
        }
        decoder.finish()?;
        Ok(rows)
    };
    read().map_err(|e| invalid(format!("the parameters cannot be read: {e}")))
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Vec<ScalarValue>>, ArrowError> {
    let columns: Vec<_> =
        batch.columns().iter().map(|column| cast(column, &flat(column.data_type()))).collect::<Result<_, _>>()?;
    let value = |column: &dyn Array, row| {
        ScalarValue::try_from_array(column, row).map_err(|e| ArrowError::ExternalError(Box::new(e)))
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| value(column, row)).collect()).collect()
}

/// The type of a value without its encoding.
fn flat(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => flat(value),
        DataType::RunEndEncoded(_, value) => flat(value.data_type()),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int8Array, Int32Array, StringArray, StringViewArray},
        datatypes::{Field, Int8Type, Schema},
    };
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use arrow_ipc::{MessageHeader, root_as_message};

    use super::*;

    async fn bound(batches: Vec<RecordBatch>, schema: Arc<Schema>) -> Result<Bytes, Status> {
        let data = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(futures::stream::iter(batches.into_iter().map(Ok)));
        gather(data.map_err(Status::from)).await
    }

    #[tokio::test]
    async fn rows_come_back_whatever_their_encoding() {
        let dictionary: DictionaryArray<Int8Type> = vec![Some("a"), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("0", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("1", Arc::new(dictionary)),
            ("2", Arc::new(StringViewArray::from(vec!["x", "longer than twelve bytes"]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let bytes = bound(vec![batch.clone()], batch.schema()).await.unwrap();
        let utf8 = |s: Option<&str>| ScalarValue::Utf8(s.map(str::to_owned));
        assert_eq!(
            rows(&bytes).unwrap(),
            [
                vec![ScalarValue::Int32(Some(1)), utf8(Some("a")), utf8(Some("x"))],
                vec![ScalarValue::Int32(None), utf8(None), utf8(Some("longer than twelve bytes"))],
            ]
        );
    }

    #[tokio::test]
    async fn nothing_bound_and_no_rows_differ() {
        let schema = Arc::new(Schema::new(vec![Field::new("0", DataType::Int32, true)]));
        let none = bound(vec![], schema.clone()).await.unwrap();
        assert!(!none.is_empty() && rows(&none).unwrap().is_empty());
        assert!(bound(vec![], Arc::new(Schema::empty())).await.unwrap().is_empty());
        let many = Int32Array::from(vec![0; BOUND_ROWS_MAX + 1]);
        let many = RecordBatch::try_new(schema.clone(), vec![Arc::new(many)]).unwrap();
        assert_eq!(bound(vec![many], schema).await.unwrap_err().code(), tonic::Code::InvalidArgument);
        for bad in [&b"garbage"[..], b"\xff\xff\xff\xff\xff\xff\xff\x7f", &none[..none.len() / 2]] {
            assert!(rows(bad).is_err());
        }
    }

    #[tokio::test]
    async fn dictionaries_without_rows_have_a_bound_too() {
        let large = |n: usize| {
            let values = StringArray::from(vec![n.to_string().repeat(BOUND_BYTES_MAX)]);
            let column = DictionaryArray::new(Int8Array::from(vec![0]), Arc::new(values));
            RecordBatch::try_from_iter([("0", Arc::new(column) as ArrayRef)]).unwrap()
        };
        for (count, is_refused) in [(2, false), (6, true)] {
            let batches: Vec<_> = (0..count).map(large).collect();
            let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
                .with_schema(batches[0].schema())
                .with_dictionary_handling(DictionaryHandling::Resend)
                .build(futures::stream::iter(batches.into_iter().map(Ok)))
                .try_filter(|message| {
                    let kind = root_as_message(&message.data_header).unwrap().header_type();
                    ready(kind != MessageHeader::RecordBatch)
                })
                .try_collect()
                .await
                .unwrap();
            assert_eq!(messages.len(), 1 + count, "a schema and dictionaries");
            let gathered = gather(futures::stream::iter(messages.into_iter().map(Ok))).await;
            assert_eq!(gathered.is_err_and(|error| error.message().contains("bind fewer rows")), is_refused, "{count}");
        }
    }
}
