//! The rows of an append as bytes: one Arrow IPC record batch, lz4 unless it is small, without its schema message.
//!
//! Layout: `metadata length u32 | message metadata | body`; no rows are no bytes. The schema is
//! [`tidemark_fold::columns::log_schema`] and belongs to the format version of the group payload (`record.rs`).

use std::{cell::RefCell, collections::HashMap};

use arrow::{
    array::{Array, RecordBatch},
    buffer::Buffer,
    error::ArrowError,
};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    reader::read_record_batch,
    root_as_message,
    writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
};
use bytes::Bytes;
use tidemark_fold::columns::log_schema;

use super::LogError;

thread_local! {
    /// Compression tables and scratch of this thread's encodings: building them anew costs more than a small batch.
    static CONTEXT: RefCell<IpcWriteContext> = RefCell::new(IpcWriteContext::default());
}

/// Rows up to this many bytes are not compressed: setting the compressor up for each of their buffers takes more time
/// than everything else about a small append, and saves nothing of a group's sync. Each message says which it is.
const PLAIN_BYTES_MAX: usize = 8 << 10;

fn bytes_of(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| column.get_buffer_memory_size()).sum()
}

/// Rows of `columns::log_schema()` as one Arrow IPC record batch (lz4 unless it is small) without its schema message.
#[derive(Debug, Clone)]
pub struct EncodedRows(Bytes);

impl EncodedRows {
    /// Encodes rows of [`tidemark_fold::columns::log_schema`].
    ///
    /// # Errors
    /// When the batch has another schema.
    pub fn encode(rows: &RecordBatch) -> Result<Self, LogError> {
        if rows.schema_ref().fields() != log_schema().fields() {
            return Err(ArrowError::SchemaError("rows of the log have the schema of the log".to_owned()).into());
        }
        if rows.num_rows() == 0 {
            return Ok(Self(Bytes::new()));
        }
        // Buffers aligned to 8 bytes: with the usual 64 the padding of a small append would outweigh its rows.
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?
            .try_with_compression((bytes_of(rows) > PLAIN_BYTES_MAX).then_some(CompressionType::LZ4_FRAME))?;
        let (_dictionaries, message) = CONTEXT.with_borrow_mut(|context| {
            IpcDataGenerator::default().encode(rows, &mut DictionaryTracker::new(true), &options, context)
        })?;
        let metadata_len = u32::try_from(message.ipc_message.len())
            .map_err(|_too_long| ArrowError::IpcError("the message metadata is too long".to_owned()))?;
        let mut bytes = Vec::with_capacity(4 + message.ipc_message.len() + message.arrow_data.len());
        bytes.extend_from_slice(&metadata_len.to_le_bytes());
        bytes.extend_from_slice(&message.ipc_message);
        bytes.extend_from_slice(&message.arrow_data);
        Ok(Self(bytes.into()))
    }

    /// How many bytes it takes in a group.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, as they stand in a group.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads what [`EncodedRows::encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    if bytes.is_empty() {
        return Ok(RecordBatch::new_empty(log_schema()));
    }
    let broken = || ArrowError::IpcError("the rows are cut short or are no record batch".to_owned());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_narrow| broken())?;
    let (metadata, body) = rest.split_at_checked(length).ok_or_else(broken)?;
    let message = root_as_message(metadata).map_err(|error| ArrowError::IpcError(error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(broken)?;
    let body = Buffer::from(body);
    read_record_batch(&body, batch, log_schema(), &HashMap::new(), None, &message.version())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;

    use super::*;
    use crate::log::tests::rows;

    #[test]
    fn rows_come_back_as_they_went() {
        for count in [0, 1, 7, 5000] {
            let batch = rows(count, "seed");
            let encoded = EncodedRows::encode(&batch).expect("encodes");
            assert_eq!(encoded.is_empty(), count == 0);
            assert_eq!(decode(encoded.as_bytes()).expect("decodes"), batch);
        }
    }

    #[test]
    fn other_schemas_and_cut_bytes_are_refused() {
        let other = RecordBatch::new_empty(Schema::empty().into());
        assert!(matches!(EncodedRows::encode(&other), Err(LogError::Rows(_))));
        let encoded = EncodedRows::encode(&rows(3, "x")).expect("encodes");
        for cut in [1, 4, 9] {
            assert!(decode(&encoded.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
