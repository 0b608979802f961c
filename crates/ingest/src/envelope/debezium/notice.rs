//! What Debezium sends that is no change of a document, kept as plain events: logical messages, DDL, borders of
//! transactions, heartbeats, tombstones.

use std::borrow::Cow;

use super::Origin;
use crate::{
    envelope::{
        Context,
        object::{Object, written},
        shard_of,
    },
    fields::Fields,
    refusal::Refusal,
    row::{Row, RowId, RowKind, Text},
};

const TIMES: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];

/// Whether a record without `type` and `op` is one of these.
pub(super) fn is_worn(fields: &Fields<'_>) -> bool {
    let is_known = ["ddl", "event_count", "ts_ms"].iter().any(|name| fields.raw_other(name).is_some());
    is_known && of(&Object::of(fields)).is_some()
}

/// The type of event that a message without `op` becomes.
pub(super) fn of(message: &Object<'_>) -> Option<&'static str> {
    let is_heartbeat = !message.is_empty() && message.iter().all(|(name, _)| TIMES.contains(&name.as_ref()));
    let ends = || message.text("status").is_some_and(|status| status == "BEGIN" || status == "END");
    if message.has("ddl") && message.has("source") {
        Some("debezium.schema_change")
    } else if message.has("event_count") && message.has("id") && ends() {
        Some("debezium.transaction")
    } else {
        is_heartbeat.then_some("debezium.heartbeat")
    }
}

/// The plain event of such a message.
pub(super) fn row<'a>(
    index: u32,
    event_type: &'static str,
    message: &Object<'a>,
    context: &Context<'_>,
) -> Result<Row<'a>, Refusal> {
    let origin = Origin::of_message(message);
    let said = message.iter().filter(|(name, _)| *name != "source").map(|(name, raw)| (name.as_ref(), raw));
    let meta = message.get("source").map(Cow::Borrowed);
    let (data, ts) = (written(said).map(Cow::Owned), origin.ts(context.latest_ts)?);
    let mut row = event(index, event_type, data, context);
    (row.ts, row.meta, row.source, row.subject) = (ts, meta, origin.source(), origin.subject());
    Ok(row)
}

/// The plain event of a tombstone.
pub(super) fn tombstone<'a>(index: u32, key: Option<&'a str>, context: &Context<'_>) -> Row<'a> {
    let data = key.and_then(|key| written(std::iter::once(("key", key)))).map(Cow::Owned);
    event(index, "debezium.tombstone", data, context)
}

fn event<'a>(index: u32, event_type: &'static str, data: Option<Text<'a>>, context: &Context<'_>) -> Row<'a> {
    let id = RowId::made(context.ids.ulid(context.now));
    let shard = shard_of(id.as_str(), context.shards);
    let kind = RowKind::Event { event_type: event_type.into() };
    Row { index, shard, id, kind, ts: None, source: None, subject: None, actor: None, data, meta: None }
}
