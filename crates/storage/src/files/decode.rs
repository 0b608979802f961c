//! From a stored file to the wanted rows.
//!
//! 1. The end of the file comes in one request; what of the footer it does not hold, in a second.
//! 2. `prune` leaves the row groups that can hold wanted rows.
//! 3. Where rows of a span of a sorted column are wanted, `span` leaves the pages that can hold some.
//! 4. The decoder asks for byte ranges and gets them, one row group at a time; filter columns come first.
//!
//! Bytes are awaited on the runtime, pages are decoded on a blocking thread; no blocking thread ever waits for bytes,
//! so any number of readers share few of them.

mod filter;
mod prune;
mod rows;
mod span;

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    error::ArrowError,
};
use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    },
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder},
};

pub use self::rows::Rows;
use super::{FileError, Page, Wanted, on_blocking_thread};
use crate::{Store, StoreError};

/// What is read of the end of a file at first: the footer of most files, the whole of small ones.
const TAIL_BYTES: u64 = 128 << 10;
/// The most rows of a batch.
const BATCH_ROWS_MAX: usize = 64 * 1024;
/// The most rows of a batch where a column of a row group is so large that its text might not fit i32 offsets.
const BATCH_ROWS_OF_LARGE: usize = 512;
/// From how many decoded bytes on a column of a row group is large.
const LARGE_COLUMN_BYTES: i64 = 1 << 30;

/// A file whose footer was read: any number of its parts are read without reading that again.
#[derive(Debug)]
pub struct Opened {
    source: Source,
    metadata: ArrowReaderMetadata,
}

impl Opened {
    /// Reads the footer of a file, and of its pages where they lie and what they can hold.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn open(store: &Store, path: Path) -> Result<Self, FileError> {
        Self::with(Source { objects: store.objects(), path }, PageIndexPolicy::Optional).await
    }

    /// The page index is worth its bytes only where a filter can skip pages.
    pub(super) async fn for_wanted(store: &Store, path: Path, wanted: &Wanted) -> Result<Self, FileError> {
        let is_filtered = wanted.above.is_some() || wanted.equal.is_some() || wanted.span.is_some();
        let pages = if is_filtered { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        Self::with(Source { objects: store.objects(), path }, pages).await
    }

    async fn with(source: Source, pages: PageIndexPolicy) -> Result<Self, FileError> {
        let footer = footer(&source, pages).await?;
        let read = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new());
        let metadata = read.map_err(|error| source.broken(error))?;
        Ok(Self { source, metadata })
    }

    /// Decodes the wanted rows on a blocking thread, in batches of at most 64 k rows.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn read(&self, wanted: &Wanted) -> Result<Vec<RecordBatch>, FileError> {
        let source = &self.source;
        let groups = row_groups(source, &self.metadata, wanted).await?;
        let rows = batch_rows(self.metadata.metadata(), &groups);
        let mut decoder = decoder(&self.metadata, (groups, rows), wanted).map_err(|error| source.broken(error))?;
        let mut batches = Vec::new();
        loop {
            let turn = on_blocking_thread(&source.path, "read", move || until_bytes_are_missing(decoder, rows)).await?;
            batches.extend(turn.batches);
            let Some(missing) = turn.missing else { return Ok(batches) };
            let bytes = source.ranges(&missing).await?;
            decoder = turn.decoder;
            decoder.push_ranges(missing, bytes).map_err(|error| source.broken(error))?;
        }
    }

    /// The pages of a text column the file is sorted by, in order; a row group without a page index counts as one page.
    ///
    /// # Errors
    /// [`FileError::Parquet`] when there is no such column.
    pub fn pages(&self, column: &str) -> Result<Vec<Page>, FileError> {
        span::pages(&self.metadata, column).map_err(|error| self.source.broken(error))
    }
}

/// Where the bytes come from.
#[derive(Debug)]
struct Source {
    objects: Arc<dyn ObjectStore>,
    path: Path,
}

