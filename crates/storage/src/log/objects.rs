//! A log in the lake's store: `_tidemark/log/{ulid}/{number:020}.seg`, one group each, each created once.
//!
//! An object is a segment that holds one group, so its format is that of segment files (`header`, `group`, `record`).
//! There is one object per group for all namespaces together: requests cost money, bytes hardly any. An owner writes to a
//! log of its own. Who takes the lake over ends the log of the one before with a [`fence`] under its next number and
//! replays what lies below; fences are never deleted, so whoever was only away finds its next number taken for ever.
//!
//! What is released is deleted in three steps, so that a successor which reads meanwhile misses nothing: the next object
//! *says* up to where nothing is needed (`Released`), and only when that is durable, thus below any fence, the floor of
//! the log's register rises and objects go. A successor reads the newest object first and nothing below such a word.
//!
//! `object`: one object's bytes. `fence`: ending a log. `shelf`: what is released, and its deletion. `look`: looking a log over.

mod fence;
mod look;
mod object;
mod shelf;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::oneshot};
use ulid::Ulid;

pub use self::{
    fence::{fence, is_released},
    look::{Looked, look},
};
pub(crate) use self::{
    object::{ObjectLog, group_of, read, unread},
    shelf::ObjectShelf,
};
use super::{
    group::{GroupBuffer, Place},
    header::SEGMENT_HEADER_BYTES,
    medium::{Advanced, Ended, Medium, Prepared},
    metrics::LogMetrics,
    record::{self, Clocks, Spot},
};
use crate::{Store, StoreError, paths, register::Register};

/// There is always room for another object.
const ROOM_BYTES: u64 = u64::MAX / 4;
/// How long a store that does not take an object is tried again, beyond the retries of its client.
const AWAY_MAX: Duration = Duration::from_secs(600);
/// The longest pause between two of these tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The register that the objects of a log are.
pub(crate) fn chain(store: &Store, log: u128) -> Register {
    Register::of(store.clone(), paths::log(Ulid::from(log)), "seg")
}

/// The medium of objects.
#[derive(Debug)]
pub(crate) struct Objects {
    log: ObjectLog,
    chain: Register,
    runtime: Handle,
    metrics: LogMetrics,
    shelf: Arc<ObjectShelf>,
    /// Behind the last object.
    end: Place,
    /// Up to where a durable object says that nothing is needed.
    said: Option<Spot>,
    /// The same of the object that is being written.
    saying: Option<Spot>,
}

impl Objects {
    /// An empty log.
    pub(crate) fn new(log: ObjectLog, runtime: Handle, metrics: LogMetrics, shelf: Arc<ObjectShelf>) -> Self {
        let chain = chain(shelf.store(), log.log);
        Self { log, chain, runtime, metrics, shelf, end: Place::default(), said: None, saying: None }
    }

    fn say_released(&mut self, group: &mut GroupBuffer) -> bool {
        let spent = self.shelf.spent().filter(|spent| self.said != Some(*spent));
        if let Some(spent) = spent {
            record::put_released(group.payload(), spent);
            self.saying = Some(spent);
        }
        spent.is_some()
    }

    fn write(&mut self, group: &mut GroupBuffer) -> io::Result<Advanced> {
        let number = self.end.segment.saturating_add(1);
        let place = Place { segment: number, offset: SEGMENT_HEADER_BYTES as u32 };
        let body = self.log.sealed(group, place, self.end);
        let bytes = body.len() as u64;
        let timer = self.metrics.syncing();
        let created = wait(&self.runtime, put(self.chain.clone(), number.into(), body))?;
        drop(timer);
        if !created.map_err(io::Error::other)? {
            return Err(io::Error::other(Ended));
        }
        let offset = u32::try_from(bytes).map_err(|_long| io::Error::other("the object is longer than 4 GiB"))?;
        self.end = Place { segment: number, offset };
        if let Some(spot) = self.saying.take() {
            self.said = Some(spot);
            self.shelf.sweep(spot);
        }
        Ok(Advanced { opened: number, opened_bytes: bytes, closed_bytes: None })
    }
}

impl Medium for Objects {
    fn prepare(&mut self, _bytes: u64) -> io::Result<Prepared> {
        Ok(Prepared::Room(ROOM_BYTES))
    }

    fn is_one_segment_a_group(&self) -> bool {
        true
    }

    fn advance(&mut self, first: &mut GroupBuffer) -> io::Result<Advanced> {
        self.say_released(first);
        self.write(first)
    }

    fn carry(&mut self, clocks: Clocks, group: &mut GroupBuffer) {
        if self.say_released(group) {
            // They may have stood in what goes now.
            record::put_clocks(group.payload(), clocks);
        }
    }

    fn commit(&mut self, group: &mut GroupBuffer) -> io::Result<Option<Advanced>> {
        self.write(group).map(Some)
    }
}

/// Creates an object; whether it is ours. The same bytes under the same number are tried again while the store does not
/// answer: whether an earlier attempt was applied is settled by reading back.
async fn put(chain: Register, number: u64, body: Bytes) -> Result<bool, StoreError> {
    let (began, mut pause) = (tokio::time::Instant::now(), Duration::from_millis(50));
    loop {
        match chain.put(number, body.clone()).await {
            Err(error) if began.elapsed() < AWAY_MAX => {
                tracing::warn!(%error, number, "the store did not take an object of the log; it is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
}

/// Runs work where tasks run and waits for it on a thread that runs none. Fails when the runtime ends first.
pub(crate) fn wait<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (done, answer) = oneshot::channel();
    runtime.spawn(async move {
        // Whoever waited is gone with the process.
        let _gone = done.send(work.await);
    });
    answer.blocking_recv().map_err(|_ended| io::Error::other("the process ends"))
}
