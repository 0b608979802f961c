//! The log in a store: taking over, owners that were only away, releasing, faults of the store.

use std::time::Duration;

use tidemark_model::Seq;
use ulid::Ulid;

use super::*;
use crate::{
    Store,
    log::{ObjectLogOptions, fence, holds_appends, is_released, look},
    paths,
    register::tests::liar::{Liar, Lie},
};

const SOON: Duration = Duration::from_secs(30);

/// A lake's store, its owners, and what they acknowledged.
pub(super) struct Lake {
    pub(super) store: Store,
    bench: Bench,
    logs: Vec<Ulid>,
    window: Duration,
}

/// One owner that serves.
pub(super) struct Owner {
    pub(super) log: Log,
    /// What it found: seed of the rows and system time.
    pub(super) found: Vec<(String, Instant)>,
}

impl Lake {
    pub(super) fn over(store: Store) -> Self {
        Self { store, bench: Bench::new(), logs: Vec::new(), window: Duration::ZERO }
    }

    fn options(&self, inherited: Vec<Ulid>) -> ObjectLogOptions {
        let epoch = self.logs.len() as u64 + 1;
        let log = Ulid::from(u128::from(epoch) << 64);
        let new = ObjectLogOptions::new(self.store.clone(), "lake".into(), epoch, log);
        ObjectLogOptions { inherited, since: 1, window: self.window, ..new }
    }

    /// Ends the logs of all before and reads what they hold.
    async fn recover(&mut self) -> (Recovery, Vec<Append>) {
        let mut inherited = Vec::new();
        for log in &self.logs {
            if !is_released(&self.store, "lake", *log).await.expect("reads") {
                inherited.push(*log);
            }
        }
        let options = self.options(inherited.clone());
        for log in inherited {
            // A start that failed at this, or whose owner before was faster for too long, is made again.
            let mut fenced = fence(&self.store, "lake", (log, options.epoch), Ulid::from(7)).await;
            while let Err(LogError::Store(_) | LogError::Io { .. }) = fenced {
                fenced = fence(&self.store, "lake", (log, options.epoch), Ulid::from(7)).await;
            }
            fenced.expect("fences");
        }
        self.logs.push(options.log);
        let read = move || {
            let mut recovery = Recovery::open(options).expect("opens");
            let found: Result<Vec<Append>, LogError> =
                std::iter::from_fn(|| recovery.next_append().transpose()).collect();
            (recovery, found.expect("reads"))
        };
        tokio::task::spawn_blocking(read).await.expect("ends")
    }

    pub(super) async fn take(&mut self) -> Owner {
        let (recovery, found) = self.recover().await;
        let deps = self.bench.deps();
        let next: BTreeMap<(Namespace, Shard), Seq> = BTreeMap::new();
        let start = move || recovery.start(next, Instant::MIN, deps).expect("starts");
        let log = tokio::task::spawn_blocking(start).await.expect("ends");
        Owner { log, found: found.iter().map(|append| (seed(append), append.assigned.system_time)).collect() }
    }

    async fn objects(&self, log: Ulid) -> Vec<u64> {
        let listed = self.store.list(&paths::log(log)).await.expect("lists");
        listed.iter().filter_map(|object| paths::number_of(&object.location)).collect()
    }
}

/// What the rows of an append were made of.
fn seed(append: &Append) -> String {
    let ids = append.rows.column_by_name("id").expect("a column");
    let ids = ids.as_any().downcast_ref::<StringArray>().expect("text");
    // `{column}{seed}{number of the row}`
    ids.value(0).trim_start_matches("id").trim_end_matches('0').to_owned()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

pub(super) async fn send(owner: &Owner, name: &str, seed: &str) -> Result<Arc<Append>, LogError> {
    append(&owner.log, batch(name, &[(0, 1)], seed)).await
}

fn seeds(found: &[(String, Instant)]) -> Vec<&str> {
    found.iter().map(|(seed, _at)| seed.as_str()).collect()
}

#[test]
fn what_was_acknowledged_is_found_by_whoever_takes_over() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let first = lake.take().await;
        let a = send(&first, "nyc", "a").await.expect("stored");
        lake.bench.clock.step(1000);
        let horizon = first.log.now();
        first.log.close_instant(horizon, SOON).await.expect("closed");
        drop(first);
        let second = lake.take().await;
        assert_eq!(seeds(&second.found), ["a"]);
        assert_eq!(second.found[0].1, a.assigned.system_time);
        let b = send(&second, "nyc", "b").await.expect("stored");
        assert_eq!((a.assigned.positions[0].last, b.assigned.positions[0].first), (0, 1), "no gap");
        assert!(b.assigned.system_time > horizon, "what was answered of the past stays so");
        second.log.shut_down().await;
        let third = lake.take().await;
        assert_eq!(seeds(&third.found), ["a", "b"], "nobody released the first log");
    });
}

