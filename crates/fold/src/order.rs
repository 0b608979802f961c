//! The key and order columns of a batch as plain slices, and the comparison of two changes.
//!
//! Comparing goes by numbers first; bookmarks are text and looked at only where source times tie.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::DataType,
};
use tidemark_model::{Instant, OrderKey};

use crate::{FoldError, columns::doc};

/// Key and order of the rows of one batch.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    ids: &'a StringArray,
    /// Source times, µs.
    pub(crate) ts: &'a [i64],
    /// System times, µs.
    pub(crate) system_time: &'a [i64],
    /// Sequences.
    pub(crate) seq: &'a [i64],
    bookmarks: &'a StringArray,
}

impl<'a> Order<'a> {
    /// Finds the columns of a batch of changes, states or tombstones.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        let ids = utf8(batch, doc::ID)?;
        if ids.null_count() > 0 {
            return Err(FoldError::Column(doc::ID));
        }
        Ok(Self {
            ids,
            ts: micros(batch, doc::TS)?,
            system_time: micros(batch, doc::SYSTEM_TIME)?,
            seq: int64(batch, doc::SEQ)?,
            bookmarks: utf8(batch, doc::BOOKMARK)?,
        })
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.seq.len()
    }

    /// The key of a row.
    pub(crate) fn id(&self, row: usize) -> &'a [u8] {
        self.ids.value(row).as_bytes()
    }

    /// The bytes of all keys and where each begins; one more beginning than rows.
    pub(crate) fn id_bytes(&self) -> (&'a [u8], &'a [i32]) {
        (self.ids.value_data(), self.ids.value_offsets())
    }

    /// The bookmark of a row; absent is lowest.
    pub(crate) fn bookmark(&self, row: usize) -> Option<&'a str> {
        self.bookmarks.is_valid(row).then(|| self.bookmarks.value(row))
    }

    /// The order key of a row (time.md, section 2).
    pub(crate) fn key(&self, row: usize) -> OrderKey<'a> {
        OrderKey {
            ts: Instant::from_micros(self.ts[row]),
            bookmark: self.bookmark(row),
            system_time: Instant::from_micros(self.system_time[row]),
            seq: self.seq[row],
        }
    }

    /// Compares a row with a row of another batch.
    pub(crate) fn compare(&self, row: usize, other: &Order<'_>, at: usize) -> Ordering {
        self.ts[row].cmp(&other.ts[at]).then_with(|| self.key(row).cmp(&other.key(at)))
    }
}

/// A column by name.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, FoldError> {
    batch.column_by_name(name).ok_or(FoldError::Column(name))
}

/// A text column by name.
pub(crate) fn utf8<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a StringArray, FoldError> {
    column(batch, name)?.as_any().downcast_ref().ok_or(FoldError::Column(name))
}

/// The values of an Int64 column without nulls.
pub(crate) fn int64<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a [i64], FoldError> {
    let array: Option<&Int64Array> = column(batch, name)?.as_any().downcast_ref();
    array.filter(|array| array.null_count() == 0).map(|array| array.values().as_ref()).ok_or(FoldError::Column(name))
}

fn micros<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a [i64], FoldError> {
    let array = column(batch, name)?;
    let of_ours = matches!(array.data_type(), DataType::Timestamp(..)) && array.null_count() == 0;
    let array: Option<&TimestampMicrosecondArray> = array.as_any().downcast_ref();
    array.filter(|_| of_ours).map(|array| array.values().as_ref()).ok_or(FoldError::Column(name))
}
