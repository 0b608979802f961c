//! Raw → valid: everything about a request that needs no lock and no waiting.
//!
//! Inflate, check UTF-8, read every record once, sort rows, make columns, hash ids and contents. Runs on a blocking
//! thread when the body is large. Deduplication and the log come after (append).

use std::sync::Arc;

use tidemark_model::{CollectionName, Ids, Instant, Namespace, Shard};

use crate::{
    admission::{Admission, Proposal},
    batch::ValidBatch,
    budget::Reservation,
    config::Config,
    declared::{InForce, Rules},
    envelope::{self, Collections, Context},
    error::Error,
    fields::Fields,
    hash,
    parse::{self, Sink},
    refusal::{Code, Refusal, Refused},
    rejected::Sender,
    request::{Format, KEY_BYTES_MAX, OnError, Origin, Request, Sequenced},
    row::{Row, RowKind, Text},
    transcode,
    truncate::{TRUNCATES_MAX, Truncation},
};

/// What reading a request needs besides the request.
#[derive(Debug)]
pub(crate) struct Door<'d> {
    pub(crate) limits: &'d Config,
    pub(crate) ids: &'d Ids,
    pub(crate) admission: &'d Arc<Admission>,
    pub(crate) rules: &'d Rules,
    pub(crate) shards: u16,
    pub(crate) now: Instant,
    /// Whether somebody knows which documents live.
    pub(crate) can_truncate: bool,
    /// Whether refused records are kept.
    pub(crate) notes: bool,
}

/// An idempotency key, or what stands in for one, on its way.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// As the client spells it, cut, for messages.
    pub(crate) shown: String,
    pub(crate) key: u128,
    pub(crate) body: u128,
    /// Of a request whose sequence stands in for a key.
    pub(crate) producer: Option<Sequenced>,
}

/// A request whose records are valid, apart from those that `partial` leaves out.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) batch: ValidBatch,
    /// Truncates, each with the rows behind it.
    pub(crate) rest: Vec<(Truncation, ValidBatch)>,
    pub(crate) key: Option<Key>,
    pub(crate) refused: Refused,
    pub(crate) on_error: OnError,
    /// Where its records come from.
    pub(crate) sender: Sender,
    pub(crate) total: usize,
    /// Decoded bytes of the body.
    pub(crate) decoded: usize,
    /// The place of the body among the bytes in flight; held until the ack.
    pub(crate) place: Option<Reservation>,
    /// The collections that it would make; held until the ack.
    pub(crate) proposal: Proposal,
}

impl Prepared {
    /// A part of a request, whose body and collections were counted with the first.
    pub(crate) fn part(batch: ValidBatch, on_error: OnError, total: usize) -> Self {
        let (rest, key, refused, decoded) = (Vec::new(), None, Refused::default(), 0);
        let sender = Sender::default();
        Self { batch, rest, key, refused, on_error, sender, total, decoded, place: None, proposal: Proposal::default() }
    }
}

/// Reads a request.
pub(crate) fn prepare(namespace: &Namespace, mut request: Request, door: &Door<'_>) -> Result<Prepared, Error> {
    let (decoded, format) = transcode::decoded(&mut request.batch, &request.target, door.limits)?;
    let (latest_ts, event_bytes_max) = match request.origin {
        Origin::Client => {
            let ahead = i64::from(door.limits.ts_ahead_s_max) * 1_000_000;
            (door.now.plus_micros(ahead), door.limits.event_bytes_max)
        }
        Origin::Lake => (Instant::MAX, door.limits.inflated_bytes_max),
    };
    let context = Context {
        target: &request.target,
        ids: door.ids,
        now: door.now,
        latest_ts,
        shards: door.shards,
        event_bytes_max,
        depth_max: door.limits.depth_max,
        reading: &request.reading,
        document_keys: door.limits.document_keys.get(namespace.as_str()),
        can_truncate: door.can_truncate,
        is_cloud: matches!(format, Format::CloudEvents | Format::CloudEventsBatch),
    };
    let noted_bytes =
        (door.notes && request.on_error == OnError::Partial).then_some(door.limits.rejected_record_bytes_max);
    let mut taken = Taken::new(&context, (request.on_error, noted_bytes), door.rules.in_force(namespace));
    let batch_id = parse::records(decoded.text(), format, door.limits.events_max, &mut taken)?;
    let Taken { rows, collections, refused, first, total, truncates, .. } = taken;
    if let (OnError::Reject, Some(first)) = (request.on_error, first) {
        return Err(Error::Records { count: refused.count, total, first, errors: refused.listed });
    }
    let collections = collections.into_names();
    let limit = door.limits.collections_max;
    let proposal = door.admission.propose(namespace, &collections, limit)?;
    let shards: Vec<_> = collections.iter().map(|name| door.admission.shard_of(namespace, name, door.shards)).collect();
    let build = |rows| ValidBatch::build(rows, &collections, &shards).map_err(|error| Error::Rows("built", error));
    let (rows, divided) = if truncates == 0 { (rows, Vec::new()) } else { divided(rows, &collections, &shards) };
    let batch = build(rows)?;
    let rest = divided.into_iter().map(|(truncation, rows)| Ok((truncation, build(rows)?)));
    let rest = rest.collect::<Result<_, Error>>()?;
    let key = request.key.or_else(|| batch_id.map(std::borrow::Cow::into_owned));
    let key = key.map(|key| hashed(&key, hash::body(&request.target, decoded.bytes()))).transpose()?;
    Ok(Prepared {
        batch,
        rest,
        key,
        refused,
        on_error: request.on_error,
        sender: Sender { door: request.door, collection: request.target.collection().cloned() },
        total,
        decoded: decoded.bytes().len(),
        place: request.batch.place,
        proposal,
    })
}

