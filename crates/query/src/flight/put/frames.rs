//! Messages of Flight → an Arrow IPC stream. Nothing is decoded: both carry the same frames, with other things around.

use std::{collections::BTreeMap, time::Duration};

use arrow_flight::FlightData;
use arrow_ipc::{MessageHeader, root_as_message};
use bytes::Bytes;
use futures::StreamExt;
use tidemark_catalog::appends::Held;
use tonic::Status;

use super::{Data, refused};
use crate::flight::status::invalid;

/// Begins every frame of a stream.
const CONTINUATION: [u8; 4] = [0xFF; 4];
/// Metadata is padded to this.
const ALIGNMENT: usize = 8;
/// Most bytes of the dictionaries that later batches may refer to.
const DICTIONARIES_BYTES_MAX: usize = 32 << 20;
/// Bytes that a stream may hold for as long as it likes while nothing comes, and how long it may hold more.
const RESTING_BYTES_MAX: usize = 64 << 10;
const REST_MAX: Duration = Duration::from_secs(60);

/// What a message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Rows.
    Rows,
    /// What rows are read by, or nothing.
    Other,
}

/// Frames that were read and not taken yet.
#[derive(Debug)]
pub(super) struct Frames {
    /// All bytes in here, in the budget of whoever appends them: streams may rest between two messages for as long as they like.
    held: Box<dyn Held>,
    size: usize,
    /// How long it may hold much of it while nothing comes.
    rest_max: Duration,
    schema: Vec<u8>,
    /// Dictionaries as they stood before the frames that follow: a frame, and those that add to it.
    dictionaries: BTreeMap<i64, Vec<u8>>,
    frames: Vec<u8>,
    /// Dictionaries among the frames, and whether each replaces the one before.
    within: Vec<(i64, bool, Vec<u8>)>,
    has_rows: bool,
    /// Bytes of dictionaries that came since the last rows.
    unread: usize,
}

impl Frames {
    /// None yet.
    pub(super) fn new(held: Box<dyn Held>) -> Self {
        let (schema, dictionaries, frames, within) = Default::default();
        Self { held, size: 0, rest_max: REST_MAX, schema, dictionaries, frames, within, has_rows: false, unread: 0 }
    }

    /// Puts a message behind the others.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for one that is no frame of Arrow, or stands where it cannot; RESOURCE_EXHAUSTED when dictionaries come
    /// without end, or everything that waits takes as much as it may.
    pub(super) fn push(&mut self, message: &FlightData) -> Result<Pushed, Status> {
        if message.data_header.is_empty() {
            return Ok(Pushed::Other);
        }
        let header = root_as_message(&message.data_header).map_err(|e| invalid(format!("no message of Arrow: {e}")))?;
        match header.header_type() {
            MessageHeader::Schema if self.schema.is_empty() => {
                self.hold(frame_bytes(message))?;
                self.schema = frame(message);
            }
            MessageHeader::RecordBatch if !self.schema.is_empty() => {
                self.hold(frame_bytes(message))?;
                let frame = frame(message);
                self.frames.extend_from_slice(&frame);
                (self.has_rows, self.unread) = (true, 0);
                return Ok(Pushed::Rows);
            }
            MessageHeader::DictionaryBatch if !self.schema.is_empty() => {
                let dictionary = header.header_as_dictionary_batch().ok_or_else(|| invalid("a frame is empty"))?;
                self.unread += frame_bytes(message);
                if self.unread > DICTIONARIES_BYTES_MAX {
                    return Err(too_large());
                }
                // It stands among the frames and beside them.
                self.hold(2 * frame_bytes(message))?;
                let frame = frame(message);
                self.frames.extend_from_slice(&frame);
                self.within.push((dictionary.id(), !dictionary.isDelta(), frame));
            }
            _ => return Err(invalid("the messages are not a schema followed by batches")),
        }
        Ok(Pushed::Other)
    }