#[test]
fn an_owner_that_was_only_away_stores_nothing_any_more() {
    runtime().block_on(async {
        for rounds in 0..20 {
            let mut lake = Lake::over(Store::memory());
            let first = Arc::new(lake.take().await);
            let (mut senders, sender) = (tokio::task::JoinSet::new(), Arc::clone(&first));
            senders.spawn(async move {
                let mut stored = Vec::new();
                loop {
                    let seed = format!("x{}y", stored.len());
                    match send(&sender, "nyc", &seed).await {
                        Ok(_append) => stored.push(seed),
                        Err(error) => return (stored, error),
                    }
                }
            });
            for _turn in 0..rounds {
                tokio::task::yield_now().await;
            }
            let second = lake.take().await;
            let sent = tokio::time::timeout(SOON, senders.join_next()).await.expect("ends");
            let (stored, error) = sent.expect("it sent").expect("no panic");
            assert!(matches!(error, LogError::Fenced), "{error}");
            assert!(matches!(first.log.failed().await, LogError::Fenced), "the process is told to end");
            assert!(matches!(send(&first, "nyc", "z").await, Err(LogError::Fenced)));
            assert_eq!(seeds(&second.found), stored, "exactly what was acknowledged, in its order");
        }
    });
}

#[test]
fn what_is_released_goes_and_is_not_looked_for() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let first = lake.take().await;
        for seed in ["a", "b", "c"] {
            let last = send(&first, "nyc", seed).await.expect("stored");
            if seed == "b" {
                first.log.release(&namespace("nyc"), last.assigned.system_time).expect("released");
            }
        }
        // Objects: the clocks, a, b, c; the last one says that all before it is released.
        let log = lake.logs[0];
        settled(&lake, log, &[4]).await;
        let second = lake.take().await;
        assert_eq!((seeds(&second.found), lake.objects(log).await), (vec!["c"], vec![4, 5]), "c and the fence");
        // The second releases what it inherited; its next object says so, and the first log needs nobody any more.
        second.log.release(&namespace("nyc"), second.found[0].1).expect("released");
        send(&second, "nyc", "d").await.expect("stored");
        settled(&lake, log, &[5]).await;
        assert!(is_released(&lake.store, "lake", log).await.expect("reads"));
        assert!(!is_released(&lake.store, "lake", lake.logs[1]).await.expect("reads"));
        assert!(matches!(send(&first, "nyc", "z").await, Err(LogError::Fenced)), "the fence stays for ever");
        let third = lake.take().await;
        assert_eq!(seeds(&third.found), ["d"]);
        // What a deletion left behind keeps the log from being forgotten, until somebody deletes it.
        lake.store.put(&paths::numbered(&paths::log(log), 3, "seg"), "left".into()).await.expect("writes");
        assert!(!is_released(&lake.store, "lake", log).await.expect("reads"));
        let fourth = lake.take().await;
        settled(&lake, log, &[5]).await;
        assert_eq!(seeds(&fourth.found), ["d"]);
        assert!(is_released(&lake.store, "lake", log).await.expect("reads"));
        assert!(holds_appends(&lake.store, "lake", &lake.logs[1..2]).await.expect("reads"));
    });
}

#[test]
fn whoever_comes_within_a_window_shares_an_object() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        lake.window = Duration::from_secs(2);
        let owner = Arc::new(lake.take().await);
        send(&owner, "nyc", "a").await.expect("stored");
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..10 {
            let owner = Arc::clone(&owner);
            senders.spawn(async move { send(&owner, "nyc", &format!("n{n}y")).await.expect("stored") });
        }
        assert_eq!(senders.join_all().await.len(), 10);
        // The clocks, the first at once, all others together.
        assert_eq!(lake.objects(lake.logs[0]).await.last(), Some(&3));
    });
}

#[test]
fn a_log_that_was_drained_holds_nothing() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let first = lake.take().await;
        let last = send(&first, "nyc", "a").await.expect("stored");
        first.log.release(&namespace("nyc"), last.assigned.system_time).expect("released");
        first.log.shut_down().await;
        settled(&lake, lake.logs[0], &[3]).await;
        let (_recovery, found) = lake.recover().await;
        assert!(found.is_empty() && !holds_appends(&lake.store, "lake", &lake.logs[..1]).await.expect("reads"));
    });
}

#[test]
fn owners_that_die_before_they_write_anything_pass_on_what_they_inherited() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let first = lake.take().await;
        send(&first, "nyc", "a").await.expect("stored");
        // One that took over and read, one that not even came to end the logs before.
        drop(lake.recover().await);
        lake.logs.push(lake.options(Vec::new()).log);
        let next = lake.take().await;
        assert_eq!(seeds(&next.found), ["a"]);
        next.log.release(&namespace("nyc"), next.found[0].1).expect("released");
        send(&next, "nyc", "b").await.expect("stored");
        let last = lake.take().await;
        assert_eq!(seeds(&last.found), ["b"]);
        for log in &lake.logs[..3] {
            settled(&lake, *log, &[lake.objects(*log).await.last().copied().expect("a fence")]).await;
            assert!(is_released(&lake.store, "lake", *log).await.expect("reads"), "{log}");
        }
    });
}

