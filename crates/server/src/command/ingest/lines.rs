//! A file becomes batches of lines: each knows where it begins and which line each of its records is.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// The longest line that is read, bytes; servers take less.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// The most bytes of a batch; a longer line is a batch of its own.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Bytes that can be read on another thread.
pub(in crate::command) type Reader = Box<dyn Read + Send>;

/// Where lines come from.
pub(in crate::command) struct Source {
    /// What tells this source from others: the name and the size of the file.
    pub(in crate::command) key: String,
    /// Its lines, inflated.
    pub(in crate::command) reader: Reader,
}

impl Source {
    /// Opens a file; `.gz` and `.zst` are inflated. `watch` sees the bytes as they are in the file.
    pub(in crate::command) fn open(file: &Path, watch: impl FnOnce(File) -> Reader) -> io::Result<Self> {
        let opened = File::open(file)?;
        let size = opened.metadata()?.len();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let raw = watch(opened);
        let reader: Reader = match file.extension().and_then(|suffix| suffix.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            Some("zst" | "zstd") => Box::new(zstd::stream::read::Decoder::new(raw)?),
            _ => raw,
        };
        Ok(Self { key: format!("{name} {size}"), reader })
    }
}

/// Some lines of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::command) struct Batch {
    /// Where its first line begins, inflated bytes from the beginning of the source.
    pub(in crate::command) offset: u64,
    /// The number of each line, from 1; blank ones are left out.
    pub(in crate::command) numbers: Vec<u64>,
    /// The lines, each with its end.
    pub(in crate::command) bytes: Vec<u8>,
}

/// The source could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::command) enum ReadError {
    /// A line without an end in sight.
    #[error("line {0} is longer than {LINE_BYTES_MAX} bytes: is this a file of JSON lines?")]
    LongLine(u64),
    /// The file, or its compression.
    #[error("line {line} cannot be read: {source}")]
    Broken {
        /// The line.
        line: u64,
        /// What is wrong.
        source: io::Error,
    },
}

/// Cuts a source into batches; ends at its end or after the first error.
pub(in crate::command) struct Batches {
    reader: BufReader<Reader>,
    lines_max: usize,
    line: u64,
    offset: u64,
    /// Read, but too long for the batch before.
    held: Option<(u64, Vec<u8>)>,
    ended: bool,
}

impl Batches {
    /// Batches of at most `lines_max` lines.
    pub(in crate::command) fn new(reader: Reader, lines_max: usize) -> Self {
        Self { reader: BufReader::new(reader), lines_max, line: 0, offset: 0, held: None, ended: false }
    }

    /// The next line that is not blank, with its number and where it begins.
    fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
        loop {
            let mut bytes = Vec::new();
            self.line += 1;
            let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
            let read = read.map_err(|source| ReadError::Broken { line: self.line, source })?;
            match read {
                0 => return Ok(None),
                n if n as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") => {
                    return Err(ReadError::LongLine(self.line));
                }
                _ if bytes.trim_ascii().is_empty() => self.offset += bytes.len() as u64,
                _ => return Ok(Some((self.line, bytes))),
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        let mut batch = Batch { offset: self.offset, ..Batch::default() };
        while batch.numbers.len() < self.lines_max {
            let next = match self.held.take() {
                Some(held) => Some(held),
                None => self.next_line()?,
            };
            let Some((number, mut bytes)) = next else { break };
            if !batch.numbers.is_empty() && batch.bytes.len() + bytes.len() > BATCH_BYTES_MAX {
                self.held = Some((number, bytes));
                break;
            }
            self.offset += bytes.len() as u64;
            batch.numbers.push(number);
            batch.bytes.append(&mut bytes);
        }
        Ok((!batch.numbers.is_empty()).then_some(batch))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_batch().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &str, lines_max: usize) -> Vec<(u64, Vec<u64>, usize)> {
        let reader: Reader = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let batches = Batches::new(reader, lines_max).map(|batch| batch.expect("readable"));
        batches.map(|batch| (batch.offset, batch.numbers, batch.bytes.len())).collect()
    }

    #[test]
    fn lines_become_batches() {
        assert_eq!(batches("", 2), []);
        assert_eq!(batches("\n \n", 2), []);
        assert_eq!(batches("a\nb\nc", 2), [(0, vec![1, 2], 4), (4, vec![3], 1)]);
        assert_eq!(batches("a\n\nb\r\n\nc\n", 2), [(0, vec![1, 3], 5), (6, vec![5], 2)]);
        let long = "x".repeat(BATCH_BYTES_MAX);
        assert_eq!(
            batches(&format!("a\n{long}\nb\n"), 9),
            [(0, vec![1], 2), (2, vec![2], BATCH_BYTES_MAX + 1), (2 + BATCH_BYTES_MAX as u64 + 1, vec![3], 2)]
        );
    }

    #[test]
    fn compressed_files_are_inflated_and_broken_ones_named() {
        let home = tempfile::tempdir().expect("a directory");
        let text = b"{\"a\":1}\n{\"a\":2}\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut gzip, text).expect("written");
        let gzip = gzip.finish().expect("finished");
        let zstd = zstd::encode_all(&text[..], 1).expect("encoded");
        let cut = gzip[..gzip.len() - 12].to_vec();
        for (name, bytes, whole) in
            [("a.ndjson", text.to_vec(), true), ("a.gz", gzip, true), ("a.zst", zstd, true), ("cut.gz", cut, false)]
        {
            let file = home.path().join(name);
            std::fs::write(&file, bytes).expect("written");
            let source = Source::open(&file, |file| Box::new(file)).expect("opened");
            let batches: Result<Vec<_>, _> = Batches::new(source.reader, 10).collect();
            assert_eq!(batches.as_ref().map(|b| b[0].numbers.len()).ok(), whole.then_some(2), "{name} {batches:?}");
        }
    }
}
