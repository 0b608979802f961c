//! The columns of events, changes, states and tombstones, and their Arrow schemas.
//!
//! Names and orders are a persisted format: log groups carry no schema message and rely on [`log_schema`].
//! Timestamps are microseconds UTC, integers Int64, text Utf8 (i32 offsets). Typed columns of documents stand behind
//! the lake's own columns, in the order of their field ids.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemark_model::{DocSchema, FieldType};

/// Columns of the events table.
pub mod event {
    /// The id of the event: the sender's or a ULID. Utf8, never null.
    pub const ID: &str = "id";
    /// `invoice.paid`; of a change `collection.insert|update|delete`. Utf8, never null.
    pub const TYPE: &str = "type";
    /// Source time. Never null in the table; null in the log where the sender gave none (it is the system time).
    pub const TS: &str = "ts";
    /// Where it came from. Utf8.
    pub const SOURCE: &str = "source";
    /// What it is about. Utf8.
    pub const SUBJECT: &str = "subject";
    /// Who did it: text, or JSON text of an object. Utf8.
    pub const ACTOR: &str = "actor";
    /// The payload as JSON text; of a change its document, null where a delete carries none. Utf8.
    pub const DATA: &str = "data";
    /// What the sender adds about the event, JSON text. Utf8.
    pub const META: &str = "meta";
    /// Of a change: the collection. Utf8, null for plain events.
    pub const COLLECTION: &str = "collection";
    /// Of a change: the key of the document. Utf8.
    pub const DOCUMENT_ID: &str = "document_id";
    /// Of a change: `insert`, `update` or `delete`. Utf8.
    pub const OP: &str = "op";
    /// Of a change: the image before it as the source sent it, JSON text. Utf8.
    pub const PREV: &str = "prev";
    /// Of a change: the source's order inside one instant. Utf8.
    pub const BOOKMARK: &str = "bookmark";
    /// System time of the append.
    pub const SYSTEM_TIME: &str = "_system_time";
    /// Shard of the position. Int64.
    pub const SHARD: &str = "_shard";
    /// Sequence of the position. Int64.
    pub const SEQ: &str = "_seq";
}

/// The lake's own columns of changes, states and tombstones; typed columns follow them.
pub mod doc {
    /// The key of the document. Utf8, never null.
    pub const ID: &str = "_id";
    /// `insert`, `update` or `delete`. Utf8, never null; changes only.
    pub const OP: &str = "_op";
    /// Source time, never null (the system time where the sender gave none).
    pub const TS: &str = "_ts";
    /// System time, never null.
    pub const SYSTEM_TIME: &str = "_system_time";
    /// Sequence in the collection's shard. Int64, never null.
    pub const SEQ: &str = "_seq";
    /// Utf8.
    pub const BOOKMARK: &str = "_bookmark";
    /// Utf8.
    pub const EVENT_ID: &str = "_event_id";
    /// Utf8; changes only.
    pub const ACTOR: &str = "_actor";
    /// The document exactly as sent, JSON text. Null for a delete without an image.
    pub const DOC: &str = "_doc";
    /// The image before, as the source sent it; changes only.
    pub const PREV: &str = "_prev";
}

/// Where a version row holds: half-open on both clocks; an end that is null is none.
pub mod period {
    /// Source time of the change. Never null.
    pub const VALID_FROM: &str = "_valid_from";
    /// Source time of the change that follows it there.
    pub const VALID_TO: &str = "_valid_to";
    /// The system time from which it was known to hold. Never null.
    pub const SYSTEM_FROM: &str = "_system_from";
    /// The system time from which it was known not to.
    pub const SYSTEM_TO: &str = "_system_to";
}

/// Microseconds UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn time(name: &str, nullable: bool) -> Field {
    Field::new(name, timestamp(), nullable)
}

fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn event_fields(ts_nullable: bool) -> Vec<Field> {
    let mut fields = vec![text(event::ID, false), text(event::TYPE, false), time(event::TS, ts_nullable)];
    let rest = [event::SOURCE, event::SUBJECT, event::ACTOR, event::DATA, event::META];
    let change = [event::COLLECTION, event::DOCUMENT_ID, event::OP, event::PREV, event::BOOKMARK];
    fields.extend(rest.into_iter().chain(change).map(|name| text(name, true)));
    fields
}

