//! Retention and clean-up when a person asks for them, with numbers of their own, or only to see what would go.

use std::collections::HashMap;

use tidemark_catalog::{CollectionManifest, cleanup::Cleaned};
use tidemark_model::{CollectionName, Instant, Namespace, Retention};

use super::{Cdc, More, past::ATTEMPTS};
use crate::{Error, cleanup, metrics::Step, retention};

/// What went, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// From which system time on every instant is exact; without one everything is kept.
    pub exact_from: Option<Instant>,
    /// Names of snapshots that were too many.
    pub snapshots: Vec<String>,
    /// Changes that no question can ask for any more.
    pub changes: u64,
    /// Files that nothing names from now on.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were deleted, those of before among them.
    pub deleted: u64,
    /// Files that nothing names and that stay until nobody can be reading them.
    pub waiting: u64,
}

/// Whether it is done or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is done.
    Real,
    /// It is told.
    Dry,
}

impl Cdc {
    /// Lets go what a retention lets go, and deletes files that nothing names and nobody can be reading. What the retention
    /// does not say is as it is in force; nothing of it is remembered.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], [`Error::Retention`], and what a step says.
    pub async fn clean_up(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        asked: Retention,
        mode: Mode,
    ) -> Result<CleanedUp, Error> {
        let asked = asked.checked()?;
        let _turn = self.turn.lock().await;
        for _attempt in 0..ATTEMPTS {
            let job = self.job(namespace, collection)?;
            let next = retention::planned(&job, &asked.or(job.retention()));
            let mut report = told(&job.manifest, next.as_ref().unwrap_or(&job.manifest));
            if mode == Mode::Dry {
                report.waiting = cleanup::unnamed(&job).await?;
                return Ok(report);
            }
            if let Some(next) = next
                && !job.commit(Step::Retention, next).await?
            {
                continue;
            }
            return self.swept((namespace, collection), report).await;
        }
        Err(Error::Unsettled { namespace: namespace.to_string(), passes: ATTEMPTS })
    }

    async fn swept(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        mut report: CleanedUp,
    ) -> Result<CleanedUp, Error> {
        for _run in 0..ATTEMPTS {
            let (swept, more) = cleanup::sweep(&self.job(namespace, collection)?).await?;
            if let Cleaned::Deleted(files) = swept.cleaned {
                report.deleted += files;
            }
            report.waiting = swept.waiting;
            if more == More::No {
                break;
            }
        }
        Ok(report)
    }
}

/// What one manifest names and the next does not.
fn told(before: &CollectionManifest, after: &CollectionManifest) -> CleanedUp {
    let mut gone: HashMap<&str, u64> = before.files().map(|file| (file.path, file.bytes)).collect();
    after.files().for_each(|file| _ = gone.remove(file.path));
    let rows = |manifest: &CollectionManifest| manifest.deltas.iter().map(|delta| delta.rows).sum::<u64>();
    let stays = |name: &str| after.snapshots.iter().any(|snapshot| snapshot.name == name);
    CleanedUp {
        exact_from: after.window.map(|window| window.system_time),
        snapshots: before.snapshots.iter().map(|known| known.name.clone()).filter(|name| !stays(name)).collect(),
        changes: rows(before) - rows(after),
        files: gone.len() as u64,
        bytes: gone.values().sum(),
        ..CleanedUp::default()
    }
}
