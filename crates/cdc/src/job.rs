//! What every step of one collection needs: its names, its paths, and reading, writing and committing.

use std::sync::Arc;

use tidemark_catalog::{Catalog, Collection, CollectionManifest, Commit, EventsManifest, LiveTail, cleanup::Cleaner};
use tidemark_model::{Clock, Ids, Instant, Namespace, Retention};
use tidemark_storage::{
    ObjectPath as Path, Store,
    files::{self, Content, FileKind, Wanted, Written},
    paths,
};
use ulid::Ulid;

use crate::{
    Config, Error,
    metrics::{Metrics, Step},
    point::Points,
    rollup::Bulky,
    room::More,
};

/// What the room was given.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) config: Config,
    pub(crate) catalog: Catalog,
    pub(crate) live: Arc<dyn LiveTail>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) metrics: Metrics,
    pub(crate) cleaner: Cleaner,
    pub(crate) bulky: Bulky,
    /// Where tests let it die.
    pub(crate) points: Points,
}

/// One collection at work. The manifests were read upstream first, the collection's schema after the events, so that
/// it is at least as new as every row of their files.
#[derive(Debug, Clone)]
pub(crate) struct Job<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) namespace: &'a Namespace,
    pub(crate) events: Arc<EventsManifest>,
    pub(crate) collection: Arc<Collection>,
    pub(crate) manifest: Arc<CollectionManifest>,
}

impl Job<'_> {
    pub(crate) fn store(&self) -> &Store {
        self.tools.catalog.store()
    }

    /// The directory of the collection.
    pub(crate) fn table(&self) -> Path {
        paths::table(self.namespace, &self.collection.directory)
    }

    /// How long the past is kept: as was said of the collection, of its namespace, or to the process.
    pub(crate) fn retention(&self) -> Retention {
        let said = self.tools.catalog.retention(self.namespace, &self.collection.name);
        said.or(self.tools.config.retention())
    }

    /// A unique end for a file name.
    pub(crate) fn unique(&self) -> Ulid {
        self.tools.ids.ulid(self.now())
    }

    pub(crate) fn now(&self) -> Instant {
        self.tools.clock.now()
    }

    /// The version that a commit of this job will have.
    pub(crate) fn next_version(&self) -> u64 {
        self.manifest.head.version + 1
    }

    /// `{namespace}.{collection}`, for people.
    pub(crate) fn told(&self) -> String {
        format!("{}.{}", self.namespace, self.collection.name)
    }

    pub(crate) async fn read(&self, path: &str, wanted: &Wanted) -> Result<Vec<arrow::array::RecordBatch>, Error> {
        Ok(files::read(self.store(), &Path::from(path), wanted).await?)
    }

    pub(crate) async fn write(&self, kind: FileKind, path: Path, content: Content) -> Result<Written, Error> {
        let written = files::write(self.store(), kind, path, content).await?;
        self.tools.metrics.wrote(kind.as_str(), written.rows, written.bytes);
        Ok(written)
    }

    /// Passes a fail point.
    pub(crate) async fn point(&self, step: Step, moment: &str) {
        self.tools.points.pass(step.as_str(), moment).await;
    }

    /// Commits what a step made. A lost race leaves its files to clean-up; the step is planned again.
    pub(crate) async fn publish(&self, step: Step, next: CollectionManifest) -> Result<More, Error> {
        self.commit(step, next).await.map(|_is_ours| More::Yes)
    }

    /// Commits what a step made; whether it is the newest manifest now.
    pub(crate) async fn commit(&self, step: Step, next: CollectionManifest) -> Result<bool, Error> {
        self.point(step, "written").await;
        let table = (self.namespace, &self.collection.name);
        match self.tools.catalog.commit_collection(table, &self.manifest, next).await? {
            Commit::Committed(manifest) => {
                self.tools.metrics.committed(step);
                let (namespace, collection) = (self.namespace.as_str(), self.collection.name.as_str());
                let version = manifest.head.version;
                tracing::debug!(namespace, collection, version, step = step.as_str(), "committed");
                self.point(step, "committed").await;
                Ok(true)
            }
            Commit::Lost { .. } => {
                self.tools.metrics.lost(step);
                Ok(false)
            }
        }
    }
}

/// Runs CPU-heavy work where it does not hold up the tasks of the runtime.
pub(crate) async fn compute<T: Send + 'static>(
    verb: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_ended| Error::Thread { verb })?
}
