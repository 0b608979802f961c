//! Messages → what goes in at the front of the room, and receipts → messages.

use bytes::Bytes;
use tidemark_model::{CollectionName, Namespace};
use tidemark_proto::{problem, v1};

use crate::{
    budget::Reservation,
    door,
    error::{Error, shown},
    front::Room,
    http::KEY_FIELDS_MAX,
    receipt::Receipt,
    request::{Encoding, Format, OnError, RawBatch, Reading, Request, Target, Tombstones},
    transcode::binary::Attributes,
};

/// Where records go, and how they are read.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) namespace: Namespace,
    target: Target,
    on_error: OnError,
    reading: Reading,
}

impl Destination {
    pub(super) fn of(target: Option<v1::Target>) -> Result<Self, Error> {
        let v1::Target { namespace, collection, on_error, key, tombstones_delete } = target.unwrap_or_default();
        let on_error = match v1::OnError::try_from(on_error) {
            Ok(v1::OnError::Unspecified | v1::OnError::Reject) => OnError::Reject,
            Ok(v1::OnError::Partial) => OnError::Partial,
            Err(_unknown) => return Err(unknown("on_error", on_error)),
        };
        if key.len() > KEY_FIELDS_MAX || key.iter().any(String::is_empty) {
            return Err(Error::Parameter {
                what: "key",
                value: shown(&key.join(",")),
                allowed: "name up to 16 fields",
            });
        }
        let target = match collection.as_str() {
            "" => Target::Events,
            name => Target::Changes(CollectionName::parse(name)?),
        };
        let tombstones = if tombstones_delete { Tombstones::Delete } else { Tombstones::Keep };
        let reading = Reading { key, tombstones };
        Ok(Self { namespace: Namespace::parse(&namespace)?, target, on_error, reading })
    }

    /// A request of records that go there.
    pub(super) fn request(&self, batch: RawBatch) -> Request {
        let (on_error, reading) = (self.on_error, self.reading.clone());
        Request { on_error, reading, door: "grpc", ..Request::new(self.target.clone(), batch) }
    }
}

fn unknown(what: &'static str, value: i32) -> Error {
    Error::Parameter {
        what,
        value: value.to_string(),
        allowed: "use one of the values that the service's description tells",
    }
}

/// The bytes of records.
pub(super) fn content(records: &v1::Records) -> Bytes {
    match &records.content {
        Some(v1::records::Content::Data(data)) => data.clone(),
        Some(v1::records::Content::Text(text)) => Bytes::copy_from_slice(text.as_bytes()),
        None => Bytes::new(),
    }
}

/// Records as a body, within the limits of bodies. Takes its place among them unless it brings one.
pub(super) fn batch(records: v1::Records, room: &Room, place: Option<Reservation>) -> Result<RawBatch, Error> {
    let format = match v1::Format::try_from(records.format) {
        Ok(v1::Format::Unspecified | v1::Format::Json) => Format::Json,
        Ok(v1::Format::Ndjson) => Format::Ndjson,
        Ok(v1::Format::CloudEvents) => Format::CloudEvents,
        Ok(v1::Format::ArrowStream) => Format::ArrowStream,
        Err(_unknown) => return Err(unknown("format", records.format)),
    };
    let encoding = match v1::Compression::try_from(records.compression) {
        Ok(v1::Compression::Unspecified) => Encoding::Identity,
        Ok(v1::Compression::Gzip) => Encoding::Gzip,
        Ok(v1::Compression::Zstd) => Encoding::Zstd,
        Err(_unknown) => return Err(unknown("compression", records.compression)),
    };
    let (bytes, limit) = (content(&records), room.config.body_bytes_max);
    if bytes.len() > limit {
        return Err(Error::BodyTooLarge { limit, where_: "on the wire" });
    }
    let place = match place {
        Some(place) => place,
        None => room.bodies.reserve(bytes.len()).ok_or_else(|| door::crowded(room.bodies.max()))?,
    };
    Ok(RawBatch { bytes, encoding, format, attributes: Attributes::new(), place: Some(place) })
}

/// A receipt as a message.
pub(super) fn receipt(receipt: Receipt) -> v1::Receipt {
    let position =
        |run: &crate::receipt::Run| v1::Positions { shard: run.shard.0.into(), first: run.first, last: run.last };
    v1::Receipt {
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        rejected: receipt.rejected,
        system_time_us: receipt.system_time.micros(),
        positions: receipt.positions.iter().map(position).collect(),
        errors: receipt.errors.into_iter().map(record_error).collect(),
        duplicate: receipt.duplicate,
    }
}

/// What is wrong with a record as a message.
pub(super) fn record_error(error: problem::RecordError) -> v1::RecordError {
    let problem::RecordError { index, id, code, pointer, message } = error;
    v1::RecordError { index: index as u64, id: id.unwrap_or_default(), code, pointer, message }
}