#[test]
fn many_owners_one_after_the_other_lose_nothing_and_leave_little() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let mut unreleased: Vec<String> = Vec::new();
        for n in 0..30u32 {
            let owner = lake.take().await;
            assert_eq!(seeds(&owner.found), unreleased, "owner {n}");
            if let Some((_seed, at)) = owner.found.last().filter(|_last| n % 3 == 2) {
                owner.log.release(&namespace("nyc"), *at).expect("released");
                unreleased.clear();
            }
            for m in 0..n % 4 {
                let seed = format!("n{n}m{m}y");
                send(&owner, "nyc", &seed).await.expect("stored");
                unreleased.push(seed);
            }
            if n % 2 == 0 {
                owner.log.shut_down().await;
            }
        }
        let mut left = 0;
        for log in &lake.logs {
            left += usize::from(!is_released(&lake.store, "lake", *log).await.expect("reads"));
        }
        assert!(left <= 6, "{left} logs are still read at each start");
    });
}

#[test]
fn a_store_that_fails_before_or_after_it_applied_a_write_doubles_nothing() {
    for lie in [Lie::Failed, Lie::AppliedButFailed, Lie::AppliedButExists, Lie::NotAppliedButExists] {
        runtime().block_on(async {
            let mut lake = Lake::over(Liar::often(lie, 3));
            let first = lake.take().await;
            for n in 0..20 {
                send(&first, "nyc", &format!("n{n}y")).await.expect("stored");
            }
            let expected: Vec<String> = (0..20).map(|n| format!("n{n}y")).collect();
            drop(first);
            let second = lake.take().await;
            assert_eq!(seeds(&second.found), expected, "{lie:?}");
        });
    }
}

#[test]
fn damage_is_told_by_name_and_nothing_is_made_of_it() {
    runtime().block_on(async {
        let mut lake = Lake::over(Store::memory());
        let first = lake.take().await;
        send(&first, "nyc", "a").await.expect("stored");
        send(&first, "nyc", "b").await.expect("stored");
        let log = lake.logs[0];
        fence(&lake.store, "lake", (log, 2), Ulid::from(7)).await.expect("fences");
        let path = paths::numbered(&paths::log(log), 2, "seg");
        let whole = lake.store.get(&path).await.expect("reads");
        for damage in [None, Some(0), Some(40), Some(300), Some(whole.len() - 1)] {
            match damage {
                None => lake.store.delete(&path).await.expect("deletes"),
                Some(at) => {
                    let mut bytes = whole.to_vec();
                    bytes[at] ^= 4;
                    lake.store.put(&path, bytes.into()).await.expect("writes");
                }
            }
            let looked = look(&lake.store, "lake", log, true).await.expect("looks");
            assert_eq!((looked.objects, looked.complaints.len()), (2, 1), "{looked:?}");
            assert!(looked.complaints[0].starts_with(path.as_ref()), "{looked:?}");
            // Who does not read sees only what is missing.
            let glanced = look(&lake.store, "lake", log, false).await.expect("looks");
            assert_eq!(glanced.complaints.len(), usize::from(damage.is_none()), "{glanced:?}");
            let options = lake.options(vec![log]);
            let opened = tokio::task::spawn_blocking(move || Recovery::open(options)).await.expect("ends");
            let error = opened.expect_err("damaged").to_string();
            assert!(error.contains(path.as_ref()), "{error}");
        }
        lake.store.put(&path, whole).await.expect("writes");
        let others = ObjectLogOptions { cluster: "other".into(), ..lake.options(vec![log]) };
        let opened = tokio::task::spawn_blocking(move || Recovery::open(others)).await.expect("ends");
        assert!(opened.expect_err("foreign").to_string().contains("belongs to cluster lake"));
        assert_eq!(look(&lake.store, "other", log, true).await.expect("looks").complaints.len(), 3);
        assert_eq!(look(&lake.store, "lake", log, true).await.expect("looks").complaints, [""; 0]);
        assert_eq!(lake.recover().await.1.len(), 2);
    });
}

/// Waits until exactly these objects of a log are there: deletions go on behind whoever waits for nothing.
async fn settled(lake: &Lake, log: Ulid, expected: &[u64]) {
    let seen = async {
        while lake.objects(log).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(SOON, seen).await.is_ok();
    assert!(in_time, "expected {expected:?}, there are {:?}", lake.objects(log).await);
}
