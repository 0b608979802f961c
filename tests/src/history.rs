//! Random histories of one collection: what is sent, and what is remembered of it.
//!
//! [`History::batch`] makes the changes of the next request so that every kind of case comes up: in order and late, tied
//! with and without bookmarks, copies, deletes of what is, was and never was, documents made again, fields that change
//! their type. [`History::took`] hands the oracle what the receipt acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidemark_model::Instant;

use crate::{
    chance::Chance,
    oracle::{Acknowledged, Asked, Oracle},
};

/// Documents of a history: few, so that changes meet.
const DOCUMENTS: u64 = 8;
/// Changes of a request, at most.
const BATCH_MAX: u64 = 5;
/// Bookmarks that come up, besides none.
const BOOKMARKS: [&str; 4] = ["", "0001", "0002", "0002"];
/// Source times lie this close to each other, microseconds, so that ties happen.
const TICK_US: i64 = 1_000_000;

/// The kinds of cases that a run must have met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two changes of one document at one source time.
    Tie,
    /// A change below one of the same document that came before it.
    Late,
    /// A copy that the door refused.
    Duplicate,
    /// A document that lives again after its delete.
    DeleteAndRecreate,
    /// A delete of what never was.
    DeleteOfNothing,
    /// A column that changed its type.
    Widening,
    /// The process died in the middle of a flush.
    CrashInFlush,
    /// The process died in the middle of making a delta.
    CrashInDelta,
    /// The process died in the middle of a fold.
    CrashInFold,
    /// The process died in the middle of taking a snapshot.
    CrashInSnapshot,
    /// A snapshot of the calendar was taken days late.
    LateSnapshot,
    /// A question started from a snapshot.
    AskedFromSnapshot,
    /// The process died in the middle of keeping a checkpoint.
    CrashInCheckpoint,
    /// A question started from a checkpoint.
    AskedFromCheckpoint,
    /// The process died in the middle of cleaning up.
    CrashInCleanUp,
    /// Clean-up deleted files.
    Deleted,
    /// Deltas were rolled up.
    RolledUp,
    /// Changes beyond the window were dropped.
    Dropped,
    /// A question outside the window was refused.
    AskedOutside,
    /// The process died in the middle of a compaction.
    CrashInCompaction,
    /// Events files were put together.
    Compacted,
    /// The process died in the middle of cleaning up the events table.
    CrashInEventsCleanUp,
    /// Files of the events table were deleted.
    EventsCleaned,
    /// A question for the events themselves.
    AskedEvents,
    /// The process died at a named point.
    CrashAtPoint,
    /// A change below the greatest source time of a base.
    LateAfterFold,
    /// The wall clock went back, and something was acknowledged after that.
    ClockStepBack,
    /// A question about a source time below a base's greatest.
    AskedBelowBase,
    /// A question for version rows of a period.
    AskedPeriod,
    /// A question for the differences of two instants.
    AskedDiff,
    /// A question for the history of documents.
    AskedHistory,
    /// A version row that ends on both clocks.
    ClosedTwice,
    /// Another process took the lake over while the one before lived.
    TakenOver,
    /// A process died in the middle of taking over.
    CrashInTakeOver,
    /// A process that had lost the lake without knowing was sent something.
    SentToWhoWasAway,
    /// A process that had lost the lake without knowing did a job.
    JobOfWhoWasAway,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 36] = [
        Self::Tie,
        Self::Late,
        Self::Duplicate,
        Self::DeleteAndRecreate,
        Self::DeleteOfNothing,
        Self::Widening,
        Self::CrashInFlush,
        Self::CrashInDelta,
        Self::CrashInFold,
        Self::CrashInSnapshot,
        Self::LateSnapshot,
        Self::AskedFromSnapshot,
        Self::CrashInCheckpoint,
        Self::AskedFromCheckpoint,
        Self::CrashInCleanUp,
        Self::Deleted,
        Self::RolledUp,
        Self::Dropped,
        Self::AskedOutside,
        Self::CrashInCompaction,
        Self::Compacted,
        Self::CrashInEventsCleanUp,
        Self::EventsCleaned,
        Self::AskedEvents,
        Self::CrashAtPoint,
        Self::LateAfterFold,
        Self::ClockStepBack,
        Self::AskedBelowBase,
        Self::AskedPeriod,
        Self::AskedDiff,
        Self::AskedHistory,
        Self::ClosedTwice,
        Self::TakenOver,
        Self::CrashInTakeOver,
        Self::SentToWhoWasAway,
        Self::JobOfWhoWasAway,
    ];
}

/// How often each kind came up.
#[derive(Debug, Clone, Default)]
pub struct Seen(pub BTreeMap<Kind, u64>);

