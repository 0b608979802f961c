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

use tidemark_catalog::manifest::EventsFile;
use tidemark_model::{CollectionName, Namespace, Seq, Table};

use self::pick::{Pace, Scene};
use crate::{error::Error, front::Room, upkeep::More};

/// Compacts the next run of a namespace's files that is due.
pub(crate) async fn step(room: &Room, namespace: &Namespace) -> Result<More, Error> {
    let pace = Pace::of(&room.config);
    let on = room.catalog.events(namespace);
    let marks = marks(room, namespace);
    let is_taken_in = |file: &EventsFile| {
        file.collections.iter().all(|held| marks.get(&held.collection).is_some_and(|mark| held.seq.max <= *mark))
    };
    let mut scene = Scene { files: &on.files, now: room.log.now(), published: None };
    if pick::due(&scene, &pace, is_taken_in).is_none() {
        return Ok(More::No);
    }
    // Looked up only when there is something to do: it reads the published log.
    scene.published = room.catalog.published_up_to(namespace, &Table::Events).await;
    let Some(run) = pick::due(&scene, &pace, is_taken_in) else { return Ok(More::No) };
    let started = Stopwatch::now();
    let gone = &on.files[run];
    let file = write::compacted(room, namespace, gone, on.head.version).await?;
    let bytes = file.bytes;
    if publish::commit(room, namespace, &on, (gone, file)).await? {
        room.metrics.compacted(started.elapsed(), gone.len(), bytes);
    }
    Ok(More::Yes)
}

/// Up to where every collection has taken its changes in.
fn marks(room: &Room, namespace: &Namespace) -> HashMap<CollectionName, Seq> {
    let collections = room.catalog.collections(namespace);
    let mark = |name: &CollectionName| room.catalog.manifest(namespace, name).mark;
    collections.iter().map(|known| (known.name.clone(), mark(&known.name))).collect()
}
