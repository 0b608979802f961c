//! The native envelope of changes: `id, op, doc, prev, ts, bookmark, actor, event_id` and `collection` where the path
//! does not name it; `source`, `subject` and `meta` as in events. A field that nobody knows is refused, not dropped.

use std::borrow::Cow;

use tidemark_model::Op;

use super::{Collections, Common, Context, DOCUMENT_ID_BYTES_MAX, bookmark, common, event_id, missing, shard_of};
use crate::{
    fields::{Fields, Slot, within},
    refusal::{Code, Refusal},
    request::Target,
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
        let shown = crate::error::shown(name);
        let message = format!("a change has no field {shown:?}: put what belongs to the document into doc");
        return Err(Refusal::new(Code::UnknownField, format!("/{shown}"), message));
    }
    let name = collection(fields, context.target)?;
    let collection = collections.number(&name, Slot::Collection)?;
    let document_id = document_id(fields)?;
    let op = op(fields)?;
    let data = fields.object(Slot::Doc)?.map(Cow::Borrowed);
    if data.is_none() && op != Op::Delete {
        return Err(missing(Slot::Doc));
    }
    let prev = fields.object(Slot::Prev)?.map(Cow::Borrowed);
    let bookmark = bookmark(fields)?;
    let id = event_id(fields, Slot::EventId, context)?;
    let Common { ts, source, subject, actor, meta } = common(fields, context)?;
    let kind = RowKind::Change { collection, document_id, op, prev, bookmark };
    let shard = shard_of(&name, context.shards);
    Ok(Row { index, shard, id, kind, ts, source, subject, actor, data, meta })
}

/// From the path, or from the record; both must agree.
fn collection<'a>(fields: &Fields<'a>, target: &'a Target) -> Result<Text<'a>, Refusal> {
    let named = fields.text(Slot::Collection)?;
    match (target, named) {
        (Target::Changes(path), Some(named)) if named != path.as_str() => {
            let message = format!("collection {:?} is not {path:?}, which the path names", crate::error::shown(&named));
            Err(Refusal::new(Code::InvalidCollection, Slot::Collection.pointer(), message))
        }
        (Target::Changes(path), _) => Ok(path.as_str().into()),
        (Target::Events, named) => named.ok_or_else(|| missing(Slot::Collection)),
    }
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
