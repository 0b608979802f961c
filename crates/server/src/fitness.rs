//! Whether a lake can be kept in the store: asked before anything of the lake is touched.
//!
//! All that must happen once rests on one promise of the store: an object is created only if its name is free, also when many
//! ask at once. A store that does not keep it loses acknowledged events without a word, so a server does not start on one.
//!
//! A store that is somebody else's program is asked at each start, in the quick form. No mark in the store says that it was
//! asked before: a lake is copied from store to store, marks and all, and programs are replaced by others.

use tidemark_storage::{
    Store, StoreError,
    store::check::{Extent, Question, Verdict, check},
};

use crate::{
    config::{Settings, StoreCheck},
    wiring::Parts,
};

/// Why no lake is kept in a store.
#[derive(Debug, thiserror::Error)]
pub enum FitnessError {
    /// It does not keep its promise.
    #[error(
        "no lake can be kept in {url}: {seen}. It has to create an object only if its name is free (If-None-Match: *), and \
         where it does not acknowledged events are lost; `tidemark store-check {url}` shows more"
    )]
    Unfit {
        /// The store.
        url: String,
        /// What does not hold, and what was seen.
        seen: String,
    },
    /// It could not be asked.
    #[error("{url} could not be asked for {question}, which a lake rests on")]
    Untried {
        /// The store.
        url: String,
        /// What it was asked for.
        question: Question,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

/// Refuses a store that does not create once.
///
/// # Errors
/// [`FitnessError`].
pub(crate) async fn ascertain(store: &Store, settings: &Settings, parts: &Parts) -> Result<(), FitnessError> {
    if !store.is_remote() || settings.store_check == StoreCheck::Never {
        return Ok(());
    }
    let id = parts.ids.ulid(parts.clock.now());
    let report = check(store, Extent::quick(), id, &|_step| ()).await;
    for left in &report.left {
        tracing::warn!(left, "an object of the store's check could not be deleted");
    }
    let url = || store.url().to_owned();
    match report.verdict() {
        Verdict::Fit => tracing::info!(url = store.url(), "the store creates once"),
        Verdict::Unfit => {
            let seen: Vec<String> = report.failed().map(|(question, seen)| format!("{question}: {seen}")).collect();
            return Err(FitnessError::Unfit { url: url(), seen: seen.join("; ") });
        }
        Verdict::Unknown => {
            if let Some((question, source)) = report.into_untried() {
                return Err(FitnessError::Untried { url: url(), question, source });
            }
        }
    }
    Ok(())
}
