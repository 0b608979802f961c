//! From a stored file to the wanted rows, on a blocking thread.
//!
//! 1. The end of the file comes in one request; what of the footer it does not hold, in a second.
//! 2. `prune` leaves the row groups that can hold wanted rows.
//! 3. The decoder asks for byte ranges and gets them, one row group at a time; filter columns come first.

mod filter;
mod prune;

use std::{ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        push_decoder::ParquetPushDecoderBuilder,
    },
    errors::{ParquetError, Result},
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};
use tokio::runtime::Handle;

use super::Wanted;
use crate::StoreError;

/// What is read of the end of a file at first: the footer of most files, the whole of small ones.
const TAIL_BYTES: u64 = 128 << 10;
/// The most rows of a batch.
const BATCH_ROWS_MAX: usize = 64 * 1024;
/// The most rows of a batch where a column of a row group is so large that its text might not fit i32 offsets.
const BATCH_ROWS_OF_LARGE: usize = 512;
/// From how many decoded bytes on a column of a row group is large.
const LARGE_COLUMN_BYTES: i64 = 1 << 30;

/// Where the bytes come from, for a thread that may wait.
pub(super) struct Source {
    objects: Arc<dyn ObjectStore>,
    runtime: Handle,
    path: Path,
}

impl Source {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, runtime: Handle, path: Path) -> Self {
        Self { objects, runtime, path }
    }

    /// The last bytes of the object and its length.
    fn tail(&self) -> Result<(Bytes, u64)> {
        let options = GetOptions { range: Some(GetRange::Suffix(TAIL_BYTES)), ..GetOptions::default() };
        let read = async {
            let got = self.objects.get_opts(&self.path, options).await?;
            let size = got.meta.size;
            Ok((got.bytes().await?, size))
        };
        self.runtime.block_on(read).map_err(|error| self.failed(error))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.runtime.block_on(self.objects.get_ranges(&self.path, ranges)).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: object_store::Error) -> ParquetError {
        ParquetError::External(Box::new(StoreError::of("get", &self.path, error)))
    }
}

/// Takes the store's error out of the library's again, if that is what it is.
pub(super) fn store_error(error: ParquetError) -> std::result::Result<StoreError, ParquetError> {
    match error {
        ParquetError::External(inner) => match inner.downcast::<StoreError>() {
            Ok(store) => Ok(*store),
            Err(other) => Err(ParquetError::External(other)),
        },
        other => Err(other),
    }
}

/// Decodes the wanted rows.
pub(super) fn decode(source: Source, wanted: &Wanted) -> Result<Vec<RecordBatch>> {
    let metadata = ArrowReaderMetadata::try_new(footer(&source, wanted)?, ArrowReaderOptions::new())?;
    let groups = prune::row_groups(&metadata, wanted, |range| source.ranges(&[range]))?;
    let rows = batch_rows(metadata.metadata(), &groups);
    let mut builder = ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
        .with_projection(projection(&metadata, wanted))
        .with_row_groups(groups)
        .with_batch_size(rows);
    if let Some(filter) = filter::exact(&metadata, wanted)? {
        builder = builder.with_row_filter(filter);
    }
    let mut decoder = builder.build()?;
    let mut batches = Vec::new();
    loop {
        match decoder.try_decode()? {
            DecodeResult::Data(batch) => batches.push(batch),
            DecodeResult::Finished => return Ok(batches),
            DecodeResult::NeedsData(ranges) => {
                let bytes = source.ranges(&ranges)?;
                decoder.push_ranges(ranges, bytes)?;
            }
        }
    }
}

/// The page index is worth its bytes only where a filter can skip pages.
fn footer(source: &Source, wanted: &Wanted) -> Result<Arc<ParquetMetaData>> {
    let is_filtered = wanted.above.is_some() || wanted.equal.is_some();
    let pages = if is_filtered { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let (tail, size) = source.tail()?;
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size)?.with_page_index_policy(pages);
    decoder.push_range(size - tail.len() as u64..size, tail)?;
    loop {
        match decoder.try_decode()? {
            DecodeResult::Data(metadata) => return Ok(Arc::new(metadata)),
            DecodeResult::NeedsData(ranges) => {
                let bytes = source.ranges(&ranges)?;
                decoder.push_ranges(ranges, bytes)?;
            }
            DecodeResult::Finished => return Err(ParquetError::General("the footer ends early".to_owned())),
        }
    }
}

fn projection(metadata: &ArrowReaderMetadata, wanted: &Wanted) -> ProjectionMask {
    let Some(columns) = &wanted.columns else { return ProjectionMask::all() };
    let fields = metadata.schema().fields();
    let leaves = (0..fields.len()).filter(|at| columns.iter().any(|name| name == fields[*at].name()));
    ProjectionMask::leaves(metadata.parquet_schema(), leaves)
}

/// Text columns have i32 offsets, so no batch may hold 2 GiB of one.
fn batch_rows(metadata: &ParquetMetaData, groups: &[usize]) -> usize {
    let columns = groups.iter().flat_map(|group| metadata.row_group(*group).columns());
    let largest = columns.map(|column| column.uncompressed_size()).max().unwrap_or(0);
    if largest < LARGE_COLUMN_BYTES { BATCH_ROWS_MAX } else { BATCH_ROWS_OF_LARGE }
}
