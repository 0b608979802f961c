//! The ids of the documents that live: what a truncate deletes.

use arrow::array::AsArray;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tidemark_model::{Instant, Principal};

use super::{Query, difference::CollectionRef};
use crate::{Error, Session, Statement};

impl Query {
    /// Streams the ids of the documents that live now, in no order; with an instant only of those whose source time is not
    /// after it. It is a query like others: it holds a place, and has as long as they have.
    ///
    /// # Errors
    /// [`Error`], as of a statement; [`Error::UnknownTable`].
    pub async fn live_ids(
        &self,
        of: &CollectionRef,
        upto: Option<Instant>,
    ) -> Result<BoxStream<'static, Result<Vec<String>, Error>>, Error> {
        // As a number: the engine's literals end in 2262.
        let upto = upto.map_or_else(String::new, |at| {
            format!(" WHERE _ts <= arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", at.micros())
        });
        let sql = format!("SELECT _id FROM {of}{upto}");
        let (principal, session) = (Principal::lake(), Session::default());
        let statement = Statement { sql, params: Vec::new(), principal, session, pin: None };
        let rows = self.run(&statement).await?.stream;
        let ids = rows.map_err(Error::from).and_then(|rows| async move {
            let other = || Error::Internal("ids are no text".to_owned());
            let ids = rows.columns().first().and_then(|ids| ids.as_string_opt::<i32>()).ok_or_else(other)?;
            Ok(ids.iter().flatten().map(str::to_owned).collect())
        });
        Ok(ids.boxed())
    }
}
