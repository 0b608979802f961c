//! Events as they become durable: a mark that moves over files and the live tail.
//!
//! What is behind the mark comes from the live tail, or, where that has let it go into files, from statements in pages. So
//! a follower begins anywhere, stops anywhere, and goes on from its mark: each event once, in order of position per shard.

use std::time::Duration;

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    compute::{filter_record_batch, kernels::comparison::like},
    datatypes::Int64Type,
};
use futures::TryStreamExt;
use tidemark_catalog::Behind;
use tidemark_fold::columns::{event, events_schema};
use tidemark_model::{Mark, Namespace, Principal, Shard, Table};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Query;
use crate::{Error, Session, Statement};

/// How long nothing new is waited for before it is looked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long is waited where the lake cannot be read now.
const PAUSE_OF_PRESSURE: Duration = Duration::from_secs(1);
/// How long a statement waits for what it is to stand behind.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);
/// Events that are read out of files at once.
const PAGE_ROWS: usize = 1_000;

/// What is followed.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Who follows.
    pub principal: Principal,
    /// The namespace.
    pub namespace: Namespace,
    /// Types of events, `order.*` or `*.paid`: a star stands for any letters, a question mark for one. None: all.
    pub types: Option<String>,
    /// Behind which position it begins; none begins with what comes now.
    pub after: Option<Mark>,
}

