//! What must change for a collection to be again as it was: its documents then beside its documents now.
//!
//! One row per document of either: what is to happen, the document as it was, and the source time of what won so far —
//! of a deleted document that of its tombstone —, so that whoever makes changes of it can let them win. Nothing but keys,
//! times and digests of the present is held in memory; the documents of the past stream.
//!
//! With a predicate, a document counts where it held then *or* holds now, so that afterwards a question with the
//! predicate answers as it did then, and documents it never spoke of are left alone.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::TimestampMicrosecondType,
};
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, TryStreamExt};
use tidemark_model::{CollectionName, Instant, Namespace, Principal, Scope};

use super::{Begun, Folds, Length, Query, Room};
use crate::{Error, Session, Statement, sql, sql::reference::Asks};

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRef {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub collection: CollectionName,
}

/// The instants of a state of the past; at least one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Then {
    /// What the lake had acknowledged by then.
    pub as_of: Option<Instant>,
    /// What had happened by then.
    pub valid_as_of: Option<Instant>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// For whom: its condition reaches no further than they do.
    pub principal: Principal,
    /// What was.
    pub source: CollectionRef,
    /// When it was.
    pub then: Then,
    /// What is; it need not exist.
    pub target: CollectionRef,
    /// Which documents count: a condition as behind WHERE, over the columns of both; none is all.
    pub predicate: Option<String>,
}

impl std::fmt::Display for CollectionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\".\"{}\"", self.namespace, self.collection)
    }
}

/// Reads `namespace.collection`.
impl std::str::FromStr for CollectionRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, collection) =
            text.split_once('.').ok_or("use NAMESPACE.COLLECTION, such as shop.orders".to_owned())?;
        Ok(Self {
            namespace: Namespace::parse(namespace).map_err(|e| e.to_string())?,
            collection: CollectionName::parse(collection).map_err(|e| e.to_string())?,
        })
    }
}

impl Then {
    /// The clauses behind a table.
    #[must_use]
    pub fn clauses(&self) -> String {
        let mut clauses = String::new();
        for (axis, at) in [("SYSTEM", self.as_of), ("VALID", self.valid_as_of)] {
            if let Some(at) = at {
                let _infallible = write!(clauses, " FOR {axis}_TIME AS OF TIMESTAMP '{at}'");
            }
        }
        clauses
    }
}

/// What happens to a document of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// It was, and is not.
    Added,
    /// It was another.
    Changed,
    /// It is, and was not.
    Removed,
    /// It is what it was.
    Unchanged,
}

/// One document of either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Its key.
    pub id: String,
    /// What happens to it.
    pub becomes: Becomes,
    /// The text it had, where it is to be written.
    pub document: Option<String>,
    /// The source time of what won in the target so far; none where nothing ever was.
    pub ts: Option<Instant>,
}

/// The documents of a comparison as they are found. Dropping it ends the comparison.
pub struct Differences(SendableRecordBatchStream);

impl std::fmt::Debug for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Differences").finish_non_exhaustive()
    }
}

impl Differences {
    /// Some more of them; none at the end.
    ///
    /// # Errors
    /// [`Error`]; the comparison is over then.
    pub async fn more(&mut self) -> Result<Option<Vec<Differing>>, Error> {
        self.0.try_next().await?.map(|batch| differing(&batch)).transpose()
    }
}

fn differing(batch: &RecordBatch) -> Result<Vec<Differing>, Error> {
    let defect = || Error::Internal("a difference has other columns than its text says".to_owned());
    let text = |nth: usize| batch.columns().get(nth).and_then(|column| column.as_string_opt::<i32>());
    let times = batch.columns().get(3).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let (Some(ids), Some(changes), Some(documents), Some(times)) = (text(0), text(1), text(2), times) else {
        return Err(defect());
    };
    let becomes = |word: &str| match word {
        "added" => Some(Becomes::Added),
        "changed" => Some(Becomes::Changed),
        "removed" => Some(Becomes::Removed),
        "unchanged" => Some(Becomes::Unchanged),
        _ => None,
    };
    let one = |row: usize| {
        Ok(Differing {
            id: ids.value(row).to_owned(),
            becomes: becomes(changes.value(row)).ok_or_else(defect)?,
            document: documents.is_valid(row).then(|| documents.value(row).to_owned()),
            ts: times.is_valid(row).then(|| Instant::from_micros(times.value(row))),
        })
    };
    (0..batch.num_rows()).map(one).collect()
}