    /// The next message. What is held is missing to everybody else who writes, so a stream that holds much may not rest for long.
    ///
    /// # Errors
    /// What the stream ends with; DEADLINE_EXCEEDED.
    pub(super) fn next<'d>(
        &self,
        data: &'d mut Data,
    ) -> impl Future<Output = Option<Result<FlightData, Status>>> + Send + use<'d> {
        let (held, rest_max) = (self.size, self.rest_max);
        async move {
            if held <= RESTING_BYTES_MAX {
                return data.next().await;
            }
            tokio::time::timeout(rest_max, data.next()).await.unwrap_or_else(|_elapsed| Some(Err(rested(held))))
        }
    }

    /// Makes room for more.
    fn hold(&mut self, more: usize) -> Result<(), Status> {
        self.held.hold(self.size + more).map_err(|problem| refused(&problem))?;
        self.size += more;
        Ok(())
    }

    /// Whether there is something to append.
    pub(super) const fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// Bytes of the frames that were not taken.
    pub(super) fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// Everything so far as a stream; what follows goes on with the same schema and dictionaries.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when the dictionaries take too much.
    pub(super) fn take(&mut self) -> Result<Bytes, Status> {
        let dictionaries = self.dictionaries.values().map(Vec::as_slice);
        let frames = std::mem::take(&mut self.frames);
        let stream = std::iter::once(self.schema.as_slice()).chain(dictionaries).chain([frames.as_slice()]);
        let stream = stream.collect::<Vec<_>>().concat();
        for (id, replaces, frame) in std::mem::take(&mut self.within) {
            let known = self.dictionaries.entry(id).or_default();
            if replaces {
                known.clear();
            }
            known.extend_from_slice(&frame);
        }
        self.has_rows = false;
        let dictionaries = self.dictionaries.values().map(Vec::len).sum::<usize>();
        if dictionaries > DICTIONARIES_BYTES_MAX {
            return Err(too_large());
        }
        // What was taken is held by whoever appends it.
        self.size = 0;
        self.hold(self.schema.len() + dictionaries)?;
        Ok(stream.into())
    }
}

fn too_large() -> Status {
    let limit = DICTIONARIES_BYTES_MAX >> 20;
    Status::resource_exhausted(format!(
        "the dictionaries of the stream take more than {limit} MiB: send such columns without dictionaries"
    ))
}

fn rested(held: usize) -> Status {
    Status::deadline_exceeded(format!(
        "nothing came for {} s while {held} bytes wait to be appended: send the rest without such pauses, or less at a time; \
         columns with large dictionaries are sent without dictionaries",
        REST_MAX.as_secs()
    ))
}

fn padded(message: &FlightData) -> usize {
    message.data_header.len().next_multiple_of(ALIGNMENT)
}

fn frame_bytes(message: &FlightData) -> usize {
    CONTINUATION.len() + 4 + padded(message) + message.data_body.len()
}

