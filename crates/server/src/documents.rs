//! Which documents of a collection live: the query room answers, ingest asks where a source truncates one.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use tidemark_catalog::documents::{Documents, LiveIds, Unanswered};
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_query::{CollectionRef, Error, Query};

/// Asks the query room. It holds a place among the queries while it answers.
#[derive(Debug, Clone)]
pub struct Asking(pub Query);

#[async_trait]
impl Documents for Asking {
    async fn live(
        &self,
        (namespace, collection): (&Namespace, &CollectionName),
        upto: Option<Instant>,
    ) -> Result<LiveIds, Unanswered> {
        let of = CollectionRef { namespace: namespace.clone(), collection: collection.clone() };
        match self.0.live_ids(&of, upto).await {
            Ok(ids) => Ok(ids.map_err(|error| unanswered(&error)).boxed()),
            Err(Error::UnknownTable(_)) => Ok(futures::stream::empty().boxed()),
            Err(error) => Err(unanswered(&error)),
        }
    }
}

fn unanswered(error: &Error) -> Unanswered {
    Unanswered { kind: error.kind(), detail: error.to_string() }
}
