//! Compaction when a person asks for it: what waits is taken in, folded and rolled up, due or not.

use std::sync::Arc;

use tidemark_catalog::CollectionManifest;
use tidemark_model::{CollectionName, Namespace};

use super::{Cdc, More, Urgency, past::ATTEMPTS};
use crate::{Error, delta, fold, rollup};

/// What a compaction came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Commits that it took.
    pub commits: u64,
    /// Deltas before and after.
    pub deltas: [u64; 2],
    /// Files before and after, deltas and bases.
    pub files: [u64; 2],
    /// Their bytes before and after.
    pub bytes: [u64; 2],
}

impl Cdc {
    /// Puts every change of a collection that lies in events files into deltas and the state, and small deltas into few.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], and what a step says; what was committed before stays.
    pub async fn compact(&self, (namespace, collection): (&Namespace, &CollectionName)) -> Result<Compacted, Error> {
        let _turn = self.turn.lock().await;
        let before = Arc::clone(&self.job(namespace, collection)?.manifest);
        for _attempt in 0..ATTEMPTS * ATTEMPTS {
            let job = self.job(namespace, collection)?;
            let mark = job.manifest.mark;
            let backlogs = delta::pick::backlogs(&job.events, |name| (name == collection).then_some(mark));
            if let Some(backlog) = backlogs.get(collection) {
                let _more = delta::step(&job, backlog, Urgency::Deltas).await?;
            } else if fold::step(&job, Urgency::All).await? == More::No && rollup::now(&job).await? == More::No {
                return Ok(told(&before, &job.manifest));
            }
        }
        Err(Error::Unsettled { namespace: namespace.to_string(), passes: ATTEMPTS * ATTEMPTS })
    }
}

fn told(before: &CollectionManifest, after: &CollectionManifest) -> Compacted {
    let both = |of: fn(&CollectionManifest) -> u64| [of(before), of(after)];
    Compacted {
        commits: after.head.version - before.head.version,
        deltas: both(|manifest| manifest.deltas.len() as u64),
        files: both(|manifest| manifest.files().count() as u64),
        bytes: both(|manifest| manifest.files().map(|file| file.bytes).sum()),
    }
}
