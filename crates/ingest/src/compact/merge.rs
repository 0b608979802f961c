//! Several sorted events files as one, a batch at a time.
//!
//! Of every file one batch is in memory (together about [`DECODED_BYTES`]) beside its encoded row group (together less than the
//! files' bytes), and what makes up the next batch of the result (about [`CHUNK_BYTES`]).

use std::cmp::Ordering;

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::TimestampMicrosecondType,
};
use object_store::path::Path;
use tidemark_catalog::manifest::EventsFile;
use tidemark_fold::{
    columns::event,
    runs::{self, Run},
};
use tidemark_storage::{Store, files::Rows};

use crate::error::Error;

/// Decoded bytes of the batches of all files together, about.
const DECODED_BYTES: u64 = 64 << 20;
/// Rows of a batch of the result.
const CHUNK_ROWS: usize = 8 * 1024;
/// Decoded bytes of used-up batches from which on a batch of the result is made of them: text columns have i32 offsets.
const CHUNK_BYTES: usize = 32 << 20;

/// Files that are merged, in order of arrival: of rows that are equal in order the earlier one stands first.
pub(super) struct Merge {
    inputs: Vec<Input>,
}

/// One file: the rest of its rows.
struct Input {
    rows: Rows,
    /// Absent at the end.
    head: Option<Head>,
}

/// The batch of a file that is being used up.
struct Head {
    batch: RecordBatch,
    keys: Keys,
    row: usize,
}

/// What rows are sorted by.
struct Keys {
    collections: StringArray,
    types: StringArray,
    times: TimestampMicrosecondArray,
}

impl Merge {
    /// Opens the files.
    pub(super) async fn open(store: &Store, files: &[EventsFile]) -> Result<Self, Error> {
        let batch_bytes = DECODED_BYTES / (files.len() as u64).max(1);
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            let rows = Rows::open(store, &Path::from(file.path.as_str()), batch_bytes).await?;
            let mut input = Input { rows, head: None };
            input.load().await?;
            inputs.push(input);
        }
        Ok(Self { inputs })
    }

    /// The next rows; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let mut chunk = Chunk::new(&self.inputs);
        while chunk.rows < CHUNK_ROWS && chunk.used_up < CHUNK_BYTES {
            let Some((input, limit)) = self.least() else { break };
            let Some((from, to)) = self.stretch(input, limit, CHUNK_ROWS - chunk.rows) else { break };
            chunk.push(input, from, to);
            let Some(head) = &mut self.inputs[input].head else { break };
            head.row = to;
            if to == head.batch.num_rows() {
                chunk.used_up += head.batch.get_array_memory_size();
                self.inputs[input].load().await?;
                chunk.follow(input, &self.inputs[input]);
            }
        }
        chunk.copied().await
    }

    /// The file whose next row comes first, and the one that is next after it.
    fn least(&self) -> Option<(usize, Option<usize>)> {
        let mut least = None;
        let mut second = None;
        for at in (0..self.inputs.len()).filter(|at| self.inputs[*at].head.is_some()) {
            match least {
                Some(known) if self.order(at, known).is_lt() => (least, second) = (Some(at), least),
                Some(_) if second.is_none_or(|known| self.order(at, known).is_lt()) => second = Some(at),
                Some(_) => {}
                None => least = Some(at),
            }
        }
        least.map(|least| (least, second))
    }

    /// How the next rows of two files stand to each other.
    fn order(&self, a: usize, b: usize) -> Ordering {
        let key = |at: usize| self.inputs[at].head.as_ref().map(|head| head.keys.at(head.row));
        key(a).cmp(&key(b)).then(a.cmp(&b))
    }

    /// The rows of a file that come before the next row of another.
    fn stretch(&self, input: usize, limit: Option<usize>, rows_max: usize) -> Option<(usize, usize)> {
        let head = self.inputs[input].head.as_ref()?;
        let end = head.batch.num_rows().min(head.row + rows_max);
        let Some(limit) = limit else { return Some((head.row, end)) };
        let other = self.inputs[limit].head.as_ref()?;
        let bound = other.keys.at(other.row);
        let comes_first = |row: &usize| head.keys.at(*row).cmp(&bound).then(input.cmp(&limit)).is_lt();
        let to = (head.row + 1..end).find(|row| !comes_first(row)).unwrap_or(end);
        Some((head.row, to))
    }
}

impl Input {
    /// Takes the next batch that has rows.
    async fn load(&mut self) -> Result<(), Error> {
        self.head = None;
        while let Some(batch) = self.rows.next().await? {
            if batch.num_rows() > 0 {
                self.head = Some(Head { keys: Keys::of(&batch)?, batch, row: 0 });
                break;
            }
        }
        Ok(())
    }
}

impl Keys {
    fn of(batch: &RecordBatch) -> Result<Self, Error> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>().cloned();
        let times = || batch.column_by_name(event::TS)?.as_primitive_opt::<TimestampMicrosecondType>().cloned();
        match (text(event::COLLECTION), text(event::TYPE), times()) {
            (Some(collections), Some(types), Some(times)) => Ok(Self { collections, types, times }),
            _ => Err(Error::Internal("an events file lacks the columns it is sorted by".to_owned())),
        }
    }

    fn at(&self, row: usize) -> (Option<&str>, &str, i64) {
        let collection = self.collections.is_valid(row).then(|| self.collections.value(row));
        (collection, self.types.value(row), self.times.value(row))
    }
}

/// The next batch of the result, as runs of the batches it is made of.
struct Chunk {
    sources: Vec<RecordBatch>,
    /// Which source is the batch of each file now.
    current: Vec<usize>,
    runs: Vec<Run>,
    rows: usize,
    /// Decoded bytes of sources that are used up.
    used_up: usize,
}

impl Chunk {
    fn new(inputs: &[Input]) -> Self {
        let mut chunk =
            Self { sources: Vec::new(), current: vec![0; inputs.len()], runs: Vec::new(), rows: 0, used_up: 0 };
        inputs.iter().enumerate().for_each(|(at, input)| chunk.follow(at, input));
        chunk
    }

    /// Notes the batch of a file.
    fn follow(&mut self, at: usize, input: &Input) {
        if let Some(head) = &input.head {
            self.current[at] = self.sources.len();
            self.sources.push(head.batch.clone());
        }
    }

    fn push(&mut self, input: usize, from: usize, to: usize) {
        let batch = self.current[input];
        self.rows += to - from;
        match self.runs.last_mut() {
            Some(last) if last.batch == batch && last.to == from => last.to = to,
            _ => self.runs.push(Run { batch, from, to }),
        }
    }

    /// The rows, copied on a thread that may block.
    async fn copied(self) -> Result<Option<RecordBatch>, Error> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        let Self { sources, runs, .. } = self;
        let copied = tokio::task::spawn_blocking(move || runs::copy(&sources.iter().collect::<Vec<_>>(), &runs));
        let copied =
            copied.await.map_err(|_ended| Error::Internal("the task that merges events ended early".to_owned()))?;
        copied.map(Some).map_err(|error| Error::Rows("merged", error))
    }
}

#[cfg(test)]
mod tests;
