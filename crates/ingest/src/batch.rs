//! A batch of valid rows: columns, where its rows go, and what is known of their ids.
//!
//! Rows stand sorted by (shard, collection), stably, so that positions of a collection are consecutive runs.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
    error::ArrowError,
};
use tidemark_model::{CollectionName, Positions, Shard};

use crate::{
    columns::{self, EventColumns},
    hash,
    row::{Row, RowId},
};

/// Rows of one shard and, if they are changes, one collection, standing together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) shard: Shard,
    /// Plain events have none.
    pub(crate) collection: Option<CollectionName>,
    pub(crate) rows: Range<usize>,
}

/// The id of an event and its content, hashed: what deduplication keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IdEntry {
    pub(crate) id: u128,
    pub(crate) content: u64,
}

/// Rows that may be logged.
#[derive(Debug)]
pub(crate) struct ValidBatch {
    /// Columns of `log_schema`.
    pub(crate) rows: RecordBatch,
    /// Where the rows go, in order.
    pub(crate) groups: Vec<Group>,
    /// The rows whose senders gave an id, ascending, and those ids.
    pub(crate) ids: Vec<(u32, IdEntry)>,
    /// The index of every row in the request.
    pub(crate) indexes: Vec<u32>,
}

impl ValidBatch {
    /// Sorts rows and makes columns of them. `shards` are the shards of the collections of the request.
    pub(crate) fn build(
        mut rows: Vec<Row<'_>>,
        collections: &[CollectionName],
        shards: &[Shard],
    ) -> Result<Self, ArrowError> {
        for row in &mut rows {
            row.shard = row.collection().map_or(row.shard, |at| shards[at]);
        }
        let order = |row: &Row<'_>| (row.shard, row.collection());
        if !rows.is_sorted_by_key(order) {
            rows.sort_by_key(order);
        }
        let groups = groups(&rows, collections);
        let batch = columns::build(&rows, collections)?;
        let ids = ids(&rows, &batch);
        Ok(Self { groups, ids, indexes: rows.iter().map(|row| row.index).collect(), rows: batch })
    }

    /// The same without some rows, given ascending.
    pub(crate) fn without(self, dropped: &[u32]) -> Result<Self, ArrowError> {
        if dropped.is_empty() {
            return Ok(self);
        }
        let mut keep = vec![true; self.rows.num_rows()];
        dropped.iter().for_each(|row| keep[*row as usize] = false);
        let kept_before: Vec<usize> = kept_before(&keep);
        let shrunk = |range: &Range<usize>| kept_before[range.start]..kept_before[range.end];
        let groups = self.groups.into_iter().map(|group| Group { rows: shrunk(&group.rows), ..group });
        let ids = self.ids.into_iter().filter(|(row, _)| keep[*row as usize]);
        let renumbered = |row: u32| u32::try_from(kept_before[row as usize]).unwrap_or(u32::MAX);
        Ok(Self {
            groups: groups.filter(|group| !group.rows.is_empty()).collect(),
            ids: ids.map(|(row, entry)| (renumbered(row), entry)).collect(),
            indexes: self.indexes.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(index, _)| *index).collect(),
            rows: filter_record_batch(&self.rows, &BooleanArray::from(keep))?,
        })
    }

    /// How many rows go to each shard.
    pub(crate) fn counts(&self) -> Vec<(Shard, u32)> {
        let mut counts: Vec<(Shard, u32)> = Vec::new();
        for group in &self.groups {
            let rows = u32::try_from(group.rows.len()).unwrap_or(u32::MAX);
            match counts.last_mut() {
                Some((shard, count)) if *shard == group.shard => *count += rows,
                _ => counts.push((group.shard, rows)),
            }
        }
        counts
    }
}

/// How many rows are kept before each row, and in all.
fn kept_before(keep: &[bool]) -> Vec<usize> {
    let running = keep.iter().scan(0, |kept, keep| {
        *kept += usize::from(*keep);
        Some(*kept)
    });
    std::iter::once(0).chain(running).collect()
}

fn groups(rows: &[Row<'_>], collections: &[CollectionName]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut from = 0;
    for chunk in rows.chunk_by(|a, b| (a.shard, a.collection()) == (b.shard, b.collection())) {
        let to = from + chunk.len();
        let collection = chunk[0].collection().map(|at| collections[at].clone());
        groups.push(Group { shard: chunk[0].shard, collection, rows: from..to });
        from = to;
    }
    groups
}

fn ids(rows: &[Row<'_>], batch: &RecordBatch) -> Vec<(u32, IdEntry)> {
    let columns = EventColumns::of(batch);
    let mut content = Vec::new();
    let given = rows.iter().enumerate().filter(|(_, row)| matches!(row.id, RowId::Given(_)));
    given
        .map(|(at, row)| {
            columns.write_content(at, &mut content);
            let entry = IdEntry { id: hash::event_id(row.id.as_str()), content: hash::content(&content) };
            (u32::try_from(at).unwrap_or(u32::MAX), entry)
        })
        .collect()
}

/// The groups and ids of an append that came back from the log. Which ids the senders gave is not told there, so all
/// count: one of ours is never sent again and costs a few bytes.
pub(crate) fn recovered(rows: &RecordBatch, positions: &[Positions]) -> (Vec<Group>, Vec<IdEntry>) {
    let columns = EventColumns::of(rows);
    let mut groups: Vec<Group> = Vec::new();
    let mut row = 0;
    for run in positions {
        let end = row + usize::try_from(run.count()).unwrap_or(0);
        let mut last: Option<&str> = None;
        let first_of_run = groups.len();
        for at in row..end.min(rows.num_rows()) {
            let name = columns.collection(at);
            if groups.len() > first_of_run && name == last {
                groups[first_of_run..].last_mut().into_iter().for_each(|group| group.rows.end = at + 1);
                continue;
            }
            let collection = name.and_then(|name| CollectionName::parse(name).ok());
            groups.push(Group { shard: run.shard, collection, rows: at..at + 1 });
            last = name;
        }
        row = end;
    }
    let mut content = Vec::new();
    let entry = |row: usize| {
        columns.write_content(row, &mut content);
        IdEntry { id: hash::event_id(columns.id(row)), content: hash::content(&content) }
    };
    (groups, (0..rows.num_rows()).map(entry).collect())
}

/// Shared by what is visible and what is flushed.
pub(crate) type Entries = Arc<[IdEntry]>;
