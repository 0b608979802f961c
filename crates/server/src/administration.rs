//! What is said about namespaces and collections, whatever door it comes through: HTTP, gRPC's catalog service, CALL.
//!
//! Doors read, authorise and record; here is what is then done. [`dropping`] is about what is to be there no more.

mod dropping;

use std::sync::Arc;

use tidemark_catalog::{
    Catalog, Collection, LiveTail as _,
    manifest::{DeltaFile, EventsFile, Snapshot},
};
use tidemark_cdc::Cdc;
use tidemark_ingest::Ingest;
use tidemark_model::{CollectionName, Instant, Kind, Namespace, Retention, Table};
use tidemark_proto::Problem;

pub use self::dropping::Dropped;
use crate::reply::problem;

/// Does it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Administration {
    /// Who exists, and what was said.
    pub catalog: Catalog,
    /// Makes what does not exist, and declares.
    pub ingest: Ingest,
    /// Takes snapshots.
    pub cdc: Cdc,
    /// Held by whoever drops, brings back or erases.
    pub standings: Arc<tokio::sync::Mutex<()>>,
}

/// How long the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// What was said of this one.
    pub said: Retention,
    /// What holds by that.
    pub in_force: Retention,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub kind: FileKind,
    /// From the root of the lake.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// The first and the last system time of its rows, of events and deltas.
    pub system_time: Option<(Instant, Instant)>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Events.
    Events,
    /// Live documents.
    State,
    /// Ids and order of deleted documents.
    Tombstones,
    /// Changes.
    Delta,
}

/// The files that a table as of an instant is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The version that names them.
    pub version: u64,
    /// What was acknowledged up to here is in them; none before the first commit.
    pub complete_up_to: Option<Instant>,
    /// The files.
    pub files: Vec<File>,
}

impl Administration {
    /// Makes a namespace, or a collection and its namespace if that is not there yet.
    ///
    /// # Errors
    /// 409 when it is there already; whatever ingest says.
    pub async fn create(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Result<(), Problem> {
        if self.ingest.create(namespace, collection).await.map_err(Problem::from)? {
            return Ok(());
        }
        let what = collection.map_or_else(|| namespace.to_string(), |collection| format!("{namespace}.{collection}"));
        Err(Problem::new(Kind::Conflict, "already_exists", format!("{what} is there already")))
    }

    /// A collection that is there.
    ///
    /// # Errors
    /// 404.
    pub fn collection(&self, namespace: &Namespace, name: &CollectionName) -> Result<Arc<Collection>, Problem> {
        let unknown = || problem(&tidemark_cdc::Error::UnknownCollection(format!("{namespace}.{name}")));
        self.catalog.collection(namespace, name).ok_or_else(unknown)
    }

    /// Keeps a collection exactly as of an instant; without one as of the last closed one, which is not below any
    /// acknowledgement given before.
    ///
    /// # Errors
    /// What ingest or the change room says.
    pub async fn take_snapshot(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        name: Option<&str>,
        at: Option<Instant>,
    ) -> Result<Snapshot, Problem> {
        let at = at.unwrap_or_else(|| self.ingest.closed());
        self.collection(namespace, collection)?;
        self.ingest.flush(namespace).await.map_err(Problem::from)?;
        self.cdc.snapshot((namespace, collection), name, at).await.map_err(|error| problem(&error))
    }

    /// Drops a snapshot.
    ///
    /// # Errors
    /// What the change room says.
    pub async fn drop_snapshot(&self, of: (&Namespace, &CollectionName), name: &str) -> Result<(), Problem> {
        self.cdc.drop_snapshot(of, name).await.map_err(|error| problem(&error))
    }

    /// Says how long the past is kept; saying nothing takes back what was said.
    ///
    /// # Errors
    /// What the catalog says.
    pub async fn keep(
        &self,
        namespace: &Namespace,
        collection: Option<&CollectionName>,
        said: Retention,
    ) -> Result<Kept, Problem> {
        let _stands = self.ingest.stands(namespace, collection).await.map_err(Problem::from)?;
        let done = self.catalog.keep(namespace, collection, said).await;
        done.map_err(|error| problem(&tidemark_cdc::Error::Catalog(error)))?;
        let name = collection.map(CollectionName::as_str);
        tracing::info!(%namespace, collection = name, ?said, "how long the past is kept was said");
        Ok(self.kept(namespace, collection))
    }

    /// How long the past is kept.
    #[must_use]
    pub fn kept(&self, namespace: &Namespace, collection: Option<&CollectionName>) -> Kept {
        let said = self.catalog.retention_said(namespace, collection);
        let wider = collection.map_or(said, |collection| self.catalog.retention(namespace, collection));
        Kept { said, in_force: wider.or(self.cdc.config().retention()) }
    }

    /// The files that a table as of an instant is made of; without one as of all that is in files.
    ///
    /// # Errors
    /// 404; 400 `outside_window` when what was dropped is needed.
    pub fn files(&self, namespace: &Namespace, table: &Table, at: Option<Instant>) -> Result<Files, Problem> {
        let at = at.unwrap_or(Instant::MAX);
        match table {
            Table::Events => Ok(self.files_of_events(namespace, at)),
            Table::Collection(name) => {
                self.collection(namespace, name)?;
                self.files_of_collection(namespace, name, at)
            }
        }
    }

    fn files_of_events(&self, namespace: &Namespace, at: Instant) -> Files {
        let manifest = self.catalog.events(namespace);
        let version = manifest.head.version;
        let files = manifest.files.iter().filter(|file| file.system_time.min <= at).map(File::from).collect();
        Files { version, complete_up_to: (version > 0).then_some(manifest.system_time), files }
    }

    fn files_of_collection(&self, namespace: &Namespace, name: &CollectionName, at: Instant) -> Result<Files, Problem> {
        let manifest = self.catalog.manifest(namespace, name);
        let outside =
            |why: tidemark_catalog::manifest::Outside| Problem::new(Kind::Invalid, "outside_window", why.to_string());
        let base = manifest.start(at, None).map_err(outside)?;
        let mut files = Vec::new();
        if let Some(base) = base {
            let held = base.parts.iter().map(|file| (FileKind::State, file));
            for (kind, file) in held.chain(base.tombstones.iter().map(|file| (FileKind::Tombstones, file))) {
                let (path, sha256) = (file.path.clone(), file.sha256.clone());
                files.push(File { kind, path, rows: file.rows, bytes: file.bytes, sha256, system_time: None });
            }
        }
        let behind = manifest.reaching(at, None).filter(|delta| base.is_none_or(|base| base.leaves(delta)));
        files.extend(behind.map(File::from));
        let version = manifest.head.version;
        Ok(Files { version, complete_up_to: (version > 0).then_some(manifest.system_time), files })
    }
}

impl From<&EventsFile> for File {
    fn from(file: &EventsFile) -> Self {
        let system_time = Some((file.system_time.min, file.system_time.max));
        let (path, sha256) = (file.path.clone(), file.sha256.clone());
        Self { kind: FileKind::Events, path, rows: file.rows, bytes: file.bytes, sha256, system_time }
    }
}

impl From<&DeltaFile> for File {
    fn from(file: &DeltaFile) -> Self {
        let system_time = Some((file.system_time.min, file.system_time.max));
        let (path, sha256) = (file.path.clone(), file.sha256.clone());
        Self { kind: FileKind::Delta, path, rows: file.rows, bytes: file.bytes, sha256, system_time }
    }
}