/// Events that come.
#[derive(Debug)]
pub struct Follower {
    query: Query,
    principal: Principal,
    namespace: Namespace,
    /// The same as a pattern of LIKE.
    types: Option<String>,
    mark: Mark,
    ends: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Query {
    /// Follows the events of a namespace.
    ///
    /// # Errors
    /// [`Error::UnknownTable`] where there is no such namespace for whoever asks, [`Error::Invalid`] for a pattern that
    /// no type can match, [`Error::TooManyFollowers`].
    pub async fn follow(&self, follow: Follow) -> Result<Follower, Error> {
        let place = self.room.follows.enter().await?;
        let Follow { principal, namespace, types, after } = follow;
        let lake = &self.room.lake;
        if !principal.may_see(&namespace) || !lake.catalog.namespaces().contains(&namespace) {
            return Err(Error::UnknownTable(format!("{namespace}.{}", Table::EVENTS)));
        }
        let types = types.map(|types| pattern(&types)).transpose()?;
        let mark = after.unwrap_or_else(|| lake.live.reached(&namespace));
        let ends = self.room.ends.clone();
        Ok(Follower { query: self.clone(), principal, namespace, types, mark, ends, _place: place })
    }

    /// Waits until everything up to the mark that a statement is to stand behind can be read in its namespace; without a
    /// name in one of those that whoever asks sees.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is not there in time.
    pub(super) async fn arrived(&self, statement: &Statement) -> Result<(), Error> {
        let Statement { principal, session, .. } = statement;
        let (Some(mark), namespace) = (&session.after, session.namespace.as_ref()) else { return Ok(()) };
        let lake = &self.room.lake;
        let there = || match namespace {
            Some(namespace) => lake.live.reached(namespace).reaches(mark),
            None => {
                let mut seen = lake.catalog.namespaces().into_iter().filter(|name| principal.may_see(name));
                seen.any(|namespace| lake.live.reached(&namespace).reaches(mark))
            }
        };
        let waited = async {
            while !there() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let late = |_elapsed| {
            let of = namespace.map_or_else(String::new, |namespace| format!(" of {namespace}"));
            Error::Unavailable(format!(
                "the positions {mark}{of} are not here after {} s: they are of another namespace or lake, or try again",
                ARRIVES_WITHIN.as_secs()
            ))
        };
        tokio::time::timeout(ARRIVES_WITHIN, waited).await.map_err(late)
    }

    /// Ends whoever follows: the server is stopping.
    pub fn go_away(&self) {
        self.room.ends.cancel();
    }
}

impl Follower {
    /// Up to where events were handed out, or passed over.
    #[must_use]
    pub const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The next events, in columns of the events table, as soon as there are some; none when the server is stopping.
    ///
    /// # Errors
    /// [`Error`] when the lake cannot be read any more. Pressure is waited out.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>, Error> {
        let ends = self.ends.clone();
        loop {
            let found = tokio::select! {
                biased;
                () = ends.cancelled() => return Ok(None),
                found = self.look() => found,
            };
            let pause = match found {
                Ok(batches) if !batches.is_empty() => return Ok(Some(batches)),
                Ok(_) => PAUSE,
                Err(Error::TooMany | Error::Unavailable(_) | Error::TimedOut(_)) => PAUSE_OF_PRESSURE,
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = ends.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What there is behind the mark now.
    async fn look(&mut self) -> Result<Vec<RecordBatch>, Error> {
        let lake = &self.query.room.lake;
        let filed = lake.catalog.events_mark(&self.namespace);
        if !self.mark.reaches(&filed) {
            return self.page(filed).await;
        }
        match lake.live.tail(&self.namespace, &Table::Events, &self.mark).await {
            Ok(tail) => self.take(tail.batches),
            // Files have taken it in since: the next look reads them.
            Err(Behind) => Ok(Vec::new()),
        }
    }

    /// Rows of the live tail, in order; the mark moves over all of them.
    fn take(&mut self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, Error> {
        let mut wanted = Vec::with_capacity(batches.len());
        for batch in batches {
            self.pass(&batch)?;
            let batch = match &self.types {
                None => batch,
                Some(types) => {
                    let column = batch.column_by_name(event::TYPE).ok_or_else(|| strange("no type"))?;
                    let keep = like(column, &StringArray::new_scalar(types)).map_err(|e| strange(&e.to_string()))?;
                    filter_record_batch(&batch, &keep).map_err(|e| strange(&e.to_string()))?
                }
            };
            if batch.num_rows() > 0 {
                wanted.push(batch);
            }
        }
        Ok(wanted)
    }

    /// A page out of files. One that is not full has passed over everything that files held when it was asked for.
    async fn page(&mut self, filed: Mark) -> Result<Vec<RecordBatch>, Error> {
        let columns: Vec<String> =
            events_schema().fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
        let sql = format!(
            "SELECT {} FROM \"{}\".events WHERE {}{} ORDER BY {}, {}, {} LIMIT {PAGE_ROWS}",
            columns.join(", "),
            self.namespace,
            behind(&self.mark),
            self.types.as_ref().map_or_else(String::new, |types| format!(" AND type LIKE '{types}'")),
            event::SYSTEM_TIME,
            event::SHARD,
            event::SEQ,
        );
        let (principal, session) = (self.principal.clone(), Session::default());
        let statement = Statement { sql, params: Vec::new(), principal, session, pin: None };
        let rows = self.query.run(&statement).await?.stream;
        let batches: Vec<RecordBatch> = rows.map_err(Error::from).try_collect().await?;
        batches.iter().try_for_each(|batch| self.pass(batch))?;
        if batches.iter().map(RecordBatch::num_rows).sum::<usize>() < PAGE_ROWS {
            self.mark.raise_all(&filed);
        }
        Ok(batches.into_iter().filter(|batch| batch.num_rows() > 0).collect())
    }

    fn pass(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        for (shard, seq) in positions(batch)? {
            self.mark.raise(shard, seq);
        }
        Ok(())
    }
}

/// Where each row of a batch of events stands.
///
/// # Errors
/// [`Error::Internal`] for a batch that is none of events.
pub(crate) fn positions(batch: &RecordBatch) -> Result<Vec<(Shard, i64)>, Error> {
    let column = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let (shards, seqs) = column(event::SHARD).zip(column(event::SEQ)).ok_or_else(|| strange("no position"))?;
    let shard = |shard: &i64| u16::try_from(*shard).map(Shard).map_err(|e| strange(&e.to_string()));
    shards.values().iter().zip(seqs.values()).map(|(of, seq)| Ok((shard(of)?, *seq))).collect()
}

fn strange(why: &str) -> Error {
    Error::Internal(format!("rows of events cannot be followed: {why}"))
}

/// The condition of what stands behind a mark.
fn behind(mark: &Mark) -> String {
    let known: Vec<String> = mark.iter().map(|(shard, _)| shard.to_string()).collect();
    if known.is_empty() {
        return "true".to_owned();
    }
    let of = |(shard, seq)| format!("({} = {shard} AND {} > {seq}) OR ", event::SHARD, event::SEQ);
    format!("({}{} NOT IN ({}))", mark.iter().map(of).collect::<String>(), event::SHARD, known.join(", "))
}

/// A pattern with stars → one of LIKE.
fn pattern(types: &str) -> Result<String, Error> {
    let is_one = |c: char| c.is_ascii_alphanumeric() || "._-*?".contains(c);
    if types.is_empty() || types.len() > 128 || !types.chars().all(is_one) {
        return Err(Error::Invalid(format!(
            "type {:?} matches nothing: use letters, digits, . _ -, * for any of them and ? for one, at most 128",
            types.chars().take(128).collect::<String>()
        )));
    }
    Ok(types.replace('_', "\\_").replace('*', "%").replace('?', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Change, Lab, START};
    use tidemark_model::Op;

    /// The ids of what came, at least so many events.
    async fn ids(follower: &mut Follower, least: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < least {
            for batch in follower.next().await.unwrap().expect("goes on") {
                let column = batch.column_by_name(event::DOCUMENT_ID).unwrap().as_string::<i32>().clone();
                ids.extend(column.iter().flatten().map(str::to_owned));
            }
        }
        ids
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_are_followed_out_of_files_and_the_tail() {
        let mut lab = Lab::open().await;
        let insert = |id: &str, at: i64| Change::of(id, Op::Insert, START + at, Some("{}"));
        lab.append(vec![insert("a", 0), insert("b", 1)]);
        lab.flush().await;
        let (principal, namespace) = (Principal::lake(), Lab::namespace());
        let follow = Follow { principal, namespace, types: None, after: Some(Mark::default()) };
        let mut follower = lab.query.follow(follow.clone()).await.unwrap();
        assert_eq!(ids(&mut follower, 2).await, ["a", "b"]);
        lab.append(vec![insert("c", 2)]);
        assert_eq!(ids(&mut follower, 1).await, ["c"]);
        let mark = follower.mark().clone();
        lab.append(vec![insert("d", 3)]);
        lab.flush().await;
        assert_eq!(ids(&mut follower, 1).await, ["d"]);
        // From anywhere, and of chosen types.
        let mut again = lab.query.follow(Follow { after: Some(mark), ..follow.clone() }).await.unwrap();
        assert_eq!(ids(&mut again, 1).await, ["d"]);
        let deletes = Follow { types: Some("*.delete".to_owned()), ..follow };
        let mut chosen = lab.query.follow(deletes).await.unwrap();
        lab.append(vec![Change::of("a", Op::Delete, START + 4, None)]);
        assert_eq!(ids(&mut chosen, 1).await, ["a"]);
        lab.query.go_away();
        assert!(chosen.next().await.unwrap().is_none());
    }

    #[test]
    fn patterns_and_marks_become_conditions() {
        assert_eq!(pattern("a_b.*").unwrap(), "a\\_b.%");
        assert_eq!(pattern("?").unwrap(), "_");
        for types in ["", "a b", "a%", "a'", "\\", &"a".repeat(129)] {
            assert_eq!(pattern(types).unwrap_err().code(), "invalid_sql", "{types:?}");
        }
        assert_eq!(behind(&Mark::default()), "true");
        let mark = Mark::parse("3:7,5:0").unwrap();
        assert_eq!(behind(&mark), "((_shard = 3 AND _seq > 7) OR (_shard = 5 AND _seq > 0) OR _shard NOT IN (3, 5))");
    }
}
