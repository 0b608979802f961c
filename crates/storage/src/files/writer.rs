//! A file that is written while its rows come: what stays in memory is a row group and a few parts of the object.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use object_store::path::Path;
use parquet::{arrow::ArrowWriter, errors::ParquetError};
use sha2::{Digest, Sha256};
use tidemark_model::hex;

use super::{FileError, FileKind, Written, layout, on_blocking_thread};
use crate::{Store, store::Upload};

/// A file under way. It is there when [`finish`](Self::finish) has returned, and not before.
#[derive(Debug)]
pub struct Writer {
    path: Path,
    /// Absent after a failure.
    rows: Option<ArrowWriter<Vec<u8>>>,
    upload: Upload,
    digest: Sha256,
    written: (u64, u64),
}

impl Writer {
    /// Begins a file of about `rows` rows under a unique name; as [`super::write()`] otherwise.
    ///
    /// # Errors
    /// [`FileError::Parquet`].
    pub fn begin(
        store: &Store,
        (kind, path): (FileKind, Path),
        schema: SchemaRef,
        (rows, metadata): (u64, &[(String, String)]),
    ) -> Result<Self, FileError> {
        let begun = layout::properties(kind, &schema, rows, metadata)
            .and_then(|properties| ArrowWriter::try_new(Vec::new(), schema, Some(properties)));
        let broken = |source| FileError::Parquet { path: path.to_string(), verb: "written", source };
        let rows = Some(begun.map_err(broken)?);
        Ok(Self { upload: store.upload(path.clone()), path, rows, digest: Sha256::new(), written: (0, 0) })
    }

    /// Takes the next rows, sorted as the kind says. Encoding runs on a blocking thread.
    ///
    /// # Errors
    /// [`FileError`]; the file is lost then.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<(), FileError> {
        self.written.0 += batch.num_rows() as u64;
        self.encode(move |rows| rows.write(&batch)).await
    }

    /// Ends the file: durable when this returns.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn finish(mut self) -> Result<Written, FileError> {
        if let Err(error) = self.encode(|rows| rows.finish().map(|_metadata| ())).await {
            self.abort().await;
            return Err(error);
        }
        self.upload.finish().await?;
        let (rows, bytes) = self.written;
        Ok(Written { path: self.path, rows, bytes, sha256: hex::encode(&self.digest.finalize()) })
    }

    /// Gives up: nothing of the file stays.
    pub async fn abort(self) {
        self.upload.abort().await;
    }

    async fn encode(
        &mut self,
        work: impl FnOnce(&mut ArrowWriter<Vec<u8>>) -> Result<(), ParquetError> + Send + 'static,
    ) -> Result<(), FileError> {
        let taken = self.rows.take().ok_or_else(|| FileError::Task { path: self.path.to_string() });
        let mut rows = taken?;
        let encoded = on_blocking_thread(&self.path, "written", move || {
            work(&mut rows)?;
            let bytes = std::mem::take(rows.inner_mut());
            Ok((rows, Bytes::from(bytes)))
        });
        let (rows, bytes) = encoded.await?;
        self.rows = Some(rows);
        if !bytes.is_empty() {
            self.digest.update(&bytes);
            self.written.1 += bytes.len() as u64;
            self.upload.write(bytes).await?;
        }
        Ok(())
    }
}
