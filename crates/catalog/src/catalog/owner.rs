//! `_tidemark/owner/{epoch}.json`: who owns the lake. Taking it over is creating the next epoch, then ending the logs in
//! the store of whoever had it before: from then on nothing is acknowledged there.
//!
//! `{"format":2,"epoch":3,"put_id":"{ulid}","opened_at":{µs},"holder":"{for people}","lease_ms":10000,"log":"{ulid}",
//! "inherits":["{ulid}",…],"since":2}`; the last three where the owner's log lies in the store: its own, those before it that
//! may hold what is in no file, and the first epoch from which on all owners had such a log. Format 1 ended behind
//! `opened_at`.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_model::{Clock, Ids, Instant};
use tidemark_storage::{
    Store,
    log::{fence, holds_appends, is_released},
    paths,
    register::{Created, Register},
};
use ulid::Ulid;

use super::{Catalog, CatalogError, check_format};
use crate::lease::{Lease, MachineTicks, Ticks};

/// The format of an entry that is written here.
const FORMAT: u32 = 2;
/// How often another may be faster before opening gives up.
const ATTEMPTS: usize = 16;

/// How a process means to hold the lake.
#[derive(Debug, Clone)]
pub struct Tenure {
    /// Whether it keeps its log in the lake's store.
    pub log_in_store: bool,
    /// Who it is, for people: host and process.
    pub holder: String,
    /// How long it may be silent before another may take over, ms. 0: another may do so at any time.
    pub lease_ms: u64,
    /// The epoch it means to follow: if there is a newer one, it was not its turn.
    pub after: Option<u64>,
    /// What its lease is measured by.
    pub ticks: Arc<dyn Ticks>,
}

impl Default for Tenure {
    fn default() -> Self {
        let (log_in_store, holder, lease_ms) = (false, String::new(), 0);
        Self { log_in_store, holder, lease_ms, after: None, ticks: Arc::new(MachineTicks::default()) }
    }
}

/// The logs of an owner that keeps them in the lake's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLogs {
    /// Its own.
    pub log: Ulid,
    /// Those of owners before that may hold what is in no file, the oldest first; all are ended.
    pub inherited: Vec<Ulid>,
    /// The first epoch from which on all owners had such a log.
    pub since: u64,
}

/// How a process holds the lake, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its epoch.
    pub epoch: u64,
    /// Who it is: host and process.
    pub holder: String,
    /// Since when.
    pub taken_at: Instant,
    /// How long it may be silent, ms; 0: for ever.
    pub lease_ms: u64,
    /// Whether nobody else can have taken over by now.
    pub is_held: bool,
    /// Its logs, if they lie in the store.
    pub logs: Option<OwnLogs>,
}

/// One epoch, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    format: u32,
    pub(crate) epoch: u64,
    put_id: String,
    pub(crate) opened_at: Instant,
    #[serde(default)]
    pub(crate) holder: String,
    #[serde(default)]
    pub(crate) lease_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<LogId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inherits: Vec<LogId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

/// The id of a log, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct LogId(Ulid);

impl From<LogId> for String {
    fn from(id: LogId) -> Self {
        id.0.to_string()
    }
}

impl TryFrom<String> for LogId {
    type Error = ulid::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ulid::from_string(&text).map(Self)
    }
}

impl Entry {
    /// The logs in the store that its owner may have written to or not yet emptied.
    pub(crate) fn logs(&self) -> impl Iterator<Item = Ulid> {
        self.inherits.iter().chain(&self.log).map(|id| id.0)
    }

    /// Whether its owner kept its log in the store.
    pub(crate) const fn has_log_in_store(&self) -> bool {
        self.log.is_some()
    }

    fn own_logs(&self) -> Option<OwnLogs> {
        let inherited = || self.inherits.iter().map(|id| id.0).collect();
        self.log.map(|log| OwnLogs { log: log.0, inherited: inherited(), since: self.since.unwrap_or(self.epoch) })
    }
}

/// The epoch this process owns the lake in, and how it learns that it does no longer.
#[derive(Debug)]
pub(super) struct Owner {
    register: Register,
    pub(super) epoch: u64,
    pub(super) lease: Lease,
    pub(super) logs: Option<OwnLogs>,
    entry: Entry,
}

/// What taking over needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) store: &'a Store,
    pub(super) cluster: &'a str,
    pub(super) clock: &'a dyn Clock,
    pub(super) ids: &'a Ids,
}

impl Taking<'_> {
    fn ulid(&self) -> Ulid {
        self.ids.ulid(self.clock.now())
    }
}

impl Owner {
    /// Takes the next epoch; the logs of those before are still to be ended.
    pub(super) async fn take(taking: Taking<'_>, tenure: &Tenure) -> Result<Self, CatalogError> {
        let register = Register::new(taking.store.clone(), paths::owner());
        let mut before = newest(&register, None).await?;
        for _attempt in 0..ATTEMPTS {
            let held = before.as_ref().map_or(0, |entry| entry.epoch);
            if let Some(after) = tenure.after.filter(|after| *after != held) {
                return Err(CatalogError::Fenced { ours: after + 1, theirs: held });
            }
            let entry = successor(taking, tenure, before.as_ref()).await?;
            let epoch = entry.epoch;
            let ticks = Arc::clone(&tenure.ticks);
            let lease = Lease::begin(taking.store, (epoch, tenure.lease_ms), taking.ulid(), ticks);
            if let Created::Won = register.create(epoch, encode(&entry)?).await? {
                return Ok(Self { register, epoch, lease, logs: entry.own_logs(), entry });
            }
            before = newest(&register, Some(epoch)).await?;
        }
        let theirs = before.map_or(1, |entry| entry.epoch);
        Err(CatalogError::Fenced { ours: theirs, theirs: theirs + 1 })
    }

