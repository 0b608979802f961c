//! Looking a lake over without owning it: is everything there that manifests name, and nothing besides?
//!
//! 1. The catalog register tells the tables; every table's chain of manifests must have no gap above its floor.
//! 2. Every file that the newest manifest names must be there, with its size and its SHA-256.
//! 3. What the manifest says of itself must fit: positions without gaps, marks in order, parts without overlap.
//! 4. Data files that no manifest of the last while named and that are older than that are orphans: clean-up should have
//!    taken them. The while ends when the lake was last at work, and none are looked for where its owner was not at work
//!    for that long: a lake that lay still is not worse for it.
//! 5. A published table must hold the files, bytes and rows of the manifest it was published from, and they must be there.
//! 6. Of the logs in the store that may hold what is in no file, every object must be there and verify.
//!
//! Nothing is written, and a server may run meanwhile: what it deletes lies past the grace, what it adds is young.

mod chain;
mod published;
mod table;

use std::collections::{HashMap, HashSet};

use tidemark_model::{Instant, Namespace, Seq};
use tidemark_storage::{ObjectPath, Store, StoreError, log::look, paths, register::Register};

use self::table::Expected;
use crate::{
    CatalogError, CollectionManifest, EventsManifest,
    catalog::{
        journal, lake,
        owner::{self, Entry},
        state::{CollectionState, State},
        tables,
    },
    lease,
    manifest::stored::{self, Manifest},
    publish::{Log, pick::Wanted, wanted},
};

/// How thoroughly is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Presence and sizes.
    Sizes,
    /// Every byte: checksums too.
    Checksums,
}

/// What was looked at and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Tables.
    pub tables: u64,
    /// Files that manifests name.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of logs in the store.
    pub log_objects: u64,
    /// What is wrong, one sentence each, beginning with the object or the table.
    pub complaints: Vec<String>,
}

/// The most manifests of one table that are read back to see what was named lately.
const MANIFESTS_MAX: u64 = 4096;

