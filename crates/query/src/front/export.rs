//! A state of a collection on its way out, whole or in part.

use std::sync::Arc;

use futures::FutureExt;
use tidemark_catalog::View;
use tidemark_model::{Instant, Principal, Scope, Table};

use super::{
    Begun, Folds, Length, Query, Room,
    difference::{CollectionRef, Then},
};
use crate::{Answer, Error, Session, Statement, plan::bind::CLOSE_DEADLINE, sql};

/// Of a snapshot's name that there is not, what an error tells.
const NAME_CHARS_TOLD: usize = 80;

/// What an export holds of every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// `_id, _ts, _doc`.
    Documents,
    /// The columns of the table.
    Columns,
}

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// For whom: neither the collection nor its condition reaches beyond what they may ask.
    pub principal: Principal,
    /// Of which collection.
    pub of: CollectionRef,
    /// As of when; without instants and snapshot the present.
    pub then: Then,
    /// The name of a snapshot, instead of a system time.
    pub snapshot: Option<String>,
    /// Which documents: a condition as behind WHERE.
    pub predicate: Option<String>,
    /// What of them.
    pub holds: Holds,
}

impl Query {
    /// Streams a state of a collection, in no order.
    ///
    /// # Errors
    /// [`Error`], as of a statement; [`Error::UnknownSnapshot`].
    pub async fn export(&self, export: &Export) -> Result<Answer, Error> {
        let (room, export) = (Arc::clone(&self.room), export.clone());
        let noted = self.noted(&export.principal, Some(&export.of.namespace), &format!("EXPORT {}", export.of));
        self.started(Length::Bulk, noted, async move { room.begin_export(&export).await }.boxed()).await
    }

    /// The instant of a snapshot, also of a day or month without changes, which holds what the one before holds.
    ///
    /// # Errors
    /// [`Error::UnknownSnapshot`], [`Error::Unavailable`].
    pub async fn instant_of(&self, of: &CollectionRef, snapshot: &str) -> Result<Instant, Error> {
        self.room.instant_of(of, snapshot).await
    }
}

impl Room {
    async fn instant_of(&self, of: &CollectionRef, name: &str) -> Result<Instant, Error> {
        let (lake, unknown) = (&self.lake, || Error::UnknownSnapshot(name.chars().take(NAME_CHARS_TOLD).collect()));
        let manifest = lake.catalog.manifest(&of.namespace, &of.collection);
        if let Some(stored) = manifest.snapshots.iter().find(|snapshot| snapshot.name == name) {
            return Ok(stored.instant);
        }
        // Of a period without changes, perhaps: nothing may still fall into it.
        let (present, table) = (lake.live.now(), Table::Collection(of.collection.clone()));
        let unavailable = |why: String| Error::Unavailable(format!("{of} could not be read: {why}"));
        let closed = lake.live.close_instant(present, CLOSE_DEADLINE).await;
        closed.map_err(|not_closed| unavailable(not_closed.to_string()))?;
        let view = View::read(&lake.catalog, lake.live.as_ref(), &of.namespace, &table).await;
        let view = view.map_err(|behind| unavailable(behind.to_string()))?;
        let found = view.snapshots(present).into_iter().find(|held| held.name == name);
        Ok(found.ok_or_else(unknown)?.instant)
    }

    async fn begin_export(&self, export: &Export) -> Result<Begun, Error> {
        let Export { of, snapshot, predicate, holds, .. } = export;
        export.principal.check(Scope::Query, &of.namespace)?;
        let mut then = export.then;
        if let Some(name) = snapshot {
            if then.as_of.is_some() {
                return Err(Error::Invalid("a snapshot has an instant of its own: leave as_of out".to_owned()));
            }
            then.as_of = Some(self.instant_of(of, name).await?);
        }
        let condition = match predicate {
            Some(predicate) => {
                sql::condition(predicate, &self.caps())?;
                format!(" WHERE ({predicate}\n)")
            }
            None => String::new(),
        };
        let columns = match holds {
            Holds::Documents => "_id, _ts, _doc",
            Holds::Columns => "*",
        };
        let sql = format!("SELECT {columns} FROM {of}{}{condition}", then.clauses());
        let session = Session { namespace: Some(of.namespace.clone()), ..Session::default() };
        let principal = export.principal.clone();
        let statement = Statement { sql, params: Vec::new(), principal, session, pin: None };
        self.begin_prepared(self.prepare(&statement, Folds::All)?, &statement).await
    }
}
