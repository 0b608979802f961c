//! Two processes with one store, by a clock that is set.

use std::collections::BTreeSet;

use tidemark_model::{Scope, clock::ManualClock, token::Standing};

use super::*;

fn token(id: &str, at: Instant) -> Token {
    Token {
        id: id.to_owned(),
        name: "a loader".to_owned(),
        sha256: "00".to_owned(),
        scopes: BTreeSet::from([Scope::Ingest]),
        namespaces: None,
        created_at: at,
        created_by: "root".to_owned(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

struct House {
    store: Store,
    clock: Arc<ManualClock>,
}

impl House {
    fn new() -> Self {
        Self { store: Store::memory(), clock: Arc::new(ManualClock::at(Instant::from_micros(1 << 50))) }
    }

    fn tokens(&self, seed: u128) -> Tokens {
        Tokens::of(&self.store, self.clock.clone(), Arc::new(Ids::seeded(seed)))
    }

    fn pass(&self, time: Duration) {
        self.clock.step(i64::try_from(time.as_micros()).unwrap());
    }
}

#[tokio::test]
async fn a_revocation_of_another_process_holds_after_a_bounded_time() {
    let house = House::new();
    let (here, there) = (house.tokens(1), house.tokens(2));
    assert!(!here.are_in_use());
    here.add(token("a", house.clock.now())).await.unwrap();
    there.freshen().await.unwrap();
    assert!(here.are_in_use() && there.are_in_use());
    assert_eq!(there.find("a").unwrap().standing(house.clock.now()), Standing::Live);
    here.revoke("a").await.unwrap();
    assert_eq!(here.find("a").unwrap().standing(house.clock.now()), Standing::Revoked);
    there.freshen().await.unwrap();
    assert_eq!(there.find("a").unwrap().standing(house.clock.now()), Standing::Live);
    house.pass(FRESH_FOR);
    there.freshen().await.unwrap();
    assert_eq!(there.find("a").unwrap().standing(house.clock.now()), Standing::Revoked);
    // Again is no mistake and no document.
    let before = here.known().version;
    here.revoke("a").await.unwrap();
    assert_eq!(here.known().version, before);
    assert_eq!(here.revoke("b").await.unwrap_err().code(), "unknown_token");
}

#[tokio::test]
async fn two_processes_lose_nothing_of_each_other() {
    let house = House::new();
    let (here, there) = (house.tokens(1), house.tokens(2));
    for round in 0..40 {
        let at = house.clock.now();
        here.add(token(&format!("h{round}"), at)).await.unwrap();
        there.add(token(&format!("t{round}"), at)).await.unwrap();
    }
    here.refresh().await.unwrap();
    assert_eq!((here.list().len(), there.list().len()), (80, 80));
    let fresh = house.tokens(3);
    fresh.refresh().await.unwrap();
    assert_eq!(fresh.list().len(), 80);
}

#[tokio::test]
async fn uses_are_written_down_now_and_then_and_the_dead_are_forgotten() {
    let house = House::new();
    let here = house.tokens(1);
    here.add(token("a", house.clock.now())).await.unwrap();
    here.add(token("b", house.clock.now())).await.unwrap();
    assert!(!here.write_uses_down().await.unwrap());
    here.was_used("a");
    assert!(here.write_uses_down().await.unwrap());
    house.pass(Duration::from_secs(120));
    here.was_used("a");
    assert!(!here.write_uses_down().await.unwrap(), "the hour has not changed");
    assert_eq!(here.list()[0].last_used_at, Some(house.clock.now()));
    let there = house.tokens(2);
    there.refresh().await.unwrap();
    assert!(there.find("a").unwrap().last_used_at.is_some() && there.find("b").unwrap().last_used_at.is_none());
    here.revoke("b").await.unwrap();
    house.pass(DEAD_FOR);
    here.add(token("c", house.clock.now())).await.unwrap();
    let ids: Vec<String> = here.list().into_iter().map(|token| token.id).collect();
    assert_eq!(ids, ["a", "c"]);
}
