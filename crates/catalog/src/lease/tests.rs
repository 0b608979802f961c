//! Leases: who is alive, who has to wait, who has lost.

mod away;
mod far;
mod network;

use tidemark_model::{Ids, Instant, clock::ManualClock};

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::catalog::{Catalog, Config, Deps, Tenure};

const LEASE_MS: u64 = 1000;
const LEASE: Duration = Duration::from_millis(LEASE_MS);

/// Time that passes when nobody has anything else to do: now, and the next instant that somebody waits for.
#[derive(Debug, Default)]
struct Dial(Mutex<(Duration, Option<Duration>)>);

struct Sleeping<'a>(&'a Dial, Duration);

impl Future for Sleeping<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        let mut dial = self.0.0.lock().unwrap();
        if dial.0 >= self.1 {
            return Poll::Ready(());
        }
        dial.1 = Some(dial.1.map_or(self.1, |next| next.min(self.1)));
        Poll::Pending
    }
}

#[async_trait::async_trait]
impl Ticks for Dial {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    async fn sleep(&self, time: Duration) {
        Sleeping(self, self.now() + time).await;
    }
}

impl Dial {
    /// Runs work, time passing whenever all of it waits. Stores in memory answer at once.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            let mut dial = self.0.lock().unwrap();
            if let Some(next) = dial.1.take() {
                dial.0 = next;
            }
        }
    }
}

/// A lake, and time.
#[derive(Default)]
struct Bench {
    dial: Arc<Dial>,
}

impl Bench {
    fn tenure(&self, holder: &str) -> Tenure {
        Tenure { holder: holder.to_owned(), lease_ms: LEASE_MS, ticks: self.dial.clone(), ..Tenure::default() }
    }

    /// The turn of somebody who knows nothing of the owner, and how long it took.
    async fn turn(&self, store: &Store, patience: Patience) -> (Result<Turn, TurnError>, Duration) {
        let began = self.dial.now();
        let turn = self.waiting(store, patience, []).turn(|_epoch| false).await;
        (turn, self.dial.now() - began)
    }

    /// Somebody who waits, and whose first naps take as long as this.
    fn waiting(&self, store: &Store, patience: Patience, naps: impl IntoIterator<Item = Duration>) -> Waiting {
        let naps = Mutex::new(naps.into_iter().collect());
        let ticks = Arc::new(Sleepy { dial: Arc::clone(&self.dial), naps });
        Waiting { store: store.clone(), patience, put_id: Ulid::from(9), ticks }
    }
}

async fn open(store: &Store, seed: u128, tenure: &Tenure) -> Catalog {
    let deps = Deps {
        store: store.clone(),
        clock: Arc::new(ManualClock::at(Instant::from_micros(1))),
        ids: Arc::new(Ids::seeded(seed)),
        metrics: prometheus::Registry::new(),
    };
    Catalog::open_as(Config::default(), deps, tenure).await.unwrap()
}

#[test]
fn bytes_are_pinned() {
    let said = Said { format: FORMAT, epoch: 3, number: 7, put_id: Ulid::nil().to_string(), word: Word::Alive };
    let bytes = br#"{"format":1,"epoch":3,"number":7,"put_id":"00000000000000000000000000","word":"alive"}"#;
    assert_eq!(encode(&said).unwrap().as_ref(), bytes);
    assert_eq!(decode(&"said", bytes).unwrap(), said);
    assert!(decode(&"said", br#"{"format":1,"epoch":3,"number":7,"put_id":"","word":"other"}"#).is_err());
}

#[test]
fn a_lake_that_nobody_holds_is_free_at_once() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        assert!(matches!(bench.turn(&store, Patience::Short).await, (Ok(Turn { after: 0, .. }), Duration::ZERO)));
        let unleased = open(&store, 1, &Tenure::default()).await;
        assert!(matches!(bench.turn(&store, Patience::Short).await, (Ok(Turn { after: 1, .. }), Duration::ZERO)));
        bench.dial.sleep(100 * LEASE).await;
        unleased.check_held().unwrap();
        let leased = open(&store, 2, &bench.tenure("a")).await;
        let turn = bench.waiting(&store, Patience::Short, []).turn(|epoch| epoch == leased.epoch()).await;
        assert_eq!(turn.unwrap().after, 2, "its owner is known to be dead");
    });
}

