//! Two hundred simulated take-overs: each owner is stopped in the midst of its requests, as a process is by SIGSTOP, another takes
//! the lake over, and then it wakes. Everything that was ever acknowledged is found by all who come later, once and at its time,
//! and nothing is that was refused.

use std::{collections::BTreeSet, fmt, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult, path::Path,
};
use tokio::{sync::watch, task::JoinSet};

use super::{
    objects::{Lake, Owner, runtime, send},
    *,
};
use crate::{Store, register::tests::liar::Liar};

const HISTORIES: u64 = 20;
const OWNERS: usize = 10;
/// Senders of one owner, and the most that each of them sends.
const SENDERS: u64 = 3;
const SENDS_MAX: u64 = 6;
/// The longest until an owner is stopped, µs.
const PAUSE_MAX_MICROS: u64 = 4000;

/// The store as one process reaches it: while that is stopped its requests stand still, before they are applied or behind it.
#[derive(Debug)]
struct Stoppable {
    inner: Arc<dyn ObjectStore>,
    is_stopped: watch::Receiver<bool>,
}

impl Stoppable {
    async fn runs(&self) {
        awake(self.is_stopped.clone()).await;
    }
}

/// Until a process is not stopped; what waits for one that is gone goes on.
async fn awake(mut is_stopped: watch::Receiver<bool>) {
    let _gone = is_stopped.wait_for(|is_stopped| !is_stopped).await;
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stoppable")
    }
}

#[async_trait]
impl ObjectStore for Stoppable {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> StoreResult<PutResult> {
        self.runs().await;
        let put = self.inner.put_opts(location, payload, opts).await;
        self.runs().await;
        put
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.runs().await;
        let got = self.inner.get_opts(location, options).await;
        self.runs().await;
        got
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let is_stopped = self.is_stopped.clone();
        let awake = locations.then(move |location| {
            let is_stopped = is_stopped.clone();
            async move {
                awake(is_stopped).await;
                location
            }
        });
        self.inner.delete_stream(awake.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An owner that is stopped, and what becomes of all that was sent to it.
struct Away {
    owner: Arc<Owner>,
    stop: watch::Sender<bool>,
    sent: JoinSet<Vec<(String, Result<Instant, LogError>)>>,
}

/// What is known of everything that was sent.
#[derive(Default)]
struct Book {
    acknowledged: BTreeMap<String, Instant>,
    /// May be there or not.
    unknown: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Book {
    fn hold(&self, found: &[(String, Instant)], what: &str) {
        let there: BTreeMap<&String, Instant> = found.iter().map(|(seed, at)| (seed, *at)).collect();
        assert_eq!(there.len(), found.len(), "{what}: something is there twice: {found:?}");
        for (seed, at) in &self.acknowledged {
            assert_eq!(there.get(seed), Some(at), "{what}: {seed} was acknowledged");
        }
        for seed in there.keys() {
            assert!(!self.refused.contains(*seed), "{what}: {seed} was refused, and is there");
            let is_sent = self.acknowledged.contains_key(*seed) || self.unknown.contains(*seed);
            assert!(is_sent, "{what}: {seed} is there");
        }
    }

    fn note(&mut self, sent: Vec<(String, Result<Instant, LogError>)>) {
        for (seed, answer) in sent {
            match answer {
                Ok(at) => drop(self.acknowledged.insert(seed, at)),
                // It was not written when the log ended.
                Err(LogError::Fenced | LogError::Closed) => drop(self.refused.insert(seed)),
                Err(LogError::Unknown) => drop(self.unknown.insert(seed)),
                Err(error) => panic!("{seed}: {error}"),
            }
        }
    }
}

/// Senders at work for a while, and then none of its requests goes on.
async fn stopped(owner: Owner, stop: watch::Sender<bool>, name: &str, chance: &Ids) -> Away {
    let (owner, mut sent) = (Arc::new(owner), JoinSet::new());
    for sender in 0..SENDERS {
        let (owner, name, count) = (Arc::clone(&owner), name.to_owned(), 1 + chance.random() % SENDS_MAX);
        sent.spawn(async move {
            let mut answers = Vec::new();
            for n in 0..count {
                let seed = format!("{name}s{sender}n{n}y");
                let answer = send(&owner, "nyc", &seed).await.map(|append| append.assigned.system_time);
                let is_over = answer.is_err();
                answers.push((seed, answer));
                if is_over {
                    break;
                }
            }
            answers
        });
    }
    tokio::time::sleep(Duration::from_micros(chance.random() % PAUSE_MAX_MICROS)).await;
    stop.send_replace(true);
    Away { owner, stop, sent }
}

/// How many of its requests were acknowledged, and how many refused.
async fn history(seed: u64) -> (usize, usize) {
    let (shared, chance) = (Liar::sleepy(seed.into()).objects(), Ids::seeded(seed.into()));
    let mut lake = Lake::over(Store::memory());
    let (mut book, mut away) = (Book::default(), None::<Away>);
    for n in 0..=OWNERS {
        let (stop, is_stopped) = watch::channel(false);
        lake.store = Store::wrapping(Arc::new(Stoppable { inner: Arc::clone(&shared), is_stopped }), "memory://");
        let owner = lake.take().await;
        let what = format!("history {seed}, owner {n}");
        let (mut before, found) = (book, owner.found.clone());
        if let Some(Away { owner, stop, sent }) = away.take() {
            stop.send_replace(false);
            sent.join_all().await.into_iter().for_each(|sent| before.note(sent));
            // Whoever sends once more is told, and so is the process.
            let late = format!("o{n}latey");
            let answer = send(&owner, "nyc", &late).await;
            assert!(matches!(answer, Err(LogError::Fenced | LogError::Closed)), "{what}: {answer:?}");
            assert!(matches!(owner.log.failed().await, LogError::Fenced), "{what}");
            before.refused.insert(late);
        }
        before.hold(&found, &what);
        // What nobody knew is known from now on, and stays so.
        for seed in std::mem::take(&mut before.unknown) {
            match found.iter().find(|(found, _at)| *found == seed) {
                Some((_, at)) => drop(before.acknowledged.insert(seed, *at)),
                None => drop(before.refused.insert(seed)),
            }
        }
        book = before;
        away = Some(stopped(owner, stop, &format!("o{n}"), &chance).await);
    }
    (book.acknowledged.len(), book.refused.len())
}

#[test]
fn owners_that_were_stopped_and_wake_behind_their_successors_lose_and_double_nothing() {
    let (mut acknowledged, mut refused) = (0, 0);
    for seed in 0..HISTORIES {
        let (more, fewer) = runtime().block_on(history(seed));
        (acknowledged, refused) = (acknowledged + more, refused + fewer);
    }
    let late = HISTORIES as usize * OWNERS;
    assert!(
        acknowledged > 0 && refused > late,
        "{acknowledged} acknowledged, {refused} refused: not all that can happen did"
    );
}
