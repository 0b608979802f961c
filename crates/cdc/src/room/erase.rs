//! Letting all of a collection go that was dropped.

use tidemark_catalog::CollectionManifest;
use tidemark_model::{CollectionName, Namespace};

use super::{Cdc, past::ATTEMPTS};
use crate::{Error, job::Job, metrics::Step};

impl Cdc {
    /// Commits a manifest of a collection that names nothing: its files are left to clean-up, and no instant up to the newest
    /// event can be asked for any more. All that was acknowledged must be in events files (`Ingest::flush`).
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], and what a commit says; asked again it goes on.
    pub async fn erase(&self, namespace: &Namespace, collection: &CollectionName) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        for _attempt in 0..ATTEMPTS {
            let job = self.any_job(namespace, collection)?;
            let next = begun_anew(&job);
            if job.manifest.is_begun_anew(next.mark) || job.commit(Step::Erase, next).await? {
                return Ok(());
            }
        }
        Err(Error::Unsettled { namespace: namespace.to_string(), passes: ATTEMPTS })
    }
}

/// The manifest that stands behind all that the events hold of a collection.
fn begun_anew(job: &Job<'_>) -> CollectionManifest {
    let mark = job.events.mark.seq(job.collection.shard);
    job.manifest.begun_anew((mark, job.events.system_time), job.collection.schema.begun_anew())
}
