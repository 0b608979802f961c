//! The audit trail: who did what to the lake, when, and how it ended. Durable before the answer, bounded, no secrets.
//!
//! A register of numbered entries, one per record. The newest [`RECORDS_MAX`] stay; nothing but that removes one.

mod stored;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemark_model::{Clock, Ids, Instant, Namespace, Principal, Scope};
use tidemark_storage::{
    Store, paths,
    register::{Created, Register},
};

use self::stored::Page;
use crate::CatalogError;

/// How many records stay.
pub const RECORDS_MAX: u64 = 4096;
/// Records on one page.
const PAGE_RECORDS_MAX: usize = 32;
/// How often old records are looked for, in records.
const TRIM_EVERY: u64 = 64;
/// How often an append starts anew because the number was taken.
const ATTEMPTS_MAX: usize = 64;
/// The longest text of a record, characters.
const TEXT_CHARS_MAX: usize = 200;

/// One administrative action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When it had ended.
    pub at: Instant,
    /// Who did it: the id of a token, `root`, `anonymous`.
    pub who: String,
    /// What: a word such as `restore` or `create_token`.
    pub action: String,
    /// In which namespace; none of what is about the lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// On what: a collection, a snapshot behind it, a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Over which door: `http`, `sql`, `grpc`.
    pub door: String,
    /// The id of the request, which names it in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// `ok`, or the code of the error.
    pub outcome: String,
}

/// What is to be recorded; the trail dates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// [`Record::who`].
    pub who: String,
    /// [`Record::action`].
    pub action: &'static str,
    /// [`Record::namespace`].
    pub namespace: Option<Namespace>,
    /// [`Record::object`].
    pub object: Option<String>,
    /// [`Record::door`].
    pub door: &'static str,
    /// [`Record::request`].
    pub request: Option<String>,
}

impl Deed {
    fn ended(self, outcome: &str, at: Instant) -> Record {
        let short = |text: String| text.chars().take(TEXT_CHARS_MAX).collect();
        Record {
            at,
            who: self.who,
            action: self.action.to_owned(),
            namespace: self.namespace,
            object: self.object.map(short),
            door: self.door.to_owned(),
            request: self.request.map(short),
            outcome: short(outcome.to_owned()),
        }
    }
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    register: Register,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    /// The newest page that is known; held while one is written.
    newest: tokio::sync::Mutex<Option<Page>>,
}

impl Audit {
    /// The audit trail of a lake; nothing is read yet.
    #[must_use]
    pub fn of(store: &Store, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        let register = Register::new(store.clone(), paths::audit());
        Self(Arc::new(Inner { register, clock, ids, newest: tokio::sync::Mutex::default() }))
    }

    /// Records how something ended: `ok`, or the code of an error. It is durable afterwards.
    ///
    /// # Errors
    /// [`CatalogError`]; it is then not known to be recorded.
    pub async fn record(&self, deed: Deed, outcome: &str) -> Result<(), CatalogError> {
        let at = self.0.clock.now();
        let record = deed.ended(outcome, at);
        let mut newest = self.0.newest.lock().await;
        for _attempt in 0..ATTEMPTS_MAX {
            self.look(&mut newest).await?;
            let page = self.page_with(newest.as_ref(), &record);
            match self.0.register.create(page.number, page.encode()?).await? {
                Created::Won => {
                    let number = page.number;
                    *newest = Some(page);
                    // It is recorded, whatever becomes of those long past.
                    if let Err(error) = self.forget_old(number).await {
                        tracing::warn!(%error, "old records of the audit trail could not be deleted");
                    }
                    return Ok(());
                }
                Created::Lost | Created::Fenced => {}
            }
        }
        Err(CatalogError::unreadable(&paths::audit(), "another process writes to it without pause"))
    }

