//! Spellings of answers that other systems take in whole: Parquet files, and documents as changes.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{SchemaRef, TimestampMicrosecondType},
    error::ArrowError,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use tidemark_model::Instant;

use super::{cell::plain, render::Render};

/// Rows of a row group at most.
const GROUP_ROWS_MAX: usize = 128 << 10;
/// Bytes of a row group from which on it is written out: all that is held of an answer.
const GROUP_BYTES: usize = 32 << 20;

/// A Parquet file, a row group at a time; a broken one has no footer.
pub(crate) struct Parquet(ArrowWriter<Vec<u8>>);

impl Parquet {
    /// A file of these columns.
    pub(crate) fn of(schema: SchemaRef) -> Result<Self, ArrowError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .build();
        Ok(Self(ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(unwritable)?))
    }
}

fn unwritable(error: ParquetError) -> ArrowError {
    ArrowError::ParquetError(error.to_string())
}

impl Render for Parquet {
    fn open(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.append(self.0.inner_mut());
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        self.0.write(batch).map_err(unwritable)?;
        if self.0.in_progress_size() >= GROUP_BYTES {
            self.0.flush().map_err(unwritable)?;
        }
        out.append(self.0.inner_mut());
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        self.0.finish().map_err(unwritable)?;
        out.append(self.0.inner_mut());
        Ok(())
    }
}

/// `{"op":"insert","id":…,"ts":…,"doc":…}` a line, of columns `_id, _ts, _doc`; the document is written as it was sent, but
/// for the ends of lines between its tokens, which become spaces.
pub(crate) struct Changes;

/// Inside of strings JSON has no raw ends of lines.
pub(crate) fn one_line(document: &str, out: &mut Vec<u8>) {
    out.extend(document.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

impl Render for Changes {
    fn open(&mut self, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let other = || ArrowError::SchemaError("an export of documents has the columns _id, _ts and _doc".to_owned());
        let text = |nth: usize| batch.columns().get(nth).and_then(|column| column.as_string_opt::<i32>());
        let times = batch.columns().get(1).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let (Some(ids), Some(times), Some(documents)) = (text(0), times, text(2)) else { return Err(other()) };
        for row in (0..batch.num_rows()).filter(|row| documents.is_valid(*row)) {
            out.extend_from_slice(b"{\"op\":\"insert\",\"id\":");
            plain(ids.value(row), out);
            out.extend_from_slice(b",\"ts\":");
            plain(&Instant::from_micros(times.value(row)).to_string(), out);
            out.extend_from_slice(b",\"doc\":");
            one_line(documents.value(row), out);
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }

    fn broken(&mut self, error: &crate::Error, out: &mut Vec<u8>) {
        // A line that no door takes for a change.
        out.extend_from_slice(b"{\"error\":");
        plain(&error.to_string(), out);
        out.extend_from_slice(b"}\n");
    }
}
