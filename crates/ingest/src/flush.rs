//! Flush: durable appends become a file of the events table, in one commit (batch, write, commit).
//!
//! 1. [`pick`]: which namespaces are due, a pure function of what their tails and the log hold.
//! 2. [`write`]: a prefix of a namespace's appends → rows sorted by (collection, type, ts) → one Parquet file.
//! 3. [`crate::sidecar`]: its keys and event ids → a sidecar.
//! 4. [`publish`]: both and the mark in one commit of the events manifest; then the tail lets go, the log is released
//!    and the bell rings.
//!
//! A flush that fails leaves everything where it is: the appends stay in tail and log, and the next turn tries again.
//! One flush at a time per namespace.

pub(crate) mod pick;
pub(crate) mod publish;
pub(crate) mod write;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Instant as Stopwatch,
};

use tidemark_catalog::{Bell, Catalog, EventsManifest};
use tidemark_model::{Clock, Ids, Instant, Namespace};
use tidemark_storage::log::{Log, Pressure};
use tracing::Instrument as _;

pub(crate) use self::pick::Pace;
use self::publish::Published;
use crate::{
    dedup::{ids::IdIndex, keys::KeyIndex, lock, producers::ProducerIndex},
    error::Error,
    metrics::Metrics,
    sidecar,
    tail::Prefix,
    visible::Visible,
};

/// How many times `flush_bytes` one file may hold when flushing has fallen behind.
const PREFIX_FACTOR: usize = 4;

/// Moves appends from tails into files.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub(crate) visible: Arc<Visible>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) bell: Bell,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) seen_ids: Arc<IdIndex>,
    pub(crate) seen_keys: Arc<KeyIndex>,
    pub(crate) producers: Arc<ProducerIndex>,
    /// Absent while the log is being replayed.
    pub(crate) log: OnceLock<Log>,
    pub(crate) turns: Mutex<HashMap<Namespace, Arc<tokio::sync::Mutex<()>>>>,
}

/// Whether anything is left to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// The tail is empty, as of when the flush began.
    Done,
    /// The tail held more than one file takes.
    Left,
}

impl Flusher {
    /// Flushes every namespace that is due, the most pressing first. One that fails holds up no other; the first error
    /// is returned, unless one comes after which the process must end.
    pub(crate) async fn tick(&self) -> Result<(), Error> {
        let pressure = self.log.get().map(Log::pressure).unwrap_or_default();
        let mut all = Ok(());
        for namespace in self.due(&pressure) {
            match self.flush_while_due(&namespace).await {
                Err(error) if error.is_fatal() => return Err(error),
                flushed => all = all.and(flushed),
            }
        }
        self.metrics.log_pressure(&pressure);
        all
    }

    async fn flush_while_due(&self, namespace: &Namespace) -> Result<(), Error> {
        while self.flush(namespace).await? == More::Left && self.is_due(namespace) {}
        Ok(())
    }

    fn due(&self, pressure: &Pressure) -> Vec<Namespace> {
        let states: Vec<_> = self.visible.namespaces().into_iter().map(|name| self.state(name)).collect();
        let unflushed = (self.visible.unflushed.used(), self.visible.unflushed.max());
        pick::due(&self.visible.pace, &states, pressure, (self.clock.now(), unflushed))
    }

    fn is_due(&self, namespace: &Namespace) -> bool {
        let state = self.state(namespace.clone());
        self.visible.pace.is_full(state.bytes, state.rows)
    }

    fn state(&self, namespace: Namespace) -> pick::State {
        let tail = self.visible.tail(&namespace);
        let tail = lock(&tail);
        pick::State { bytes: tail.bytes(), rows: tail.rows(), oldest: tail.oldest(), namespace }
    }

    /// Flushes all that the tail of a namespace held when this was called.
    pub(crate) async fn flush_all_of(&self, namespace: &Namespace) -> Result<(), Error> {
        let until = { lock(&self.visible.tail(namespace)).newest() };
        let Some(until) = until else { return Ok(()) };
        while lock(&self.visible.tail(namespace)).oldest().is_some_and(|oldest| oldest <= until) {
            self.flush(namespace).await?;
        }
        Ok(())
    }

    /// Flushes one file's worth of a namespace.
    pub(crate) async fn flush(&self, namespace: &Namespace) -> Result<More, Error> {
        let turn = Arc::clone(lock(&self.turns).entry(namespace.clone()).or_default());
        let _turn = turn.lock().await;
        let bytes_max = self.visible.pace.bytes.saturating_mul(PREFIX_FACTOR);
        let (prefix, all) = {
            let tail = self.visible.tail(namespace);
            let tail = lock(&tail);
            let prefix = tail.prefix(bytes_max);
            let all = prefix.appends.last().map(|kept| kept.system_time) == tail.newest();
            (prefix, all)
        };
        let appends = &prefix.appends;
        if appends.is_empty() {
            return Ok(More::Done);
        }
        let started = Stopwatch::now();
        let span = tracing::info_span!("flush", %namespace);
        let flushed = self.take_in(namespace, &prefix).instrument(span).await;
        self.metrics.flushed(started.elapsed(), appends, flushed.is_ok());
        let reached = flushed?;
        let is_done = all && appends.last().is_none_or(|last| last.system_time <= reached);
        Ok(if is_done { More::Done } else { More::Left })
    }

    /// Puts appends into files and commits them; the system time up to which the namespace is in files then.
    async fn take_in(&self, namespace: &Namespace, prefix: &Prefix) -> Result<Instant, Error> {
        let manifest = self.written(namespace, prefix).await?;
        lock(&self.visible.tail(namespace)).drop_covered(&manifest.mark, manifest.system_time);
        if let Some(log) = self.log.get()
            && let Err(error) = log.release(namespace, manifest.system_time)
        {
            tracing::warn!(%error, %namespace, "segments of the log could not be released; they will be with the next flush");
        }
        self.bell.ring();
        Ok(manifest.system_time)
    }

    /// Writes and commits; once more when clean-up came in between.
    async fn written(&self, namespace: &Namespace, prefix: &Prefix) -> Result<Arc<EventsManifest>, Error> {
        let appends = &prefix.appends;
        for _attempt in 0..publish::ATTEMPTS_MAX {
            let on = self.catalog.events(namespace);
            // A commit of ours of unknown outcome, or one that an owner before made late, may have been learned of by a
            // compaction or clean-up that lost its number to it.
            if publish::is_covered(&on, appends) {
                return Ok(on);
            }
            let file = write::events_file(self, namespace, prefix, on.head.version).await?;
            let sidecars = sidecar::write(self, namespace, appends, &on.sidecars).await?;
            // The catalog's own entry comes before the commit that first needs it: what the manifest names, exists.
            self.catalog.persist(namespace).await?;
            match publish::commit(self, namespace, (&on, appends), (file, sidecars)).await? {
                Published::Covered(manifest) => return Ok(manifest),
                Published::Orphaned => tracing::debug!(%namespace, "clean-up came between: the flush is written anew"),
            }
        }
        Err(publish::crowded(namespace))
    }
}