impl Seen {
    /// Counts one.
    pub fn count(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Counts all of another run.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, count)| *self.0.entry(*kind).or_default() += count);
    }
}

/// A change on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    event_id: String,
    id: String,
    ts: Option<Instant>,
    bookmark: Option<String>,
    doc: Option<String>,
}

impl Sent {
    /// Its envelope, one line.
    fn line(&self, was_known: bool) -> String {
        let op = if self.doc.is_none() {
            "delete"
        } else if was_known {
            "update"
        } else {
            "insert"
        };
        let mut line = json!({"op": op, "id": self.id, "event_id": self.event_id});
        if let Some(ts) = self.ts {
            line["ts"] = json!(ts.to_string());
        }
        if let Some(bookmark) = &self.bookmark {
            line["bookmark"] = json!(bookmark);
        }
        let text = line.to_string();
        // The document goes in as text: it must come back byte for byte.
        self.doc.as_ref().map_or(text.clone(), |doc| format!("{},\"doc\":{doc}}}", &text[..text.len() - 1]))
    }
}

/// One collection's history.
#[derive(Debug, Default)]
pub struct History {
    /// What must be answered.
    pub oracle: Oracle,
    /// What came up.
    pub seen: Seen,
    sent: Vec<(Sent, bool)>,
    /// How many of them lie outside the window in which copies are refused.
    outside: usize,
    next: u64,
    /// The type that values of `v` need.
    types: BTreeSet<&'static str>,
}

/// A request: its body, and which changes it brings that are no copies.
#[derive(Debug)]
pub struct Batch {
    /// The body, NDJSON.
    pub lines: String,
    /// New changes, in order.
    pub new: Vec<Sent>,
    /// Copies among the lines.
    pub copies: u64,
    /// New ones with what the oracle does not need: whether the envelope said update.
    envelopes: Vec<(Sent, bool)>,
}

impl History {
    /// The changes of the next request, around the present `now`.
    pub fn batch(&mut self, chance: &Chance, now: Instant) -> Batch {
        let mut envelopes: Vec<(Sent, bool)> = Vec::new();
        let mut copies = Vec::new();
        for _ in 0..=chance.below(BATCH_MAX) {
            match chance.pick(&self.sent[self.outside..]) {
                Some(copy) if chance.percent(8) => copies.push(copy.clone()),
                _ => envelopes.push(self.change(chance, now)),
            }
        }
        if let Some(twice) = envelopes.first().filter(|_| chance.percent(4)) {
            copies.push(twice.clone());
        }
        // Copies stand behind: of two equal ids in one request the first is kept.
        let lines: Vec<String> = envelopes.iter().chain(&copies).map(|(sent, known)| sent.line(*known)).collect();
        let new = envelopes.iter().map(|(sent, _)| sent.clone()).collect();
        Batch { lines: lines.join("\n"), new, copies: copies.len() as u64, envelopes }
    }

    /// The clock jumped by more than the window in which copies are refused.
    pub fn jumped(&mut self) {
        self.outside = self.sent.len();
    }

    fn change(&mut self, chance: &Chance, now: Instant) -> (Sent, bool) {
        self.next += 1;
        let id = format!("d{}", chance.below(DOCUMENTS));
        let bookmark = chance.percent(40).then(|| chance.pick(&BOOKMARKS).map(|text| (*text).to_owned())).flatten();
        // The first change brings the columns that are asked for.
        let doc = (self.next == 1 || chance.percent(75)).then(|| self.document(chance));
        let sent = Sent { event_id: format!("c{}", self.next), id, ts: self.ts(chance, now), bookmark, doc };
        let known = self.sent.iter().any(|(before, _)| before.id == sent.id);
        (sent, known)
    }

    /// Now, a little or long ago, exactly as another change, or left to the lake.
    fn ts(&self, chance: &Chance, now: Instant) -> Option<Instant> {
        let whole = |at: Instant| Instant::from_micros(at.micros() - at.micros().rem_euclid(TICK_US));
        let back = |ticks: u64| whole(now).plus_micros(-TICK_US * i64::try_from(chance.below(ticks)).unwrap_or(0));
        match chance.below(10) {
            0 => None,
            1..=3 => Some(whole(now)),
            4..=5 => Some(back(20)),
            6 => Some(back(10_000)),
            7 => Some(whole(now).plus_micros(TICK_US * 5)),
            _ => chance.pick(self.oracle.changes()).map(|other| other.ts.unwrap_or(other.system_time)).or(Some(now)),
        }
    }