/// The rows before the first truncate, and each truncate with the rows behind it.
fn divided<'a>(
    rows: Vec<Row<'a>>,
    collections: &[CollectionName],
    shards: &[Shard],
) -> (Vec<Row<'a>>, Vec<(Truncation, Vec<Row<'a>>)>) {
    let (mut before, mut divided): (_, Vec<(Truncation, Vec<Row<'a>>)>) = (Vec::new(), Vec::new());
    for row in rows {
        let Row { index, ts, .. } = row;
        match row.kind {
            RowKind::Truncate { collection, bookmark } => {
                let owned = |text: Option<Text<'_>>| text.map(Text::into_owned);
                let truncation = Truncation {
                    index,
                    collection: collections[collection].clone(),
                    shard: shards[collection],
                    ts,
                    bookmark: owned(bookmark),
                    source: owned(row.source),
                    subject: owned(row.subject),
                    meta: owned(row.meta),
                };
                divided.push((truncation, Vec::new()));
            }
            _ => divided.last_mut().map_or(&mut before, |(_, behind)| behind).push(row),
        }
    }
    (before, divided)
}

fn hashed(key: &str, body: u128) -> Result<Key, Error> {
    let shown = crate::error::shown(key);
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(Key { shown, key: hash::key(key), body, producer: None });
    }
    Err(Error::Parameter { what: "idempotency key", value: shown, allowed: "use 1 to 256 bytes" })
}

/// Records as they are read.
struct Taken<'a, 'c> {
    context: &'c Context<'c>,
    on_error: OnError,
    /// How much of a refused record is noted, if it is.
    noted_bytes: Option<usize>,
    rows: Vec<Row<'a>>,
    collections: Collections,
    /// Declared schemas of the namespace, if it has any.
    rules: Option<InForce>,
    refused: Refused,
    first: Option<Refusal>,
    total: usize,
    /// How many truncates there were.
    truncates: usize,
}

impl<'c> Taken<'_, 'c> {
    fn new(
        context: &'c Context<'c>,
        (on_error, noted_bytes): (OnError, Option<usize>),
        rules: Option<InForce>,
    ) -> Self {
        let (rows, collections, refused) = (Vec::new(), Collections::default(), Refused::default());
        Self { context, on_error, noted_bytes, rows, collections, rules, refused, first: None, total: 0, truncates: 0 }
    }

    /// A change whose document fits the declared schema of its collection.
    fn fits<'r>(&self, row: Row<'r>, fields: &Fields<'_>) -> Result<Row<'r>, Refusal> {
        let Some(rules) = &self.rules else { return Ok(row) };
        let name = row.collection().and_then(|at| self.collections.name(at));
        let rule = name.and_then(|name| rules.get(name));
        let (Some(rule), Some(document)) = (rule, row.data.as_deref()) else { return Ok(row) };
        rule.check(document).map(|()| row).map_err(|(pointer, why)| {
            let document = envelope::document_pointer(fields, self.context);
            Refusal::new(Code::SchemaMismatch, format!("{document}{pointer}"), why)
        })
    }

    fn refuse(&mut self, index: usize, id: Option<&str>, refusal: Refusal, written: impl FnOnce() -> Option<String>) {
        self.refused.add(|| refusal.of_record(index, id));
        if let Some(bytes_max) = self.noted_bytes {
            self.refused.note(refusal.of_record(index, id), bytes_max, written);
        }
        self.first.get_or_insert(refusal);
    }
}

impl<'a> Sink<'a> for Taken<'a, '_> {
    fn record(&mut self, index: usize, fields: Result<&Fields<'a>, Refusal>, text: Option<&'a str>) {
        self.total = index + 1;
        let alone = || text.map(|text| text.trim_ascii().to_owned());
        let fields = match fields {
            Ok(fields) => fields,
            Err(refusal) => return self.refuse(index, None, refusal, alone),
        };
        // In an array only its fields are at hand.
        let written = || alone().or_else(|| envelope::written(fields));
        // Where the request is lost already, further records are only looked at for what is wrong with them.
        let read = envelope::read(index, fields, self.context, &mut self.collections);
        match read.and_then(|row| self.fits(row, fields)) {
            Ok(_) if self.on_error == OnError::Reject && self.first.is_some() => {}
            Ok(Row { kind: RowKind::Truncate { .. }, .. }) if self.truncates == TRUNCATES_MAX => {
                let message = format!("one request takes {TRUNCATES_MAX} truncates: send them in parts");
                self.refuse(index, None, Refusal::new(Code::UnsupportedOp, "/op", message), written);
            }
            Ok(row) => {
                self.truncates += usize::from(matches!(row.kind, RowKind::Truncate { .. }));
                self.rows.push(row);
            }
            Err(refusal) => {
                let id = envelope::shown_id(fields, self.context);
                self.refuse(index, id.as_deref(), refusal, written);
            }
        }
    }
}