    /// The newest records, newest first, at most so many.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn newest(&self, limit: usize) -> Result<Vec<Record>, CatalogError> {
        let first = {
            let mut newest = self.0.newest.lock().await;
            self.look(&mut newest).await?;
            newest.clone()
        };
        let mut records = Vec::new();
        let mut page = first;
        while let Some(Page { records: found, .. }) = &page {
            records.extend(found.iter().rev().take(limit - records.len()).cloned());
            let before = page.as_ref().map_or(0, Page::before);
            page = if records.len() < limit && before > 0 { self.read(before).await? } else { None };
        }
        Ok(records)
    }

    /// The newest records that somebody may see, newest first: of the namespaces that they administer; of the lake only who
    /// administers all.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn seen(&self, by: &Principal, limit: usize) -> Result<Vec<Record>, CatalogError> {
        if by.may_everywhere(Scope::Admin) {
            return self.newest(limit).await;
        }
        let all = self.newest(usize::MAX).await?;
        let mine = all.into_iter().filter(|record| record.namespace.as_ref().is_some_and(|of| by.may_admin(of)));
        Ok(mine.take(limit).collect())
    }

    fn page_with(&self, newest: Option<&Page>, record: &Record) -> Page {
        let number = newest.map_or(0, |page| page.number) + 1;
        let mut records = newest.map_or_else(Vec::new, |page| page.records.clone());
        if records.len() >= PAGE_RECORDS_MAX {
            records.clear();
        }
        records.push(record.clone());
        Page::new(number, self.0.ids.ulid(record.at).to_string(), records)
    }

    async fn look(&self, newest: &mut Option<Page>) -> Result<(), CatalogError> {
        let hint = newest.as_ref().map(|page| page.number);
        if let Some((number, body)) = self.0.register.latest(hint).await? {
            *newest = Some(Page::decode(&self.0.register.path(number), &body)?);
        }
        Ok(())
    }

    /// A page; none where it was removed.
    async fn read(&self, number: u64) -> Result<Option<Page>, CatalogError> {
        let found = self.0.register.read(number).await?;
        found.map(|body| Page::decode(&self.0.register.path(number), &body)).transpose()
    }

    async fn forget_old(&self, number: u64) -> Result<(), CatalogError> {
        if number.is_multiple_of(TRIM_EVERY) && number > RECORDS_MAX {
            self.0.register.trim(number - RECORDS_MAX).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidemark_model::clock::ManualClock;

    use super::*;

    fn trail(store: &Store, seed: u128) -> Audit {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(1 << 50)));
        Audit::of(store, clock, Arc::new(Ids::seeded(seed)))
    }

    fn deed(object: usize) -> Deed {
        let (namespace, object) = (Namespace::parse("shop").ok(), Some(object.to_string()));
        Deed { who: "root".to_owned(), action: "restore", namespace, object, door: "http", request: None }
    }

    fn objects(records: &[Record]) -> Vec<usize> {
        records.iter().map(|record| record.object.as_deref().unwrap().parse().unwrap()).collect()
    }

    /// Two processes write by turns; every record is there once, in order, over the ends of pages.
    #[tokio::test]
    async fn nothing_is_lost_between_two_processes() {
        let store = Store::memory();
        let (here, there) = (trail(&store, 1), trail(&store, 2));
        assert!(here.newest(10).await.unwrap().is_empty());
        for number in 0..100 {
            let who = if number % 3 == 0 { &there } else { &here };
            who.record(deed(number), "ok").await.unwrap();
        }
        for (limit, expected) in [(0, 0), (1, 1), (32, 32), (40, 40), (1000, 100)] {
            let found = objects(&there.newest(limit).await.unwrap());
            assert_eq!(found, (100 - expected..100).rev().collect::<Vec<_>>(), "{limit}");
        }
        let again = trail(&store, 3).newest(1).await.unwrap();
        assert_eq!((objects(&again), again[0].outcome.as_str()), (vec![99], "ok"));
    }

    #[tokio::test]
    async fn the_newest_stay() {
        let store = Store::memory();
        let here = trail(&store, 1);
        let total = RECORDS_MAX + TRIM_EVERY;
        for number in 0..total {
            here.record(deed(usize::try_from(number).unwrap()), "ok").await.unwrap();
        }
        let kept = here.newest(usize::MAX).await.unwrap().len() as u64;
        assert!((RECORDS_MAX..total).contains(&kept), "{kept}");
    }

    #[tokio::test]
    async fn texts_are_cut() {
        let here = trail(&Store::memory(), 1);
        let long = Deed { object: Some("x".repeat(1000)), ..deed(0) };
        here.record(long, "ok").await.unwrap();
        assert_eq!(here.newest(1).await.unwrap()[0].object.as_ref().unwrap().len(), TEXT_CHARS_MAX);
    }
}