#[test]
fn an_owner_that_speaks_is_waited_for_or_refuses_others() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        let speaking = async {
            // Longer than what is kept: old words go, whoever comes later still finds the newest.
            for _word in 0..2 * WORDS_KEPT {
                owner.lease().renew().await.unwrap();
                owner.check_held().unwrap();
                bench.dial.sleep(owner.lease().pause().unwrap()).await;
            }
            owner.lease().end().await.unwrap();
            owner.check_held().unwrap_err();
            bench.dial.now()
        };
        let refused = async {
            bench.dial.sleep(100 * LEASE / 3).await;
            bench.turn(&store, Patience::Short).await
        };
        let began = bench.dial.now();
        let (ended, refused, (turn, waited)) = tokio::join!(speaking, refused, bench.turn(&store, Patience::Endless));
        let Err(error) = refused.0 else { panic!("two owners") };
        assert!(error.to_string().contains("(the first, epoch 1)") && refused.1 < LEASE, "{error}");
        assert_eq!(turn.unwrap().after, 1);
        let after = began + waited - ended;
        assert!(after < Duration::from_secs(1), "it drained, and was waited for another {after:?}");
        let listed = store.list(&paths::lease(1)).await.unwrap().len() as u64;
        assert!((WORDS_KEPT..=WORDS_KEPT + 2).contains(&listed), "{listed}");
    });
}

#[test]
fn an_owner_that_falls_silent_is_followed_and_knows_that_it_may_be() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        owner.lease().renew().await.unwrap();
        let (turn, waited) = bench.turn(&store, Patience::Short).await;
        assert_eq!(turn.unwrap().after, 1);
        assert!(waited > LEASE && waited < 2 * LEASE, "{waited:?}");
        assert!(matches!(owner.check_held(), Err(CatalogError::Lapsed)), "it answers no more before others may");
        // Nobody has taken the next epoch yet, and still it cannot come back.
        assert!(matches!(owner.lease().renew().await, Err(CatalogError::Fenced { ours: 1, theirs: 2 })));
        owner.check_held().unwrap_err();
        let next = open(&store, 2, &Tenure { after: Some(1), ..bench.tenure("the second") }).await;
        next.lease().renew().await.unwrap();
        assert!(owner.lease().renew().await.is_err());
        next.check_held().unwrap();
    });
}

#[test]
fn an_owner_that_is_only_slow_goes_on() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        let slow = async {
            for _word in 0..20 {
                bench.dial.sleep(LEASE + LEASE / 5).await;
                assert!(owner.check_held().is_err(), "it does not know whether it still owns the lake");
                owner.lease().renew().await.unwrap();
                owner.check_held().unwrap();
            }
            owner.lease().end().await.unwrap();
        };
        let ((), (turn, waited)) = tokio::join!(slow, bench.turn(&store, Patience::Endless));
        assert_eq!(turn.unwrap().after, 1);
        assert!(waited > 20 * LEASE);
    });
}

#[test]
fn a_delete_that_is_never_answered_holds_no_word_up() {
    let bench = Bench::default();
    bench.dial.run(async {
        let owner = open(&away::where_deletes_hang(), 1, &bench.tenure("the first")).await;
        for _word in 0..2 * WORDS_KEPT {
            tokio::select! {
                renewed = owner.lease().renew() => renewed.unwrap(),
                () = bench.dial.sleep(LEASE / WORDS_PER_LEASE) => panic!("the next word is due, and this one is not said"),
            }
            owner.check_held().unwrap();
        }
    });
}

#[test]
fn whoever_took_over_by_force_fences_the_lease_too() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        owner.lease().renew().await.unwrap();
        let _next = open(&store, 2, &Tenure::default()).await;
        assert!(matches!(owner.lease().renew().await, Err(CatalogError::Fenced { ours: 1, theirs: 2 })));
        owner.check_held().unwrap_err();
    });
}

#[test]
fn a_start_that_failed_hides_nobody_who_left_a_log_on_a_disk() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let left = |turn: (Result<Turn, TurnError>, Duration)| turn.0.unwrap().left_log;
        open(&store, 1, &bench.tenure("in order")).await.lease().end().await.unwrap();
        assert_eq!(left(bench.turn(&store, Patience::Short).await), None);
        // It dies; two that come after it never serve.
        open(&store, 2, &bench.tenure("dies")).await.lease().renew().await.unwrap();
        for seed in [3, 4] {
            open(&store, seed, &bench.tenure("never serves")).await.lease().withdraw().await.unwrap();
            let turn = bench.turn(&store, Patience::Short).await;
            assert_eq!((turn.1, left(turn)), (Duration::ZERO, Some(2)), "nobody waits for a start that failed");
        }
        // One whose log lies in the store has taken over all the same: what it acknowledges is found.
        let in_store = Tenure { log_in_store: true, ..bench.tenure("in the store") };
        open(&store, 5, &in_store).await;
        assert_eq!(left(bench.turn(&store, Patience::Short).await), None);
    });
}

#[test]
fn a_lease_is_spoken_beside_work_that_outlasts_it() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("slow to open")).await;
        let (speaking, refused) = tokio::join!(
            owner.lease().spoken_beside(bench.dial.sleep(10 * LEASE)),
            bench.turn(&store, Patience::Short)
        );
        let () = speaking;
        owner.check_held().unwrap();
        assert!(matches!(refused.0, Err(TurnError::Owned { epoch: 1, .. })));
    });
}