fn frame(message: &FlightData) -> Vec<u8> {
    let padded = padded(message);
    let mut frame = Vec::with_capacity(frame_bytes(message));
    frame.extend_from_slice(&CONTINUATION);
    frame.extend_from_slice(&u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&message.data_header);
    frame.resize(CONTINUATION.len() + 4 + padded, 0);
    frame.extend_from_slice(&message.data_body);
    frame
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, sync::Arc};

    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
    use arrow_flight::{
        encode::{DictionaryHandling, FlightDataEncoderBuilder},
        error::FlightError,
    };
    use arrow_ipc::reader::StreamReader;
    use futures::TryStreamExt;
    use tidemark_model::Kind;
    use tidemark_proto::Problem;

    use super::*;

    /// A budget of so many bytes.
    #[derive(Debug)]
    struct Bounded(usize);

    impl Held for Bounded {
        fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
            let full = || Problem::new(Kind::TooMany, "back_pressure", "full");
            if bytes > self.0 { Err(full()) } else { Ok(()) }
        }
    }

    fn batch(words: &[&str], numbers: &[i64]) -> RecordBatch {
        let words: DictionaryArray<arrow::datatypes::Int32Type> = words.iter().copied().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("word", Arc::new(words)),
            ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
            ("text", Arc::new(StringArray::from(vec!["x"; numbers.len()]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Whatever is taken when, each stream reads as the batches that went in.
    #[tokio::test]
    async fn frames_become_streams() {
        let batches = [batch(&["a", "b", "a"], &[1, 2, 3]), batch(&["c", "b"], &[4, 5]), batch(&["c"], &[6])];
        let all = futures::stream::iter(batches.clone().map(Ok::<_, FlightError>));
        let encoder = FlightDataEncoderBuilder::new().with_dictionary_handling(DictionaryHandling::Resend).build(all);
        let messages: Vec<FlightData> = encoder.try_collect().await.unwrap();
        for every in [1, 2, 3] {
            let (mut frames, mut read, mut waiting) = (Frames::new(Box::new(Bounded(usize::MAX))), Vec::new(), 0);
            for message in &messages {
                waiting += usize::from(frames.push(message).unwrap() == Pushed::Rows);
                if waiting == every {
                    waiting = 0;
                    let stream = frames.take().unwrap();
                    assert_eq!((frames.has_rows(), frames.bytes()), (false, 0));
                    read.extend(StreamReader::try_new(Cursor::new(stream), None).unwrap().map(Result::unwrap));
                }
            }
            if frames.has_rows() {
                let stream = frames.take().unwrap();
                read.extend(StreamReader::try_new(Cursor::new(stream), None).unwrap().map(Result::unwrap));
            }
            let shown =
                |batches: &[RecordBatch]| arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string();
            assert_eq!(shown(&read), shown(&batches), "every {every}");
        }
    }

    #[tokio::test]
    async fn dictionaries_without_rows_come_to_an_end() {
        let all = futures::stream::iter([Ok::<_, FlightError>(batch(&["a"], &[1]))]);
        let encoder = FlightDataEncoderBuilder::new().with_dictionary_handling(DictionaryHandling::Resend).build(all);
        let [schema, dictionary, rows]: [FlightData; 3] =
            encoder.try_collect::<Vec<_>>().await.unwrap().try_into().unwrap();
        let large = FlightData { data_body: vec![0; DICTIONARIES_BYTES_MAX / 4].into(), ..dictionary };
        let mut frames = Frames::new(Box::new(Bounded(usize::MAX)));
        frames.push(&schema).unwrap();
        for _rows in 0..2 {
            for _dictionary in 0..3 {
                assert_eq!(frames.push(&large).unwrap(), Pushed::Other);
            }
            assert_eq!(frames.push(&rows).unwrap(), Pushed::Rows);
        }
        let refused = (0..4).find_map(|_nth| frames.push(&large).err()).expect("no end");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn what_waits_is_held_and_what_was_taken_is_not() {
        let one = |n| Ok::<_, FlightError>(batch(&["a"; 1000], &[n; 1000]));
        let encoder = FlightDataEncoderBuilder::new()
            .with_dictionary_handling(DictionaryHandling::Hydrate)
            .build(futures::stream::iter((0..2).map(one)));
        let [schema, first, second]: [FlightData; 3] =
            encoder.try_collect::<Vec<_>>().await.unwrap().try_into().unwrap();
        // Room for two of them and a little.
        let mut frames = Frames::new(Box::new(Bounded(2 * frame_bytes(&first) + frame_bytes(&schema))));
        frames.push(&schema).unwrap();
        frames.push(&first).unwrap();
        frames.take().unwrap();
        frames.push(&second).unwrap();
        frames.push(&second).unwrap();
        let refused = frames.push(&second).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        frames.take().unwrap();
        frames.push(&second).unwrap();
    }

    #[tokio::test]
    async fn who_holds_much_may_not_rest() {
        let batches = [batch(&["a"; 10], &[1; 10]), batch(&["a"; 10_000], &[1; 10_000])];
        let encoder = FlightDataEncoderBuilder::new()
            .with_dictionary_handling(DictionaryHandling::Hydrate)
            .build(futures::stream::iter(batches.map(Ok::<_, FlightError>)));
        let [schema, small, large]: [FlightData; 3] =
            encoder.try_collect::<Vec<_>>().await.unwrap().try_into().unwrap();
        let mut frames = Frames { rest_max: Duration::from_millis(1), ..Frames::new(Box::new(Bounded(usize::MAX))) };
        let mut silent: Data = futures::stream::pending().boxed();
        let while_it_rests = Duration::from_millis(100);
        for message in [&schema, &small] {
            frames.push(message).unwrap();
            assert!(tokio::time::timeout(while_it_rests, frames.next(&mut silent)).await.is_err());
        }
        frames.push(&large).unwrap();
        let ended = frames.next(&mut silent).await.unwrap().unwrap_err();
        assert_eq!(ended.code(), tonic::Code::DeadlineExceeded);
        frames.take().unwrap();
        assert!(
            tokio::time::timeout(while_it_rests, frames.next(&mut silent)).await.is_err(),
            "it holds nothing any more"
        );
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let of = |header: &[u8]| FlightData { data_header: Bytes::copy_from_slice(header), ..FlightData::default() };
        assert_eq!(Frames::new(Box::new(Bounded(usize::MAX))).push(&of(b"")).unwrap(), Pushed::Other);
        for header in [&b"x"[..], &[0; 64], &[0xFF; 64]] {
            assert_eq!(
                Frames::new(Box::new(Bounded(usize::MAX))).push(&of(header)).unwrap_err().code(),
                tonic::Code::InvalidArgument
            );
        }
    }
}
