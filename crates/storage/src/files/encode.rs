//! From rows to the bytes of a file and their checksum.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::{arrow::ArrowWriter, errors::Result};
use sha2::{Digest, Sha256};
use tidemark_model::hex;

use super::{Content, FileKind, layout};

/// The bytes of a file that is not stored yet.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) rows: u64,
    pub(super) sha256: String,
}

/// Encodes the whole content. Takes CPU time: not for a task of the runtime.
pub(super) fn encode(kind: FileKind, content: &Content) -> Result<Encoded> {
    let rows = content.batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
    let properties = layout::properties(kind, &content.schema, rows, &content.metadata)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), content.schema.clone(), Some(properties))?;
    for batch in &content.batches {
        writer.write(batch)?;
    }
    let bytes = Bytes::from(writer.into_inner()?);
    Ok(Encoded { rows, sha256: hex::encode(&Sha256::digest(&bytes)), bytes })
}
