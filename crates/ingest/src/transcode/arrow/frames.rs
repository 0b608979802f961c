//! The frames of an Arrow IPC stream, walked without decoding one: `FFFFFFFF | length | metadata | body`, again and again.

use arrow::ipc::{CompressionType, MessageHeader, RecordBatch, root_as_message};

use super::invalid;
use crate::error::Error;

const CONTINUATION: u32 = u32::MAX;
/// Bytes in front of a compressed buffer that tell its length.
const LENGTH_BYTES: usize = 8;

/// What is still allowed.
struct Allowance {
    rows: usize,
    rows_max: usize,
    bytes: usize,
    bytes_max: usize,
}

/// Refuses a stream that does not hold what its frames say, or that holds more than is taken.
pub(super) fn check(stream: &[u8], (rows_max, bytes_max): (usize, usize)) -> Result<(), Error> {
    let mut allowed = Allowance { rows: 0, rows_max, bytes: 0, bytes_max };
    let mut rest = stream;
    let mut frames = 0usize;
    while let Some((metadata, after)) = metadata(rest)? {
        let message = root_as_message(metadata).map_err(|error| invalid(&crate::error::shown(&error.to_string())))?;
        let length = usize::try_from(message.bodyLength()).ok().filter(|length| *length <= after.len());
        let (body, next) = after.split_at(length.ok_or_else(|| invalid("a frame is cut off"))?);
        match message.header_type() {
            MessageHeader::Schema if frames == 0 => {}
            MessageHeader::RecordBatch if frames > 0 => {
                let batch = message.header_as_record_batch().ok_or_else(|| invalid("a frame is empty"))?;
                allowed.rows(batch.length())?;
                allowed.buffers(&batch, body)?;
            }
            MessageHeader::DictionaryBatch if frames > 0 => {
                let dictionary = message.header_as_dictionary_batch();
                let batch = dictionary.and_then(|dictionary| dictionary.data());
                allowed.buffers(&batch.ok_or_else(|| invalid("a frame is empty"))?, body)?;
            }
            _ => return Err(invalid("it does not begin with a schema followed by batches")),
        }
        frames += 1;
        rest = next;
    }
    match (frames, allowed.rows) {
        (0, _) => Err(invalid("it has no schema")),
        (_, 0) => Err(Error::Body { code: "empty_body", detail: "the body holds no event".to_owned() }),
        _ => Ok(()),
    }
}

/// Metadata, and what follows it.
type Split<'s> = (&'s [u8], &'s [u8]);

/// The metadata of the next frame and what follows it; nothing at the end.
fn metadata(stream: &[u8]) -> Result<Option<Split<'_>>, Error> {
    let word = |bytes: &[u8]| bytes.first_chunk::<4>().map(|word| u32::from_le_bytes(*word));
    let (length, rest) = match word(stream) {
        None if stream.is_empty() => return Ok(None),
        // Streams from before version 0.15 have no continuation mark.
        Some(CONTINUATION) => (word(&stream[4..]), stream.get(8..)),
        length => (length, stream.get(4..)),
    };
    match (length.and_then(|length| usize::try_from(length).ok()), rest) {
        (Some(0), Some(_)) => Ok(None),
        (Some(length), Some(rest)) if length <= rest.len() => Ok(Some(rest.split_at(length))),
        _ => Err(invalid("a frame is cut off")),
    }
}

impl Allowance {
    fn rows(&mut self, rows: i64) -> Result<(), Error> {
        let rows = usize::try_from(rows).map_err(|_negative| invalid("a batch has a negative number of rows"))?;
        self.rows = self.rows.saturating_add(rows);
        if self.rows > self.rows_max { Err(Error::TooManyEvents { limit: self.rows_max }) } else { Ok(()) }
    }

    fn buffers(&mut self, batch: &RecordBatch<'_>, body: &[u8]) -> Result<(), Error> {
        let compression = batch.compression();
        if compression.as_ref().is_some_and(|compression| compression.codec() != CompressionType::ZSTD) {
            return Err(invalid("its buffers are compressed by LZ4: use zstd, or Content-Encoding"));
        }
        for buffer in batch.buffers().into_iter().flatten() {
            let at = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
            let bytes = at.and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?));
            let bytes = bytes.ok_or_else(|| invalid("a buffer lies outside of its frame"))?;
            let claimed = match bytes.first_chunk::<LENGTH_BYTES>() {
                Some(length) if compression.is_some() => i64::from_le_bytes(*length),
                None if compression.is_some() && !bytes.is_empty() => return Err(invalid("a buffer is cut off")),
                _ => -1,
            };
            // −1: not compressed.
            let claimed = if claimed == -1 { bytes.len() } else { usize::try_from(claimed).unwrap_or(usize::MAX) };
            self.bytes = self.bytes.saturating_add(claimed);
            if self.bytes > self.bytes_max {
                return Err(Error::BodyTooLarge { limit: self.bytes_max, where_: "decompressed" });
            }
        }
        Ok(())
    }
}