impl Source {
    /// The last bytes of the object and its length.
    async fn tail(&self) -> Result<(Bytes, u64), FileError> {
        let options = GetOptions { range: Some(GetRange::Suffix(TAIL_BYTES)), ..GetOptions::default() };
        let read = async {
            let got = self.objects.get_opts(&self.path, options).await?;
            let size = got.meta.size;
            Ok((got.bytes().await?, size))
        };
        read.await.map_err(|error| self.away(error))
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, FileError> {
        self.objects.get_ranges(&self.path, ranges).await.map_err(|error| self.away(error))
    }

    fn away(&self, error: object_store::Error) -> FileError {
        FileError::Store(StoreError::of("get", &self.path, error))
    }

    fn broken(&self, source: ParquetError) -> FileError {
        FileError::Parquet { path: self.path.to_string(), verb: "read", source }
    }
}

/// What a decoder made of the bytes it had, without room to spare.
struct Turn {
    decoder: ParquetPushDecoder,
    batches: Vec<RecordBatch>,
    /// What it needs to go on; `None` at the end.
    missing: Option<Vec<Range<u64>>>,
}

fn until_bytes_are_missing(mut decoder: ParquetPushDecoder, batch_rows: usize) -> Result<Turn, ParquetError> {
    let mut batches = Vec::new();
    let missing = loop {
        match decoder.try_decode()? {
            DecodeResult::Data(batch) => batches.push(fitted(batch, batch_rows)?),
            DecodeResult::NeedsData(ranges) => break Some(ranges),
            DecodeResult::Finished => break None,
        }
    };
    Ok(Turn { decoder, batches, missing })
}

/// A batch without what the decoder laid out for a whole batch of rows, of which few were wanted: callers keep these.
fn fitted(batch: RecordBatch, laid_out: usize) -> Result<RecordBatch, ArrowError> {
    if batch.num_rows() >= laid_out / 2 {
        return Ok(batch);
    }
    let (schema, mut columns, rows) = batch.into_parts();
    columns.iter_mut().for_each(Array::shrink_to_fit);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// The row groups that may hold wanted rows.
async fn row_groups(source: &Source, metadata: &ArrowReaderMetadata, wanted: &Wanted) -> Result<Vec<usize>, FileError> {
    let mut groups = prune::by_statistics(metadata, wanted).map_err(|error| source.broken(error))?;
    let Some((column, text)) = &wanted.equal else { return Ok(groups) };
    let blooms: Vec<(usize, Range<u64>)> =
        groups.iter().filter_map(|group| Some((*group, prune::bloom_range(metadata, column, *group)?))).collect();
    if blooms.is_empty() {
        return Ok(groups);
    }
    let ranges: Vec<Range<u64>> = blooms.iter().map(|(_group, range)| range.clone()).collect();
    for ((group, _range), bytes) in blooms.iter().zip(source.ranges(&ranges).await?) {
        if !prune::may_hold(&bytes, text).map_err(|error| source.broken(error))? {
            groups.retain(|kept| kept != group);
        }
    }
    Ok(groups)
}

fn decoder(
    metadata: &ArrowReaderMetadata,
    (groups, rows): (Vec<usize>, usize),
    wanted: &Wanted,
) -> Result<ParquetPushDecoder, ParquetError> {
    let filter = filter::exact(metadata, &groups, wanted)?;
    let pages = wanted.span.as_ref().map(|span| span::selection(metadata, &groups, span)).transpose()?.flatten();
    let builder = ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
        .with_projection(projection(metadata, wanted))
        .with_row_groups(groups)
        .with_batch_size(rows);
    let builder = match pages {
        Some(pages) => builder.with_row_selection(pages),
        None => builder,
    };
    match filter {
        Some(filter) => builder.with_row_filter(filter).build(),
        None => builder.build(),
    }
}

async fn footer(source: &Source, pages: PageIndexPolicy) -> Result<Arc<ParquetMetaData>, FileError> {
    let (tail, size) = source.tail().await?;
    let broken = |error| source.broken(error);
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size).map_err(broken)?.with_page_index_policy(pages);
    decoder.push_range(size - tail.len() as u64..size, tail).map_err(broken)?;
    loop {
        match decoder.try_decode().map_err(broken)? {
            DecodeResult::Data(metadata) => return Ok(Arc::new(metadata)),
            DecodeResult::NeedsData(ranges) => {
                let bytes = source.ranges(&ranges).await?;
                decoder.push_ranges(ranges, bytes).map_err(broken)?;
            }
            DecodeResult::Finished => return Err(broken(ParquetError::General("the footer ends early".to_owned()))),
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