#[test]
fn an_owner_begins_the_register_of_collections_anew() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let register = Register::new(store.clone(), paths::catalog());
        for epoch in 1..=3 {
            open(&store, epoch.into(), &bench.tenure("one after the other")).await;
            let entries = crate::catalog::journal::load(&register).await.unwrap();
            assert_eq!(entries.last().map(|entry| (entry.version, entry.epoch)), Some((epoch, epoch)));
        }
    });
}

#[test]
fn whoever_sleeps_for_very_long_takes_no_word_that_was_forgotten() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        // Asleep between two looks for longer than words are kept.
        let sleepy = async {
            bench.dial.sleep(LEASE / 2).await;
            bench.waiting(&store, Patience::Endless, [LEASE * 40]).turn(|_epoch| false).await
        };
        let speaking = async {
            for _word in 0..3 * WORDS_KEPT {
                owner.lease().renew().await.unwrap();
                bench.dial.sleep(owner.lease().pause().unwrap()).await;
            }
            owner.lease().end().await.unwrap();
        };
        let ((), turn) = tokio::join!(speaking, sleepy);
        assert_eq!(turn.unwrap(), Turn { after: 1, left_log: None }, "it waited for the end");
    });
}

/// As when the store is away from both of them: the owner speaks again a moment after the other one can look again.
#[test]
fn a_time_in_which_nobody_could_look_is_no_silence_of_the_owner() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        let away = LEASE + LEASE / 2;
        let waiting = bench.waiting(&store, Patience::Endless, [away]);
        let speaking = async {
            bench.dial.sleep(away + LEASE / 10).await;
            owner.lease().renew().await.expect("nobody took the lake from it");
            bench.dial.sleep(LEASE / 2).await;
            owner.lease().end().await.unwrap();
        };
        let ((), turn) = tokio::join!(speaking, waiting.turn(|_epoch| false));
        assert_eq!(turn.unwrap(), Turn { after: 1, left_log: None }, "it waited for the end");
    });
}

/// As over a store whose answers take long, every time.
#[test]
fn whoever_looks_late_every_time_takes_over_from_the_dead_and_from_nobody_else() {
    let bench = Bench::default();
    bench.dial.run(async {
        let store = Store::memory();
        let owner = open(&store, 1, &bench.tenure("the first")).await;
        let late = LEASE * 6 / 10;
        let speaking = async {
            for _word in 0..30 {
                owner.lease().renew().await.expect("nobody took the lake from it");
                bench.dial.sleep(owner.lease().pause().unwrap()).await;
            }
            bench.dial.now()
        };
        let waiting = bench.waiting(&store, Patience::Endless, [late; 100]);
        let waited = async { (waiting.turn(|_epoch| false).await, bench.dial.now()) };
        let (fell_silent, (turn, taken)) = tokio::join!(speaking, waited);
        assert_eq!(turn.unwrap().after, 1);
        assert!(fell_silent < taken && taken < fell_silent + 4 * LEASE, "{fell_silent:?} {taken:?}");
    });
}

#[test]
fn a_store_that_is_away_for_a_while_is_waited_for_and_for_longer_is_told() {
    for (away, is_borne) in [(Duration::from_secs(25), true), (Duration::from_secs(40), false)] {
        let bench = Bench::default();
        bench.dial.run(async {
            let (store, is_away) = away::store();
            let owner = open(&store, 1, &bench.tenure("the first")).await;
            let outage = async {
                bench.dial.sleep(LEASE / 4).await;
                is_away.store(true, Ordering::SeqCst);
                bench.dial.sleep(away).await;
                is_away.store(false, Ordering::SeqCst);
                bench.dial.sleep(LEASE / 10).await;
                let spoken = owner.lease().renew().await;
                let ended = owner.lease().end().await;
                spoken.and(ended)
            };
            let (spoken, (turn, _took)) = tokio::join!(outage, bench.turn(&store, Patience::Endless));
            spoken.expect("whoever waited did not take the lake from it");
            match turn {
                Ok(turn) => assert!(is_borne && turn.after == 1, "it waited for the end: {turn:?}"),
                Err(error) => {
                    assert!(!is_borne && matches!(error, TurnError::Catalog(CatalogError::Store(_))), "{error}")
                }
            }
        });
    }
}

/// The same time, for somebody whose first naps are long.
#[derive(Debug)]
struct Sleepy {
    dial: Arc<Dial>,
    naps: Mutex<VecDeque<Duration>>,
}

#[async_trait::async_trait]
impl Ticks for Sleepy {
    fn now(&self) -> Duration {
        self.dial.now()
    }

    async fn sleep(&self, time: Duration) {
        let nap = self.naps.lock().unwrap().pop_front();
        self.dial.sleep(nap.unwrap_or(time)).await;
    }
}