    /// Ends the logs of owners before. One whose own log is elsewhere cannot take in what they hold.
    pub(super) async fn take_logs(&self, taking: Taking<'_>) -> Result<(), CatalogError> {
        let inherited: Vec<Ulid> = self.entry.inherits.iter().map(|id| id.0).collect();
        for log in &inherited {
            fence(taking.store, taking.cluster, (*log, self.epoch), taking.ulid()).await?;
        }
        let is_elsewhere = self.entry.log.is_none() && !inherited.is_empty();
        if is_elsewhere && holds_appends(taking.store, taking.cluster, &inherited).await? {
            return Err(CatalogError::LogInStore);
        }
        Ok(())
    }

    /// What people are told.
    pub(super) fn held(&self) -> Held {
        let Entry { epoch, holder, opened_at, lease_ms, .. } = self.entry.clone();
        let (is_held, logs) = (self.lease.is_held(), self.logs.clone());
        Held { epoch, holder, taken_at: opened_at, lease_ms, is_held, logs }
    }

    /// Refuses when a newer epoch exists.
    pub(super) async fn check(&self) -> Result<(), CatalogError> {
        if !self.register.exists(self.epoch + 1).await? {
            return Ok(());
        }
        let newest = self.register.latest(Some(self.epoch + 1)).await?;
        let theirs = newest.map_or(self.epoch + 1, |(epoch, _entry)| epoch);
        Err(CatalogError::Fenced { ours: self.epoch, theirs })
    }

    /// Refuses when an entry was written by a newer owner.
    pub(super) fn admits(&self, theirs: u64) -> Result<(), CatalogError> {
        if theirs > self.epoch { Err(CatalogError::Fenced { ours: self.epoch, theirs }) } else { Ok(()) }
    }
}

impl Catalog {
    /// How this process holds the lake.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.0.owner.lease
    }

    /// The same for people.
    #[must_use]
    pub fn held(&self) -> Held {
        self.0.owner.held()
    }

    /// The logs of this owner, if it keeps them in the lake's store.
    #[must_use]
    pub fn own_logs(&self) -> Option<&OwnLogs> {
        self.0.owner.logs.as_ref()
    }

    /// Refuses when another process may own the lake by now: what is known here may not be all there is.
    ///
    /// # Errors
    /// [`CatalogError::Lapsed`].
    pub fn check_held(&self) -> Result<(), CatalogError> {
        if self.lease().is_held() { Ok(()) } else { Err(CatalogError::Lapsed) }
    }
}

/// Who owns the lake now, looked for from an epoch on that is known to exist.
pub(crate) async fn newest(register: &Register, hint: Option<u64>) -> Result<Option<Entry>, CatalogError> {
    let Some((epoch, bytes)) = register.latest(hint).await? else { return Ok(None) };
    decode(&register.path(epoch), &bytes).map(Some)
}

/// Who owned the lake in an epoch.
pub(crate) async fn of_epoch(register: &Register, epoch: u64) -> Result<Entry, CatalogError> {
    let path = register.path(epoch);
    let bytes = register.read(epoch).await?.ok_or_else(|| CatalogError::unreadable(&path, "it is not there"))?;
    decode(&path, &bytes)
}

/// The entry that follows another.
async fn successor(taking: Taking<'_>, tenure: &Tenure, before: Option<&Entry>) -> Result<Entry, CatalogError> {
    let epoch = before.map_or(0, |entry| entry.epoch) + 1;
    let mut inherits = Vec::new();
    for log in before.into_iter().flat_map(Entry::logs) {
        if !is_released(taking.store, taking.cluster, log).await? {
            inherits.push(LogId(log));
        }
    }
    // Whoever inherits such logs, also to be refused because its own is elsewhere, is no break.
    let keeps_logs = tenure.log_in_store || !inherits.is_empty();
    let since = before.and_then(|before| before.since).unwrap_or(epoch);
    Ok(Entry {
        format: FORMAT,
        epoch,
        put_id: taking.ulid().to_string(),
        opened_at: taking.clock.now(),
        holder: tenure.holder.clone(),
        lease_ms: tenure.lease_ms,
        log: tenure.log_in_store.then(|| LogId(taking.ulid())),
        inherits,
        since: keeps_logs.then_some(since),
    })
}

fn encode(entry: &Entry) -> Result<Bytes, CatalogError> {
    let json = serde_json::to_vec(entry).map(Bytes::from);
    json.map_err(|error| CatalogError::unreadable(&paths::owner(), error))
}

fn decode(path: &impl std::fmt::Display, bytes: &[u8]) -> Result<Entry, CatalogError> {
    check_format(path, bytes, FORMAT)?;
    serde_json::from_slice(bytes).map_err(|error| CatalogError::unreadable(path, error))
}

#[cfg(test)]
mod tests;
