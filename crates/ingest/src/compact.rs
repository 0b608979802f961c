//! Compaction: small events files of a closed hour become one, then those of a closed day (storage.md, Files).
//!
//! 1. [`pick`]: the next run of neighbouring files, a pure function. Files that a collection still has changes to take
//!    from are left alone.
//! 2. [`write`]: the run → one file, [`merge`]d a batch at a time; its entry says of its rows what the entries before said.
//! 3. [`publish`]: one commit puts the new file where the run stood. A reader of the manifest before finds its files until
//!    the grace is over, a reader of the one after sees the same rows in other files.
//!
//! Mark, system time, sidecars and tail stay as they are. A crash leaves a file that nothing names.

mod merge;
mod pick;
mod publish;
mod write;

use std::{collections::HashMap, time::Instant as Stopwatch};

use tidemark_catalog::{EventsManifest, manifest::EventsFile};
use tidemark_model::{CollectionName, Instant, Namespace, Seq, Table};

use self::pick::{Pace, Scene};
use crate::{
    error::Error,
    front::{Ingest, Room},
    upkeep::More,
};

/// The most runs of one compaction that was asked for.
const RUNS_MAX: usize = 10_000;

/// What a compaction came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Commits that it took.
    pub commits: u64,
    /// Files of the events table before and after.
    pub files: [u64; 2],
    /// Their bytes before and after.
    pub bytes: [u64; 2],
}

impl Ingest {
    /// Puts what a namespace has acknowledged into files, and small files of its events table into few, also those of the
    /// hour and the day that are not over. Files that a collection still takes changes from stay as they are.
    ///
    /// # Errors
    /// [`Error`]; what was committed before stays.
    pub async fn compact(&self, namespace: &Namespace) -> Result<Compacted, Error> {
        self.flush(namespace).await?;
        let _turn = self.room.upkeep.turn().await;
        let before = self.room.catalog.events(namespace);
        for _run in 0..RUNS_MAX {
            if next(&self.room, namespace, (Pace::now(&self.room.config), Instant::MAX)).await? == More::No {
                break;
            }
        }
        let after = self.room.catalog.events(namespace);
        let both = |of: fn(&EventsManifest) -> u64| [of(&before), of(&after)];
        Ok(Compacted {
            commits: after.head.version - before.head.version,
            files: both(|manifest| manifest.files.len() as u64),
            bytes: both(|manifest| manifest.files.iter().map(|file| file.bytes).sum()),
        })
    }
}

/// Compacts the next run of a namespace's files that is due.
pub(crate) async fn step(room: &Room, namespace: &Namespace) -> Result<More, Error> {
    next(room, namespace, (Pace::of(&room.config), room.log.now())).await
}

async fn next(room: &Room, namespace: &Namespace, (pace, now): (Pace, Instant)) -> Result<More, Error> {
    let on = room.catalog.events(namespace);
    let marks = marks(room, namespace);
    let is_taken_in = |file: &EventsFile| {
        file.collections.iter().all(|held| marks.get(&held.collection).is_some_and(|mark| held.seq.max <= *mark))
    };
    let mut scene = Scene { files: &on.files, now, published: None };
    if pick::due(&scene, &pace, is_taken_in).is_none() {
        return Ok(More::No);
    }
    // Looked up only when there is something to do: it reads the published log.
    scene.published = room.catalog.published_up_to(namespace, &Table::Events).await;
    let Some(run) = pick::due(&scene, &pace, is_taken_in) else { return Ok(More::No) };
    let started = Stopwatch::now();
    let gone = &on.files[run.clone()];
    let file = write::compacted(room, namespace, gone, on.head.version).await?;
    let bytes = file.bytes;
    // What was published meanwhile may part the run: its followers would be told the first part as new a second time.
    let _unpublished = room.catalog.publishing_turn().await;
    scene.published = room.catalog.published_up_to(namespace, &Table::Events).await;
    if pick::due(&scene, &pace, is_taken_in) != Some(run) {
        // The next step takes another run; nothing names the file that was written, and clean-up finds it.
        return Ok(More::Yes);
    }
    if publish::commit(room, namespace, &on, (gone, file)).await? {
        room.metrics.compacted(started.elapsed(), gone.len(), bytes);
    }
    Ok(More::Yes)
}

/// Up to where every collection has taken its changes in.
fn marks(room: &Room, namespace: &Namespace) -> HashMap<CollectionName, Seq> {
    let collections = room.catalog.every_collection(namespace);
    let mark = |name: &CollectionName| room.catalog.manifest(namespace, name).mark;
    collections.iter().map(|known| (known.name.clone(), mark(&known.name))).collect()
}
