//! Recovery of the objects of owners before: all of them are fenced, so nothing is added while they are read.
//!
//! They are read from the newest back to the first word of what is released. Below it nothing is looked for: an owner that
//! was only away may still be deleting there. Everything above it has to be there and to verify.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use tidemark_model::{Instant, Namespace, Seq, Shard};
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    decoded, failed,
    start::{Beginning, Begun},
};
use crate::log::{
    Append, Log, LogDeps, LogError, ObjectLogOptions,
    epochs::Epochs,
    ledger::Kept,
    metrics::LogMetrics,
    objects::{self, ObjectLog, ObjectShelf, Objects},
    record::Spot,
    scan::Learned,
    space::Floor,
};

/// Objects that are read at once.
const READS_MAX: usize = 8;

/// Objects that were found and checked.
#[derive(Debug)]
pub(crate) struct ObjectRecovery {
    options: ObjectLogOptions,
    runtime: Handle,
    epochs: Epochs,
    read: Read,
    /// Objects to be read once more.
    groups: VecDeque<Spot>,
    /// Those that are under way, in their order.
    coming: VecDeque<(Spot, oneshot::Receiver<Result<Bytes, LogError>>)>,
    ready: VecDeque<(u64, Append)>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    learned: Learned,
    /// The oldest first.
    found: VecDeque<Kept>,
    /// What is released, with everything before it.
    word: Option<Spot>,
}

impl ObjectRecovery {
    /// Reads what was inherited. Blocks.
    pub(crate) fn open(options: ObjectLogOptions) -> Result<Self, LogError> {
        let runtime = Handle::try_current().map_err(|none| failed("find its runtime")(std::io::Error::other(none)))?;
        let read = objects::wait(&runtime, read_all(options.clone())).map_err(failed("be read"))??;
        let groups = read.found.iter().map(|kept| Spot { log: kept.log, number: kept.number }).collect();
        let epochs = Epochs::between(options.since, options.epoch);
        let (coming, ready) = (VecDeque::new(), VecDeque::new());
        Ok(Self { options, runtime, epochs, read, groups, coming, ready })
    }

    /// In which epochs a log in this store was the owner's, without a break up to now.
    pub(crate) const fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// See [`Recovery::next_of_epoch`](super::Recovery::next_of_epoch).
    pub(crate) fn next_of_epoch(&mut self) -> Result<Option<(u64, Append)>, LogError> {
        loop {
            if let Some(append) = self.ready.pop_front() {
                return Ok(Some(append));
            }
            self.ask();
            let Some((spot, bytes)) = self.coming.pop_front() else { return Ok(None) };
            let ended = |_ended| failed("be read")(std::io::Error::other("the process ends"));
            let bytes = bytes.blocking_recv().map_err(ended)??;
            let group = objects::group_of(&bytes, spot.log, spot.number)?;
            self.ready = decoded(&group).map_err(|reason| objects::unread(spot.log, spot.number, reason))?;
        }
    }

    /// Asks for the next objects, before they are needed.
    fn ask(&mut self) {
        while self.coming.len() < READS_MAX
            && let Some(spot) = self.groups.pop_front()
        {
            let (store, (answer, coming)) = (self.options.store.clone(), oneshot::channel());
            self.runtime.spawn(async move {
                // Whoever asked may have given up.
                let _gone = answer.send(object(&store, spot).await);
            });
            self.coming.push_back((spot, coming));
        }
    }

    /// See [`Recovery::start`](super::Recovery::start).
    pub(crate) fn start(
        self,
        next: BTreeMap<(Namespace, Shard), Seq>,
        above: Instant,
        deps: LogDeps,
    ) -> Result<Log, LogError> {
        let metrics = LogMetrics::of(&deps)?;
        let ObjectLogOptions { store, cluster, epoch, inherited, window, .. } = self.options;
        let ObjectLogOptions { log, queue_bytes_max, group_bytes_max, .. } = self.options;
        let log = ObjectLog { log: log.into(), cluster, epoch };
        let inherited: Vec<u128> = inherited.into_iter().map(u128::from).collect();
        let shelf = Arc::new(ObjectShelf::new(store, inherited, self.runtime.clone(), self.read.word));
        let beginning = Beginning {
            log: log.log,
            medium: Box::new(Objects::new(log, self.runtime, metrics.clone(), Arc::clone(&shelf))),
            shelf,
            found: self.read.found.into(),
            learned: self.read.learned,
            // The object that was written last stays until there is another.
            spent_bytes_min: u64::MAX,
            queue_bytes_max,
            group_bytes_max,
            window,
            floor: Floor::none(),
            held: None,
        };
        beginning.begin(Begun { next, above, deps, metrics })
    }
}

/// Whether logs that are all ended hold appends that nobody has released.
///
/// # Errors
/// [`LogError::Store`], [`LogError::Corrupt`] and [`LogError::Newer`].
pub async fn holds_appends(store: &crate::Store, cluster: &str, logs: &[ulid::Ulid]) -> Result<bool, LogError> {
    let nowhere = ObjectLogOptions::new(store.clone(), cluster.to_owned(), 0, ulid::Ulid::nil());
    let read = read_all(ObjectLogOptions { inherited: logs.to_vec(), ..nowhere }).await?;
    Ok(read.found.iter().any(|kept| !kept.last.is_empty()))
}

async fn read_all(options: ObjectLogOptions) -> Result<Read, LogError> {
    let (mut read, mut end) = (Read::default(), None);
    let logs: Vec<u128> = options.inherited.iter().copied().map(u128::from).collect();
    for (at, log) in logs.iter().enumerate().rev() {
        // A later log says that this one is released as a whole.
        let is_released = |word: Spot| logs.get(at + 1..).is_some_and(|later| later.contains(&word.log));
        if read.word.is_some_and(is_released) {
            break;
        }
        let fence = read_log(&options, *log, &mut read).await?;
        end = end.or(Some(Spot { log: *log, number: fence - 1 }));
    }
    if read.found.is_empty() {
        // Nothing is left in any of them.
        read.word = end;
    }
    Ok(read)
}

/// Reads a log from its fence back to what is released of it; the number of the fence.
async fn read_log(options: &ObjectLogOptions, log: u128, read: &mut Read) -> Result<u32, LogError> {
    let newest = objects::chain(&options.store, log).latest(None).await?;
    let (fence, body) = newest.ok_or_else(|| objects::unread(log, 1, "the log was not ended"))?;
    let fence = u32::try_from(fence).map_err(|_high| objects::unread(log, u32::MAX, "its number is too high"))?;
    let of = |number| (options.cluster.as_str(), log, number);
    if !objects::read(&body, of(fence), &mut read.learned)?.is_fence {
        return Err(objects::unread(log, fence, "the log was not ended"));
    }
    let numbers = (1..fence).rev();
    let bodies = numbers.map(|number| {
        let store = options.store.clone();
        async move { (number, object(&store, Spot { log, number }).await) }
    });
    let mut bodies = futures::stream::iter(bodies).buffered(READS_MAX);
    while let Some((number, body)) = bodies.next().await {
        if read.word.is_some_and(|word| word.log == log && number <= word.number) {
            break;
        }
        let kept = objects::read(&body?, of(number), &mut read.learned)?;
        read.word = read.word.or(kept.released);
        read.found.push_front(kept);
    }
    Ok(fence)
}

async fn object(store: &crate::Store, at: Spot) -> Result<Bytes, LogError> {
    let found = objects::chain(store, at.log).read(at.number.into()).await?;
    found.ok_or_else(|| objects::unread(at.log, at.number, "the object is missing"))
}
