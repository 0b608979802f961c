//! Every row of a file, a batch at a time: what stays in memory is the encoded row group and one decoded batch.

use arrow::array::RecordBatch;
use object_store::path::Path;
use parquet::{DecodeResult, arrow::push_decoder::ParquetPushDecoder, file::metadata::ParquetMetaData};

use super::{Opened, Source, Wanted, decoder};
use crate::{
    Store,
    files::{FileError, on_blocking_thread},
};

/// The most rows of a batch.
const ROWS_MAX: u64 = 8192;

/// The rows of a file, in its order.
pub struct Rows {
    source: Source,
    /// Absent at the end and after a failure.
    decoder: Option<ParquetPushDecoder>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("path", &self.source.path).finish_non_exhaustive()
    }
}

impl Rows {
    /// Reads the footer. Batches will take about `batch_bytes` in memory, as far as the footer tells how large rows are.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn open(store: &Store, path: &Path, batch_bytes: u64) -> Result<Self, FileError> {
        let wanted = Wanted::default();
        let Opened { source, metadata } = Opened::for_wanted(store, path.clone(), &wanted).await?;
        let groups: Vec<usize> = (0..metadata.metadata().num_row_groups()).collect();
        let rows = batch_bytes / row_bytes(metadata.metadata()).max(1);
        let rows = usize::try_from(rows.clamp(1, ROWS_MAX)).unwrap_or(1);
        let decoder = decoder(&metadata, (groups, rows), &wanted).map_err(|error| source.broken(error))?;
        Ok(Self { source, decoder: Some(decoder) })
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// [`FileError`]; there is no next batch then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, FileError> {
        while let Some(mut decoder) = self.decoder.take() {
            let turn = on_blocking_thread(&self.source.path, "read", move || {
                let result = decoder.try_decode()?;
                Ok((decoder, result))
            });
            let (mut decoder, result) = turn.await?;
            match result {
                DecodeResult::Data(batch) => {
                    self.decoder = Some(decoder);
                    return Ok(Some(batch));
                }
                DecodeResult::NeedsData(missing) => {
                    let bytes = self.source.ranges(&missing).await?;
                    decoder.push_ranges(missing, bytes).map_err(|error| self.source.broken(error))?;
                    self.decoder = Some(decoder);
                }
                DecodeResult::Finished => {}
            }
        }
        Ok(None)
    }
}

/// Bytes of a decoded row in the row group whose rows are largest.
fn row_bytes(metadata: &ParquetMetaData) -> u64 {
    let of = metadata.row_groups().iter().map(|group| {
        let bytes: i64 = group.columns().iter().map(|column| column.uncompressed_size()).sum();
        bytes.unsigned_abs() / group.num_rows().unsigned_abs().max(1)
    });
    of.max().unwrap_or(0)
}