impl Query {
    /// Compares: one entry per document of either side that counts.
    ///
    /// # Errors
    /// [`Error`], as of a statement.
    pub async fn difference(&self, difference: &Difference) -> Result<Differences, Error> {
        let (room, difference) = (Arc::clone(&self.room), difference.clone());
        let text = format!("COMPARE {} WITH {}", difference.source, difference.target);
        let noted = self.noted(&difference.principal, Some(&difference.source.namespace), &text);
        let begun = async move { room.begin_difference(&difference).await }.boxed();
        Ok(Differences(self.started(Length::Bulk, noted, begun).await?.stream))
    }
}

impl Room {
    async fn begin_difference(&self, difference: &Difference) -> Result<Begun, Error> {
        if let Some(predicate) = &difference.predicate {
            sql::condition(predicate, &self.caps())?;
        }
        let exists = |of: &CollectionRef| self.lake.catalog.collection(&of.namespace, &of.collection).is_some();
        if !exists(&difference.source) {
            let CollectionRef { namespace, collection } = &difference.source;
            return Err(Error::UnknownTable(format!("{namespace}.{collection}")));
        }
        let is_there = exists(&difference.target);
        let session = Session { namespace: Some(difference.source.namespace.clone()), ..Session::default() };
        let (sql, principal) = (text(difference, is_there), reader(&difference.principal));
        let statement = Statement { sql, params: Vec::new(), principal, session, pin: None };
        let mut parsed = self.parse(&statement)?;
        // The first table of the text is the one whose dead are asked for.
        if let Some(dead) = parsed.references.first_mut().filter(|_| is_there) {
            dead.asks = Asks::Deleted;
        }
        let mut prepared = self.parsed(parsed, &statement, Folds::All)?;
        // What stands left of a join is held, what stands right streams: as written, whatever has more rows.
        prepared.state.config_mut().options_mut().optimizer.join_reordering = false;
        self.begin_prepared(prepared, &statement).await
    }
}

/// Who administers a namespace goes back in it without the scope that questions need; nobody sees what is compared.
fn reader(principal: &Principal) -> Principal {
    Principal::new(principal.id(), [Scope::Query, Scope::Admin], principal.reach().clone())
}

fn text(difference: &Difference, target_is_there: bool) -> String {
    let Difference { source, then, target, predicate, .. } = difference;
    let counts = predicate.as_ref().map_or_else(|| "TRUE".to_owned(), |predicate| format!("({predicate}\n) IS TRUE"));
    let clauses = then.clauses();
    let (dead, present) = if target_is_there {
        let dead = format!("SELECT _id, max(_ts) AS _ts FROM {target} GROUP BY _id");
        (dead, format!("SELECT _id, _ts, document_digest(_doc) AS _digest, {counts} AS _counts FROM {target}"))
    } else {
        let never = "CAST(NULL AS VARCHAR) AS _id, CAST(NULL AS TIMESTAMPTZ) AS _ts";
        let digest = "document_digest(CAST(NULL AS VARCHAR)) AS _digest, FALSE AS _counts";
        (format!("SELECT {never} WHERE FALSE"), format!("SELECT {never}, {digest} WHERE FALSE"))
    };
    let change = "CASE WHEN NOT coalesce(known._lives, FALSE) THEN 'added' WHEN past._id IS NULL THEN 'removed' \
                  WHEN known._digest = document_digest(past._doc) THEN 'unchanged' ELSE 'changed' END";
    format!(
        "WITH dead AS ({dead}), present AS ({present}), \
         past AS (SELECT _id, _doc, {counts} AS _counts FROM {source}{clauses}), \
         known AS (SELECT coalesce(present._id, dead._id) AS _id, present._id IS NOT NULL AS _lives, \
         CASE WHEN present._id IS NULL THEN dead._ts ELSE present._ts END AS _ts, \
         present._digest AS _digest, present._counts AS _counts \
         FROM present FULL JOIN dead ON dead._id = present._id), \
         compared AS (SELECT coalesce(past._id, known._id) AS _id, {change} AS _change, past._doc AS _doc, \
         known._ts AS _ts FROM known FULL JOIN past ON past._id = known._id \
         WHERE coalesce(known._counts, FALSE) OR coalesce(past._counts, FALSE)) \
         SELECT _id, _change, CASE WHEN _change = 'unchanged' THEN NULL ELSE _doc END AS _doc, \
         arrow_cast(_ts, 'Timestamp(Microsecond, Some(\"UTC\"))') AS _ts FROM compared"
    )
}
