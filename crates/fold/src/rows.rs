//! Random changes for the tests of this crate, as plain rows and as batches, and the fold told literally.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::SchemaRef,
};
use tidemark_model::{DocSchema, Ids, Instant, OrderKey};

use crate::{
    columns::{changes_schema, tombstones_schema},
    winner::Counts,
};

/// A random number below `end`.
pub(crate) fn below(random: &Ids, end: u64) -> i64 {
    i64::try_from((random.random() >> 8) % end).expect("small")
}

/// One change, as a person would write it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) delete: bool,
    pub(crate) ts: i64,
    pub(crate) system_time: i64,
    pub(crate) seq: i64,
    pub(crate) bookmark: Option<String>,
}

impl Change {
    pub(crate) fn key(&self) -> OrderKey<'_> {
        OrderKey {
            ts: Instant::from_micros(self.ts),
            bookmark: self.bookmark.as_deref(),
            system_time: Instant::from_micros(self.system_time),
            seq: self.seq,
        }
    }

    fn counts(&self, counts: &Counts) -> bool {
        self.seq > counts.after
            && self.system_time <= counts.system_time.micros()
            && counts.valid_time.is_none_or(|at| self.ts <= at.micros())
    }
}

/// A history of `count` changes over few keys and few source times, so that ties are common; several share an append.
pub(crate) fn history(random: &Ids, first_seq: i64, count: usize) -> Vec<Change> {
    let mut system_time = 1000 + first_seq * 10;
    let keys = 1 + below(random, 40).unsigned_abs();
    let mut changes = Vec::new();
    for seq in (first_seq..).take(count) {
        system_time += below(random, 2);
        let number = below(random, keys);
        // Long shared beginnings, ids that are beginnings of others, and zero bytes.
        let id = match number % 4 {
            0 => format!("user-{number:06}"),
            1 => format!("user-{number:06}\0"),
            2 => format!("user-{number:06}-long-enough-to-pass-eight-bytes-{}", below(random, 3)),
            _ => "u".repeat(usize::try_from(number).expect("small") % 11),
        };
        let bookmark = match below(random, 5) {
            0 => None,
            1 => Some(String::new()),
            n => Some(format!("{n:04}")),
        };
        let ts = if below(random, 4) == 0 { system_time } else { below(random, 30) };
        changes.push(Change { id, delete: below(random, 4) == 0, ts, system_time, seq, bookmark });
    }
    changes
}

/// Shuffles (Fisher and Yates).
pub(crate) fn shuffle<T>(random: &Ids, rows: &mut [T]) {
    for last in (1..rows.len()).rev() {
        let other = usize::try_from(below(random, last as u64 + 1)).expect("small");
        rows.swap(last, other);
    }
}

fn order_columns(rows: &[Change]) -> [ArrayRef; 4] {
    let time = |of: fn(&Change) -> i64| {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(of)).with_timezone("UTC")) as ArrayRef
    };
    [
        time(|row| row.ts),
        time(|row| row.system_time),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.seq))),
        Arc::new(rows.iter().map(|row| row.bookmark.as_deref()).collect::<StringArray>()),
    ]
}

/// The rows as a batch of changes without typed columns.
pub(crate) fn changes(rows: &[Change]) -> RecordBatch {
    let schema: SchemaRef = changes_schema(&DocSchema::default());
    let text =
        |of: &dyn Fn(&Change) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let op = |row: &Change| Some(if row.delete { "delete" } else { "update" }.to_owned());
    let mut columns = vec![text(&|row| Some(row.id.clone())), text(&op)];
    columns.extend(order_columns(rows));
    let doc = |row: &Change| (!row.delete).then(|| format!(r#"{{"n":{}}}"#, row.seq));
    columns.extend([text(&|_| None), text(&|_| None), text(&doc), text(&|_| None)]);
    RecordBatch::try_new(schema, columns).expect("a batch")
}

/// The rows as keys and order, as bases hold them.
pub(crate) fn keys(rows: &[Change]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.id.as_str())).collect::<StringArray>());
    RecordBatch::try_new(tombstones_schema(), [ids].into_iter().chain(order_columns(rows)).collect()).expect("a batch")
}

/// The fold, literally: of every document the counting change that is greatest in order, by key.
pub(crate) fn fold(rows: &[Change], counts: &Counts) -> Vec<Change> {
    let mut best: BTreeMap<&[u8], &Change> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.counts(counts)) {
        best.entry(row.id.as_bytes())
            .and_modify(|best| *best = if row.key() > best.key() { row } else { best })
            .or_insert(row);
    }
    best.into_values().cloned().collect()
}

/// Rows of a batch of changes, read back.
pub(crate) fn read(batch: &RecordBatch) -> Vec<Change> {
    let order = crate::order::Order::of(batch).expect("the columns");
    let ops = crate::order::utf8(batch, crate::columns::doc::OP).expect("operations");
    let row = |at: usize| Change {
        id: String::from_utf8(order.id(at).to_vec()).expect("text"),
        delete: ops.value(at) == "delete",
        ts: order.ts[at],
        system_time: order.system_time[at],
        seq: order.seq[at],
        bookmark: order.bookmark(at).map(str::to_owned),
    };
    (0..batch.num_rows()).map(row).collect()
}
