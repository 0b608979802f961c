//! The native envelope of changes: `id, op, doc, prev, ts, bookmark, actor, event_id` and `collection` where the path
//! does not name it; `source`, `subject` and `meta` as in events. A field that nobody knows is refused, not dropped.

use std::borrow::Cow;

use tidemark_model::Op;

use super::{
    Collections, Common, Context, DOCUMENT_ID_BYTES_MAX, bookmark, collection_of, common, event_id, missing, shard_of,
    unknown_field,
};
use crate::{
    fields::{Fields, Slot, within},
    refusal::{Code, Refusal},
    row::{Row, RowKind, Text},
};

const ENVELOPE: &[Slot] = &[
    Slot::Id,
    Slot::Op,
    Slot::Doc,
    Slot::Prev,
    Slot::Ts,
    Slot::Bookmark,
    Slot::Actor,
    Slot::EventId,
    Slot::Collection,
    Slot::Source,
    Slot::Subject,
    Slot::Meta,
];

/// Reads one change. The shard is that of a collection that does not exist yet; an existing one's is put in later.
pub(super) fn read<'a>(
    index: u32,
    fields: &Fields<'a>,
    context: &Context<'_>,
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    if let Some((name, _)) = fields.unknown(ENVELOPE).next() {
        return Err(unknown_field("a change", name));
    }
    let change = Change {
        collection: collection_of(fields, context.target)?,
        document_id: document_id(fields)?,
        op: op(fields)?,
        doc: fields.object(Slot::Doc)?.map(Cow::Borrowed),
        prev: fields.object(Slot::Prev)?.map(Cow::Borrowed),
        bookmark: bookmark(fields)?,
    };
    row((index, Slot::EventId), change, (fields, context), collections)
}

/// What a record says of one document.
pub(super) struct Change<'a, 'n> {
    pub(super) collection: Cow<'n, str>,
    pub(super) document_id: Text<'a>,
    pub(super) op: Op,
    pub(super) doc: Option<Text<'a>>,
    pub(super) prev: Option<Text<'a>>,
    pub(super) bookmark: Option<Text<'a>>,
}

/// The row of a change whose event id stands in `slot`.
pub(super) fn row<'a>(
    (index, slot): (u32, Slot),
    change: Change<'a, '_>,
    (fields, context): (&Fields<'a>, &Context<'_>),
    collections: &mut Collections,
) -> Result<Row<'a>, Refusal> {
    let Change { collection: name, document_id, op, doc: data, prev, bookmark } = change;
    if data.is_none() && op != Op::Delete {
        return Err(missing(Slot::Doc));
    }
    let collection = collections.number(&name, Slot::Collection)?;
    let id = event_id(fields, slot, context)?;
    let Common { ts, source, subject, actor, meta } = common(fields, context)?;
    let kind = RowKind::Change { collection, document_id, op, prev, bookmark };
    let shard = shard_of(&name, context.shards);
    Ok(Row { index, shard, id, kind, ts, source, subject, actor, data, meta })
}

fn document_id<'a>(fields: &Fields<'a>) -> Result<Text<'a>, Refusal> {
    let raw = fields.get(Slot::Id).ok_or_else(|| missing(Slot::Id))?;
    let is_integer = raw.strip_prefix('-').unwrap_or(raw).bytes().all(|b| b.is_ascii_digit());
    if is_integer {
        return within(Slot::Id, raw.into(), DOCUMENT_ID_BYTES_MAX);
    }
    if !raw.starts_with('"') {
        return Err(Refusal::new(Code::InvalidId, Slot::Id.pointer(), "id must be a string or an integer"));
    }
    fields.short_text(Slot::Id, DOCUMENT_ID_BYTES_MAX)?.ok_or_else(|| missing(Slot::Id))
}

fn op(fields: &Fields<'_>) -> Result<Op, Refusal> {
    let text = fields.text(Slot::Op)?.ok_or_else(|| missing(Slot::Op))?;
    Op::parse(&text).ok_or_else(|| {
        let message = format!("op {:?} is not known: use insert, update or delete", crate::error::shown(&text));
        Refusal::new(Code::InvalidOp, Slot::Op.pointer(), message)
    })
}