/// Looks a lake over; `now` and `grace_s` say from which age on a file without a name is an orphan; 0: each is.
///
/// What cannot be read is a complaint as well, and the rest is looked at all the same; not so when a store elsewhere stops
/// answering.
///
/// # Errors
/// [`CatalogError`] when there is no lake, or the register of its tables cannot be read.
pub async fn verify(store: &Store, depth: Depth, now: Instant, grace_s: u64) -> Result<Report, CatalogError> {
    let lake = lake::read(store).await?;
    let register = Register::new(store.clone(), paths::catalog());
    let mut state = State::new(store.clone());
    let mut looking = Looking { store, depth, oldest: Some(now), report: Report::default() };
    if grace_s > 0 {
        looking.oldest = match at_work(store, now).await {
            Ok(times) => orphans_from(times, grace_s),
            Err(error) if looking.goes_on("the lake's owner", &error) => None,
            Err(_away) => return Ok(looking.report),
        };
    }
    for entry in journal::load(&register).await? {
        state.absorb(&entry);
    }
    looking.chain(&register, &paths::catalog()).await?;
    looking.chain(&Register::new(store.clone(), paths::owner()), &paths::owner()).await?;
    match looking.logs(&lake.cluster).await {
        Err(error) if !looking.goes_on("the logs in the store", &error) => return Ok(looking.report),
        Ok(()) | Err(_) => {}
    }
    for (namespace, known) in &state.namespaces {
        let mut mark = None;
        match looking.events(namespace, &known.events.register).await {
            Ok(events) => mark = Some(events.mark),
            Err(error) if looking.goes_on(format_args!("{namespace}.events"), &error) => {}
            Err(_away) => return Ok(looking.report),
        }
        for (name, collection) in &known.collections {
            let of = format!("{namespace}.{name}");
            let mark = mark.as_ref().map_or(Seq::MAX, |mark| mark.seq(collection.known.shard));
            match looking.collection((namespace, &of), collection, mark).await {
                Err(error) if !looking.goes_on(&of, &error) => return Ok(looking.report),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(looking.report)
}

/// Since when the lake has its owner, and when that was last seen at work: now, where it has no lease to say so.
async fn at_work(store: &Store, now: Instant) -> Result<(Instant, Instant), CatalogError> {
    let owner = owner::newest(&Register::new(store.clone(), paths::owner()), None).await?;
    let Some(owner) = owner else { return Ok((Instant::MIN, now)) };
    let word = lease::last_word(store, owner.epoch).await?;
    Ok((owner.opened_at, word.map_or(now, |(_word, said_at)| said_at.min(now))))
}

/// The instant before which a file without a name is an orphan; none where clean-up cannot have come to any.
fn orphans_from((opened_at, at_work): (Instant, Instant), grace_s: u64) -> Option<Instant> {
    let grace = i64::try_from(grace_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let oldest = at_work.plus_micros(grace.saturating_neg());
    (opened_at < oldest).then_some(oldest)
}

/// An error with what it comes from.
fn whole(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

struct Looking<'s> {
    store: &'s Store,
    depth: Depth,
    /// What is older than this and was not named since is an orphan; none: nothing is.
    oldest: Option<Instant>,
    report: Report,
}

impl Looking<'_> {
    fn complain(&mut self, of: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.report.complaints.push(format!("{of}: {what}"));
    }

    /// Complains of a table whose rest could not be looked at; whether the next one is worth a try.
    fn goes_on(&mut self, of: impl std::fmt::Display, error: &CatalogError) -> bool {
        let is_away = self.store.is_remote() && matches!(error, CatalogError::Store(StoreError::Failed { .. }));
        let rest = if is_away { "it and all behind it" } else { "the rest of it" };
        self.complain(of, format_args!("{rest} could not be looked at: {}", whole(error)));
        !is_away
    }

    async fn events(&mut self, namespace: &Namespace, register: &Register) -> Result<EventsManifest, CatalogError> {
        let root = paths::table(namespace, "events");
        let events: EventsManifest = self
            .table(register, &paths::manifests(namespace, "events"))
            .await?
            .unwrap_or_else(EventsManifest::before_first);
        let mut lately = self.lately(register, &events, table::of_events).await?;
        let wanted = |manifest: &EventsManifest| Some(wanted::of_events(&root, manifest));
        lately.extend(self.published(&root, register, wanted).await?);
        self.files(std::slice::from_ref(&root), table::of_events(&events), &lately).await?;
        self.report.complaints.extend(table::about_events(namespace, &events));
        Ok(events)
    }

    /// `mark` is that of the events that the collection is made of.
    async fn collection(
        &mut self,
        (namespace, of): (&Namespace, &str),
        collection: &CollectionState,
        mark: Seq,
    ) -> Result<(), CatalogError> {
        let (directory, register) = (collection.known.directory.as_str(), &collection.slot.register);
        let manifest: CollectionManifest = self
            .table(register, &paths::manifests(namespace, directory))
            .await?
            .unwrap_or_else(CollectionManifest::before_first);
        let mut lately = self.lately(register, &manifest, table::of_collection).await?;
        let table = paths::table(namespace, directory);
        let root = paths::states(&table);
        let wanted = |manifest: &CollectionManifest| wanted::of_state(&root, manifest);
        lately.extend(self.published(&root, register, wanted).await?);
        self.files(&paths::data_directories(&table), table::of_collection(&manifest), &lately).await?;
        self.report.complaints.extend(table::about_collection(of, &manifest, mark));
        Ok(())
    }

    /// The newest manifest of a table whose chain is looked at.
    async fn table<M: Manifest>(
        &mut self,
        register: &Register,
        directory: &ObjectPath,
    ) -> Result<Option<M>, CatalogError> {
        self.report.tables += 1;
        self.chain(register, directory).await?;
        match tables::newest::<M>(register, None).await {
            Err(CatalogError::Unreadable { path, reason }) => {
                self.complain(path, reason);
                Ok(None)
            }
            read => read,
        }
    }

    /// The logs in the store of whoever owns the lake, those that it inherited with them.
    async fn logs(&mut self, cluster: &str) -> Result<(), CatalogError> {
        let owner = owner::newest(&Register::new(self.store.clone(), paths::owner()), None).await?;
        for log in owner.iter().flat_map(Entry::logs) {
            let looked = look(self.store, cluster, log, self.depth == Depth::Checksums).await?;
            self.report.log_objects += looked.objects;
            self.report.complaints.extend(looked.complaints);
        }
        Ok(())
    }

    /// What manifests named that were the newest at some moment since the grace began: readers may still read it.
    async fn lately<M: Manifest>(
        &self,
        register: &Register,
        newest: &M,
        files: fn(&M) -> HashMap<String, Expected>,
    ) -> Result<HashSet<String>, CatalogError> {
        let mut named = HashSet::new();
        let Some(oldest) = self.oldest else { return Ok(named) };
        let (mut version, mut committed_at) = (newest.head().version, newest.head().committed_at);
        for _read in 0..MANIFESTS_MAX {
            version = version.saturating_sub(1);
            // The one before the grace was the newest until the next one came.
            let Some(bytes) = register.read(version).await?.filter(|_| committed_at >= oldest) else { break };
            let manifest: M = stored::decode(register.path(version).as_ref(), &bytes)?;
            committed_at = manifest.head().committed_at;
            named.extend(files(&manifest).into_keys());
        }
        Ok(named)
    }

    /// What is published below a root against the manifest it was published from; every file, from the root of the lake,
    /// that another engine may read by it: clean-up leaves them.
    async fn published<M: Manifest>(
        &mut self,
        root: &ObjectPath,
        register: &Register,
        wanted: impl Fn(&M) -> Option<Wanted>,
    ) -> Result<Vec<String>, CatalogError> {
        let read = async {
            let log = Log::open(self.store, root).await?;
            let named = log.named().await?;
            Ok::<_, crate::publish::LogError>((log.published, named))
        };
        let (published, named) = match read.await {
            Ok((Some(published), named)) => (published, named),
            Ok((None, _)) => return Ok(Vec::new()),
            Err(error) => {
                self.complain(paths::delta_log(root), error);
                return Ok(Vec::new());
            }
        };
        // A manifest that is long past tells no more; its files are held against those that are there all the same.
        let manifest = register.committed(published.manifest).await?;
        let manifest = manifest.map(|bytes| stored::decode(register.path(published.manifest).as_ref(), &bytes));
        let wanted = manifest.transpose()?.and_then(|manifest| wanted(&manifest));
        let mut wrong = wanted.map_or_else(Vec::new, |wanted| published::against(&published, &wanted));
        for (path, size) in &published.files {
            let found = self.store.size(&ObjectPath::from(format!("{root}/{path}"))).await?;
            wrong.extend(published::missing(path, size.bytes, found));
        }
        wrong.into_iter().for_each(|wrong| self.complain(paths::delta_log(root), wrong));
        Ok(named.into_keys().map(|path| format!("{root}/{path}")).collect())
    }

    /// The files of a table against what lies in its directories.
    async fn files(
        &mut self,
        directories: &[ObjectPath],
        named: HashMap<String, Expected>,
        lately: &HashSet<String>,
    ) -> Result<(), CatalogError> {
        let mut there = HashMap::new();
        for directory in directories {
            for object in self.store.list(directory).await? {
                let modified = Instant::from_micros(object.last_modified.timestamp_micros());
                there.insert(object.location.to_string(), (object.size, modified));
            }
        }
        let mut paths: Vec<(&String, &Expected)> = named.iter().collect();
        paths.sort_unstable_by_key(|(path, _)| *path);
        for (path, expected) in paths {
            self.report.files += 1;
            self.report.bytes += expected.bytes;
            self.file(path, expected, there.get(path).map(|(size, _)| *size)).await?;
        }
        let mut orphans: Vec<_> = there
            .iter()
            .filter(|(path, (_, modified))| {
                let is_named = named.contains_key(*path) || lately.contains(*path);
                paths::is_data_file(&ObjectPath::from(path.as_str()))
                    && !is_named
                    && self.oldest.is_some_and(|oldest| *modified < oldest)
            })
            .collect();
        orphans.sort_unstable();
        for (path, (size, _)) in orphans {
            self.complain(path, format_args!("no manifest names it and it is older than the grace ({size} bytes)"));
        }
        Ok(())
    }

    async fn file(&mut self, path: &str, expected: &Expected, size: Option<u64>) -> Result<(), CatalogError> {
        match size {
            None => self.complain(path, "it is missing"),
            Some(size) if size != expected.bytes => {
                self.complain(path, format_args!("it has {size} bytes, the manifest says {}", expected.bytes));
            }
            Some(_) if self.depth == Depth::Checksums => {
                match self.store.checksum(&ObjectPath::from(path)).await {
                    Ok(found) if found == expected.sha256 => {}
                    Ok(found) => {
                        let said = &expected.sha256;
                        self.complain(path, format_args!("its checksum is {found}, the manifest says {said}"));
                    }
                    Err(StoreError::NotFound { .. }) => self.complain(path, "it is missing"),
                    // A bad place of the disk: one file, not all.
                    Err(error) if !self.store.is_remote() => {
                        self.complain(path, format_args!("it cannot be read: {}", whole(&error)));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orphans_are_what_clean_up_had_the_time_to_take() {
        let at = |hour: i64| Instant::from_micros(hour * 3_600_000_000);
        let from = |opened_at, at_work, grace_h: u64| orphans_from((at(opened_at), at(at_work)), grace_h * 3600);
        assert_eq!(from(0, 10, 4), Some(at(6)), "what was written before hour 6 waited for four hours");
        assert_eq!(from(7, 10, 4), None, "the owner began three hours ago, and clean-up with it");
        assert_eq!(from(6, 10, 4), None);
        assert_eq!(orphans_from((Instant::MIN, at(0)), u64::MAX), None, "a grace without an end");
    }

    #[tokio::test]
    async fn a_lake_without_a_lease_is_taken_to_be_at_work() {
        let now = Instant::from_micros(1);
        assert_eq!(at_work(&Store::memory(), now).await.expect("reads"), (Instant::MIN, now));
    }
}
