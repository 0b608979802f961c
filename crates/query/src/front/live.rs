//! The ids of the documents that live: what a truncate deletes.

use arrow::array::AsArray;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tidemark_model::{Instant, Principal};

use super::{Query, difference::CollectionRef};
use crate::{Error, Session, Statement};

impl Query {
    /// Streams the ids of the documents that live now, in no order; with an instant of those that lived then, as far as is
    /// known now: one that was written again since had an image then, which ends there. It is a query like others: it holds
    /// a place, and has as long as they have.
    ///
    /// # Errors
    /// [`Error`], as of a statement; [`Error::UnknownTable`].
    pub async fn live_ids(
        &self,
        of: &CollectionRef,
        upto: Option<Instant>,
    ) -> Result<BoxStream<'static, Result<Vec<String>, Error>>, Error> {
        let asked = |sql: String| {
            let (principal, session) = (Principal::lake(), Session::default());
            Statement { sql, params: Vec::new(), principal, session, pin: None }
        };
        let rows = match upto {
            None => self.run(&asked(format!("SELECT _id FROM {of}"))).await,
            Some(at) => {
                let then = asked(format!("SELECT _id FROM {of} FOR VALID_TIME AS OF TIMESTAMP '{at}'"));
                match self.run(&then).await {
                    // What lived then was let go, or is too much to be told: what lives now and is not younger. As a number, the
                    // engine's literals end in 2262.
                    Err(error @ (Error::OutsideWindow(_) | Error::Memory(_) | Error::TimedOut(_))) => {
                        tracing::warn!(%error, %of, %at, "a truncate ends what lives, and no image that was written over since");
                        let at = format!("arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", at.micros());
                        self.run(&asked(format!("SELECT _id FROM {of} WHERE _ts <= {at}"))).await
                    }
                    answer => answer,
                }
            }
        };
        let rows = rows?.stream;
        let ids = rows.map_err(Error::from).and_then(|rows| async move {
            let other = || Error::Internal("ids are no text".to_owned());
            let ids = rows.columns().first().and_then(|ids| ids.as_string_opt::<i32>()).ok_or_else(other)?;
            Ok(ids.iter().flatten().map(str::to_owned).collect())
        });
        Ok(ids.boxed())
    }
}
