//! Looking a lake over without owning it: is everything there that manifests name, and nothing besides?
//!
//! 1. The catalog register tells the tables; every table's chain of manifests must have no gap above its floor.
//! 2. Every file that the newest manifest names must be there, with its size and its SHA-256.
//! 3. What the manifest says of itself must fit: positions without gaps, marks in order, parts without overlap.
//! 4. Data files that no manifest of the last while named and that are older than that are orphans: clean-up should have
//!    taken them.
//!
//! 5. A published table must hold the files, bytes and rows of the manifest it was published from, and they must be there.
//! 6. Of the logs in the store that may hold what is in no file, every object must be there and verify.
//!
//! Nothing is written, and a server may run meanwhile: what it deletes lies past the grace, what it adds is young.

mod chain;
mod published;
mod table;

use std::collections::{HashMap, HashSet};

use tidemark_model::Instant;
use tidemark_storage::{ObjectPath, Store, log::look, paths, register::Register};

use self::table::Expected;
use crate::{
    CatalogError, CollectionManifest, EventsManifest,
    catalog::{
        journal, lake,
        owner::{self, Entry},
        state::State,
        tables,
    },
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

/// Looks a lake over; `now` and `grace_s` say from which age on a file without a name is an orphan.
///
/// # Errors
/// [`CatalogError`] when there is no lake, or the register of its tables cannot be read.
pub async fn verify(store: &Store, depth: Depth, now: Instant, grace_s: u64) -> Result<Report, CatalogError> {
    let lake = lake::read(store).await?;
    let register = Register::new(store.clone(), paths::catalog());
    let mut state = State::new(store.clone());
    let mut looking = Looking { store, depth, oldest: orphans_from(now, grace_s), report: Report::default() };
    for entry in journal::load(&register).await? {
        state.absorb(&entry);
    }
    looking.chain(&register, &paths::catalog()).await?;
    looking.chain(&Register::new(store.clone(), paths::owner()), &paths::owner()).await?;
    looking.logs(&lake.cluster).await?;
    for (namespace, known) in &state.namespaces {
        let events: EventsManifest = looking
            .table(&known.events.register, &paths::manifests(namespace, "events"))
            .await?
            .unwrap_or_else(EventsManifest::before_first);
        let mut lately = looking.lately(&known.events.register, &events, table::of_events).await?;
        let root = paths::table(namespace, "events");
        let wanted = |manifest: &EventsManifest| Some(wanted::of_events(&root, manifest));
        lately.extend(looking.published(&root, &known.events.register, wanted).await?);
        looking.files(&[paths::table(namespace, "events")], table::of_events(&events), &lately).await?;
        looking.report.complaints.extend(table::about_events(namespace, &events));
        for (name, collection) in &known.collections {
            let directory = collection.known.directory.as_str();
            let manifest: CollectionManifest = looking
                .table(&collection.slot.register, &paths::manifests(namespace, directory))
                .await?
                .unwrap_or_else(CollectionManifest::before_first);
            let directories = paths::data_directories(&paths::table(namespace, directory));
            let mut lately = looking.lately(&collection.slot.register, &manifest, table::of_collection).await?;
            let root = paths::states(&paths::table(namespace, directory));
            let wanted = |manifest: &CollectionManifest| wanted::of_state(&root, manifest);
            lately.extend(looking.published(&root, &collection.slot.register, wanted).await?);
            looking.files(&directories, table::of_collection(&manifest), &lately).await?;
            let mark = events.mark.seq(collection.known.shard);
            looking.report.complaints.extend(table::about_collection(&format!("{namespace}.{name}"), &manifest, mark));
        }
    }
    Ok(looking.report)
}

/// The instant before which a file without a name is an orphan.
fn orphans_from(now: Instant, grace_s: u64) -> Instant {
    now.plus_micros(i64::try_from(grace_s).unwrap_or(i64::MAX).saturating_mul(1_000_000).saturating_neg())
}

struct Looking<'s> {
    store: &'s Store,
    depth: Depth,
    oldest: Instant,
    report: Report,
}

impl Looking<'_> {
    fn complain(&mut self, of: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.report.complaints.push(format!("{of}: {what}"));
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
        let (mut version, mut committed_at) = (newest.head().version, newest.head().committed_at);
        for _read in 0..MANIFESTS_MAX {
            version = version.saturating_sub(1);
            // The one before the grace was the newest until the next one came.
            let Some(bytes) = register.read(version).await?.filter(|_| committed_at >= self.oldest) else { break };
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
                paths::is_data_file(&ObjectPath::from(path.as_str())) && !is_named && *modified < self.oldest
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
                let found = self.store.checksum(&ObjectPath::from(path)).await?;
                if found != expected.sha256 {
                    self.complain(path, format_args!("its checksum is {found}, the manifest says {}", expected.sha256));
                }
            }
            Some(_) => {}
        }
        Ok(())
    }
}