    /// `n` is always a number, `v` drifts from integers over fractions to text as the history grows older.
    fn document(&self, chance: &Chance) -> String {
        let n = chance.below(1000);
        let mut value = match (self.next, chance.below(12)) {
            (0..=2, _) | (_, 0..=5) => format!("{}", chance.below(100)),
            (0..=40, _) | (_, 6..=8) => format!("{}.5", chance.below(100)),
            (41..=70, 9) | (_, 10) => "null".to_owned(),
            (0..=70, _) => format!("{}.25", chance.below(100)),
            _ => format!("\"s{}\"", chance.below(100)),
        };
        if self.next.is_multiple_of(17) {
            value = format!("{value}, \"x{}\": [1, {{\"y\": \"z\"}}]", self.next % 3);
        }
        format!("{{\"n\": {n}, \"v\": {value}}}")
    }

    /// Takes in what was acknowledged: every new change of the batch, at one system time.
    pub fn took(&mut self, batch: Batch, system_time: Instant, base_max_ts: Option<Instant>) {
        for sent in &batch.new {
            self.look(sent, system_time, base_max_ts);
            self.oracle.take(Acknowledged {
                system_time,
                order: self.oracle.changes().len() as u64,
                ts: sent.ts,
                bookmark: sent.bookmark.clone(),
                id: sent.id.clone(),
                doc: sent.doc.clone(),
            });
        }
        if batch.copies > 0 {
            self.seen.count(Kind::Duplicate);
        }
        self.sent.extend(batch.envelopes);
    }

    fn look(&mut self, sent: &Sent, system_time: Instant, base_max_ts: Option<Instant>) {
        let ts = sent.ts.unwrap_or(system_time);
        let before: Vec<_> = self.oracle.changes().iter().filter(|change| change.id == sent.id).collect();
        let times: Vec<_> = before.iter().map(|change| change.ts.unwrap_or(change.system_time)).collect();
        let lived = before.iter().any(|change| change.doc.is_some());
        let lives = self.fold(&Asked { system_time: None, valid_time: Some(ts) }).contains_key(&sent.id);
        let mut kinds = Vec::new();
        kinds.extend(times.contains(&ts).then_some(Kind::Tie));
        kinds.extend(times.iter().any(|other| *other > ts).then_some(Kind::Late));
        kinds.extend((lived && !lives && sent.doc.is_some()).then_some(Kind::DeleteAndRecreate));
        kinds.extend((before.is_empty() && sent.doc.is_none()).then_some(Kind::DeleteOfNothing));
        kinds.extend(base_max_ts.is_some_and(|max| ts < max).then_some(Kind::LateAfterFold));
        let types = sent.doc.as_deref().and_then(type_of_v);
        kinds.extend(types.is_some_and(|of| self.types.insert(of) && self.types.len() > 1).then_some(Kind::Widening));
        kinds.into_iter().for_each(|kind| self.seen.count(kind));
    }

    fn fold(&self, asked: &Asked) -> BTreeMap<String, String> {
        self.oracle.fold(asked)
    }

    /// What `SELECT _id, n, CAST(v AS VARCHAR), _doc … ORDER BY _id` must answer.
    #[must_use]
    pub fn rows(&self, asked: &Asked) -> Vec<[String; 4]> {
        let row = |(id, doc): (String, String)| {
            let fields: Value = serde_json::from_str(&doc).unwrap_or_default();
            [id, fields["n"].to_string(), self.text_of_v(&fields["v"]), doc]
        };
        self.fold(asked).into_iter().map(row).collect()
    }

    /// What the events table must hold, as `asked::events` answers it.
    #[must_use]
    pub fn events(&self, asked: &Asked) -> Vec<[String; 4]> {
        let text = |of: Option<&String>| of.map_or_else(|| "NULL".to_owned(), Clone::clone);
        let counted = self.oracle.changes().iter().filter(|change| asked.counts(change));
        let mut rows: Vec<[String; 4]> = counted
            .map(|change| {
                let ts = change.ts.unwrap_or(change.system_time);
                let (doc, bookmark) = (text(change.doc.as_ref()), text(change.bookmark.as_ref()));
                [change.id.clone(), doc, ts.micros().to_string(), bookmark]
            })
            .collect();
        rows.sort();
        rows
    }

    /// A column of integers and fractions is Float64; with text among them everything is text.
    fn text_of_v(&self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::String(text) => text.clone(),
            Value::Number(number) if self.types.contains("text") || !self.types.contains("fraction") => {
                number.to_string()
            }
            Value::Number(number) => format!("{:?}", number.as_f64().unwrap_or(f64::NAN)),
            other => other.to_string(),
        }
    }
}

fn type_of_v(doc: &str) -> Option<&'static str> {
    let doc: Value = serde_json::from_str(doc).ok()?;
    match &doc["v"] {
        Value::Number(number) if number.is_f64() => Some("fraction"),
        Value::Number(_) => Some("integer"),
        Value::String(_) => Some("text"),
        _ => None,
    }
}