/// The rows of an append as the log holds them: events without position and system time, which the group header tells
/// for all rows together; `ts` null where the sender gave none.
#[must_use]
pub fn log_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(event_fields(true))));
    Arc::clone(&SCHEMA)
}

/// The events table.
#[must_use]
pub fn events_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = event_fields(false);
        fields.extend([time(event::SYSTEM_TIME, false), int(event::SHARD), int(event::SEQ)]);
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// The Arrow type of a typed column.
#[must_use]
pub fn arrow_type(of: FieldType) -> DataType {
    match of {
        FieldType::Boolean => DataType::Boolean,
        FieldType::Int64 => DataType::Int64,
        FieldType::Float64 => DataType::Float64,
        FieldType::Utf8 | FieldType::Json | FieldType::InstantText => DataType::Utf8,
        FieldType::Timestamp => timestamp(),
    }
}

fn typed(schema: &DocSchema) -> impl Iterator<Item = Field> + '_ {
    schema.fields.iter().map(|field| Field::new(&field.name, arrow_type(field.column_type()), true))
}

fn key_fields() -> [Field; 1] {
    [text(doc::ID, false)]
}

fn order_fields() -> [Field; 4] {
    [time(doc::TS, false), time(doc::SYSTEM_TIME, false), int(doc::SEQ), text(doc::BOOKMARK, true)]
}

/// Changes of one collection (delta files, overlays).
#[must_use]
pub fn changes_schema(schema: &DocSchema) -> SchemaRef {
    let mut fields: Vec<Field> = key_fields().into();
    fields.push(text(doc::OP, false));
    fields.extend(order_fields());
    fields.extend([doc::EVENT_ID, doc::ACTOR, doc::DOC, doc::PREV].map(|name| text(name, true)));
    fields.extend(typed(schema));
    Arc::new(Schema::new(fields))
}

/// Documents of one collection (state files): winners that are not deletes.
#[must_use]
pub fn state_schema(schema: &DocSchema) -> SchemaRef {
    let mut fields: Vec<Field> = key_fields().into();
    fields.extend(order_fields());
    fields.extend([doc::EVENT_ID, doc::DOC].map(|name| text(name, true)));
    fields.extend(typed(schema));
    Arc::new(Schema::new(fields))
}

/// Ids and order of documents whose winner is a delete: no image.
#[must_use]
pub fn tombstones_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields: Vec<Field> = key_fields().into();
        fields.extend(order_fields());
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// What SQL shows of a collection: `_id`, the typed fields, `_ts, _system_time, _seq, _doc`.
#[must_use]
pub fn table_schema(schema: &DocSchema) -> SchemaRef {
    let mut fields: Vec<Field> = key_fields().into();
    fields.extend(typed(schema));
    fields.extend([time(doc::TS, false), time(doc::SYSTEM_TIME, false), int(doc::SEQ), text(doc::DOC, true)]);
    Arc::new(Schema::new(fields))
}

fn period_fields() -> [Field; 4] {
    [
        time(period::VALID_FROM, false),
        time(period::VALID_TO, true),
        time(period::SYSTEM_FROM, false),
        time(period::SYSTEM_TO, true),
    ]
}

/// What SQL shows of the versions of a collection: the columns of the table, and where each row holds.
#[must_use]
pub fn versions_schema(schema: &DocSchema) -> SchemaRef {
    let table = table_schema(schema);
    Arc::new(Schema::new(
        table.fields().iter().map(|field| field.as_ref().clone()).chain(period_fields()).collect::<Vec<_>>(),
    ))
}

/// What SQL shows of the changes of a collection: `_id, _op`, the typed fields, the order, and what a change carries.
#[must_use]
pub fn change_rows_schema(schema: &DocSchema) -> SchemaRef {
    let mut fields: Vec<Field> = key_fields().into();
    fields.push(text(doc::OP, false));
    fields.extend(typed(schema));
    fields.extend(order_fields());
    fields.extend([doc::EVENT_ID, doc::ACTOR, doc::DOC, doc::PREV].map(|name| text(name, true)));
    Arc::new(Schema::new(fields))
}

/// What SQL shows of the history of a collection: the columns of its changes, and where each row holds.
#[must_use]
pub fn history_schema(schema: &DocSchema) -> SchemaRef {
    let changes = change_rows_schema(schema);
    Arc::new(Schema::new(
        changes.fields().iter().map(|field| field.as_ref().clone()).chain(period_fields()).collect::<Vec<_>>(),
    ))
}
