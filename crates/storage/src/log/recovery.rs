//! Recovery: what a log holds, found again, checked, and yielded oldest first; then writing begins behind it.
//!
//! `files`: the segment files of a directory. `objects`: the objects of this owner's predecessors in the lake's store.
//! `start`: from either to a running log. Appends are decoded when they are asked for, a group at a time.

mod files;
mod objects;
mod start;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use tidemark_model::{Instant, Namespace, Seq, Shard};

use self::files::FileRecovery;
use self::objects::ObjectRecovery;
pub use self::objects::holds_appends;
use super::{
    Append, Log, LogDeps, LogError, LogPlace,
    epochs::Epochs,
    error::Unread,
    group::Group,
    record::{self, Head, Record},
    rows,
};

/// A log that was found and checked, and is not yet written to.
#[derive(Debug)]
pub struct Recovery(Found);

#[derive(Debug)]
enum Found {
    Files(Box<FileRecovery>),
    Objects(Box<ObjectRecovery>),
}

impl Recovery {
    /// Finds and checks what the log holds. Of a directory: takes its lock, cuts a torn tail, syncs what was found. Blocks:
    /// not for threads that run tasks.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::Foreign`], [`LogError::Corrupt`], [`LogError::Newer`], [`LogError::Store`] or [`LogError::Io`].
    pub fn open(place: impl Into<LogPlace>) -> Result<Self, LogError> {
        Ok(Self(match place.into() {
            LogPlace::Directory(options) => Found::Files(Box::new(FileRecovery::open(options)?)),
            LogPlace::Objects(options) => Found::Objects(Box::new(ObjectRecovery::open(options)?)),
        }))
    }

    /// In which epochs this log was the owner's, this one included.
    #[must_use]
    pub fn epochs(&self) -> &Epochs {
        match &self.0 {
            Found::Files(files) => files.epochs(),
            Found::Objects(objects) => objects.epochs(),
        }
    }

    /// The next append, in order of system time.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Newer`], [`LogError::Store`], [`LogError::Io`].
    pub fn next_append(&mut self) -> Result<Option<Append>, LogError> {
        self.next_of_epoch().map(|next| next.map(|(_epoch, append)| append))
    }

    /// The next append, in order of system time, and the epoch of the owner that acknowledged it. Blocks.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Newer`], [`LogError::Store`], [`LogError::Io`].
    pub fn next_of_epoch(&mut self) -> Result<Option<(u64, Append)>, LogError> {
        match &mut self.0 {
            Found::Files(files) => files.next_of_epoch(),
            Found::Objects(objects) => objects.next_of_epoch(),
        }
    }

    /// Begins writing behind what was found. `next` is the first free sequence of every (namespace, shard) as far as
    /// committed manifests tell, `above` the greatest system time they cover; the log takes the greater of these and
    /// of what it holds, and starts above its durable horizon. Blocks.
    ///
    /// # Errors
    /// [`LogError::Fenced`], [`LogError::Io`], [`LogError::OutOfSpace`].
    pub fn start(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
    ) -> Result<Log, LogError> {
        match self.0 {
            Found::Files(files) => files.start_with(next, above, deps, |segments| Box::new(segments)),
            Found::Objects(objects) => objects.start(next, above, deps),
        }
    }
}

#[cfg(test)]
impl Recovery {
    /// Segment files on any disk.
    pub(crate) fn open_on(
        options: super::LogOptions,
        disk: std::sync::Arc<dyn super::disk::Disk>,
        held: Option<super::disk::Held>,
    ) -> Result<Self, LogError> {
        FileRecovery::open_on(options, disk, held).map(|files| Self(Found::Files(Box::new(files))))
    }

    /// Begins to write to segment files, with something around the medium.
    pub(crate) fn start_with(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
        wrap: impl FnOnce(super::segments::Segments) -> Box<dyn super::medium::Medium>,
    ) -> Result<Log, LogError> {
        match self.0 {
            Found::Files(files) => files.start_with(next, above, deps, wrap),
            Found::Objects(_) => Err(LogError::Closed),
        }
    }
}

/// The appends of a group and the epoch it was written in, or why they cannot be read.
fn decoded(group: &Group<'_>) -> Result<VecDeque<(u64, Append)>, Unread> {
    let epoch = group.header.epoch;
    let heads = record::read(group.payload)?.into_iter().filter_map(|record| match record {
        Record::Append(head) => Some(head),
        Record::Clocks(_) | Record::Released(_) | Record::Fence(_) => None,
    });
    let appends = heads.map(|head| append(head).map(|append| (epoch, append)));
    let appends: Result<_, arrow::error::ArrowError> = appends.collect();
    appends.map_err(|error| format!("the rows of an append cannot be decoded: {error}").into())
}

fn append(head: Head<'_>) -> Result<Append, arrow::error::ArrowError> {
    let Head { namespace, assigned, key, changes, rows } = head;
    Ok(Append { namespace, assigned, changes, key, rows: rows::decode(rows)?, encoded_bytes: rows.len() })
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> LogError {
    let what = what.to_owned();
    move |source| LogError::Io { what, source }
}
