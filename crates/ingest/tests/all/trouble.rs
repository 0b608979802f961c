//! A store that fails in the middle of a flush: nothing twice, nothing lost, nobody held up.

use std::time::Duration;

use tidemark_catalog::{Commit, EventsManifest};
use tidemark_ingest::Config;
use tidemark_model::{CollectionName, Instant, Standing, Table, declared::Strictness};

use crate::{
    bed::{Bed, End, ns, quiet},
    flaky::{self, Answer, Verb},
};

fn event(id: &str) -> String {
    format!(r#"{{"type":"a","id":"{id}"}}"#)
}

/// Applies the commit of a manifest, then fails everything.
fn lost_answer() -> impl FnMut(Verb, &str) -> Answer + Send {
    let mut is_away = false;
    move |verb, path| match (is_away, verb) {
        (true, _) => Answer::Failed,
        (false, Verb::Put) if path.contains("/_manifest/") => {
            is_away = true;
            Answer::DoneButFailed
        }
        _ => Answer::Honest,
    }
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_not_made_again() {
    for between in [&[][..], &["e3", "e4"]] {
        let (store, rules) = flaky::store();
        let mut bed = Bed::on(store, quiet()).await;
        bed.events(&event("e1")).await.ok();
        bed.events(&event("e2")).await.ok();
        rules.set(lost_answer());
        assert!(bed.ingest.flush(&ns("shop")).await.is_err(), "nobody knows whether it was applied");
        rules.heal();
        for id in between {
            bed.events(&event(id)).await.ok();
        }
        let expected = [&["e1", "e2"][..], between].concat();
        for turn in ["before the flush", "after it", "after a restart"] {
            match turn {
                "after it" => bed.ingest.flush(&ns("shop")).await.expect("flushes"),
                "after a restart" => bed = bed.restart(End::Killed).await,
                _ => {}
            }
            assert_eq!(bed.texts(&Table::Events, "id").await, expected, "{turn}");
        }
        let rows: u64 = bed.catalog.events(&ns("shop")).files.iter().map(|file| file.rows).sum();
        assert_eq!(rows, expected.len() as u64, "all of it is in files, once");
    }
}

/// A compaction or a clean-up loses its number to the commit, and from then on the process knows of it.
#[tokio::test]
async fn a_commit_of_unknown_outcome_that_another_step_learns_of_is_not_made_again() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    bed.events(&event("e1")).await.ok();
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    bed.events(&event("e2")).await.ok();
    rules.set(lost_answer());
    assert!(bed.ingest.flush(&ns("shop")).await.is_err(), "nobody knows whether it was applied");
    rules.heal();
    let on = bed.catalog.events(&ns("shop"));
    let upkeep = bed.catalog.commit_events(&ns("shop"), &on, EventsManifest::clone(&on)).await.expect("answers");
    assert!(matches!(upkeep, Commit::Lost { .. }));
    bed.events(&event("e3")).await.ok();
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    assert_eq!(bed.texts(&Table::Events, "id").await, ["e1", "e2", "e3"]);
    let rows: u64 = bed.catalog.events(&ns("shop")).files.iter().map(|file| file.rows).sum();
    assert_eq!(rows, 3, "all of it is in files, once");
}

/// An entry of the catalog whose outcome nobody learns: it is there, or it is not.
fn an_unknown_word(is_there: bool) -> impl FnMut(Verb, &str) -> Answer + Send {
    move |verb, path| match verb {
        _ if !path.contains("_tidemark/catalog/") => Answer::Honest,
        Verb::Put if is_there => Answer::DoneButFailed,
        Verb::Put | Verb::Get => Answer::Failed,
    }
}

#[tokio::test]
async fn nothing_is_added_to_a_name_until_it_is_known_whether_it_was_dropped() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    let (namespace, orders) = (ns("shop"), CollectionName::parse("orders").expect("a name"));
    let insert = |n| format!(r#"{{"id":"{n}","op":"insert","doc":{{"n":{n}}}}}"#);
    bed.changes(&insert(1)).await.ok();
    bed.ingest.flush(&namespace).await.expect("flushes");
    let dropped = Standing::Dropped { at: Instant::from_micros(1), until: Instant::from_micros(2) };
    for (word, is_there, found) in [
        (dropped, false, Standing::Live),
        (dropped, true, dropped),
        (Standing::Live, false, dropped),
        (Standing::Live, true, Standing::Live),
    ] {
        rules.set(an_unknown_word(is_there));
        assert!(bed.ingest.stand(&namespace, Some(&orders), word).await.is_err(), "{word:?}: nobody knows");
        assert!(bed.ingest.settle().await.is_err(), "{word:?}: nor now");
        rules.heal();
        assert_eq!(bed.changes(&insert(2)).await.problem(), (503, "changing"), "{word:?}");
        bed.ingest.settle().await.expect("settles");
        assert_eq!(bed.catalog.standing(&namespace, Some(&orders)), Some(found), "{word:?}");
        let then = bed.changes(&insert(3)).await;
        match found {
            Standing::Live => drop(then.ok()),
            _ => assert_eq!(then.problem(), (409, "dropped")),
        }
    }
}

#[tokio::test]
async fn a_schema_that_may_have_been_declared_binds_once_it_is_known() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    let orders = CollectionName::parse("orders").expect("a name");
    bed.changes(r#"{"id":"1","op":"insert","doc":{"n":1}}"#).await.ok();
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    rules.set(an_unknown_word(true));
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#.to_owned();
    let told = bed.ingest.declare((&ns("shop"), &orders), Strictness::Strict, schema).await;
    assert!(told.is_err(), "nobody knows");
    rules.heal();
    let wrong = r#"{"id":"2","op":"insert","doc":{"n":"x"}}"#;
    assert_eq!(bed.changes(wrong).await.problem(), (503, "changing"));
    bed.ingest.settle().await.expect("settles");
    assert_eq!(bed.changes(wrong).await.problem().0, 422);
    bed.changes(r#"{"id":"2","op":"insert","doc":{"n":2}}"#).await.ok();
}

#[tokio::test]
async fn a_namespace_that_fails_holds_up_no_other() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, Config { flush_rows: 50, ..quiet() }).await;
    rules.set(|verb, path| if verb == Verb::Put && path.starts_with("bad/") { Answer::Failed } else { Answer::Honest });
    let mut bell = bed.ingest.bell().listen();
    let many = |count: usize| vec![r#"{"type":"a"}"#; count].join("\n");
    let ndjson = [("content-type", "application/x-ndjson")];
    bed.post("/v1/bad/events", many(100), &ndjson).await.ok();
    bed.post("/v1/shop/events", many(60), &ndjson).await.ok();
    tokio::time::timeout(Duration::from_secs(30), bell.changed()).await.expect("rings").expect("a bell");
    assert_eq!(bed.catalog.events(&ns("shop")).files.len(), 1);
    assert_eq!(bed.catalog.events(&ns("bad")).files.len(), 0);
}

#[tokio::test]
async fn a_sidecar_that_is_gone_stops_neither_flush_nor_start() {
    let (store, _rules) = flaky::store();
    let bed = Bed::on(store.clone(), quiet()).await;
    let flushed = async |bed: &Bed, n: usize| {
        bed.events(&event(&format!("e{n}"))).await.ok();
        bed.ingest.flush(&ns("shop")).await.expect("flushes");
    };
    flushed(&bed, 0).await;
    let lost = bed.catalog.events(&ns("shop")).sidecars[0].path.clone();
    store.delete(&lost.as_str().into()).await.expect("deletes");
    for n in 1..70 {
        flushed(&bed, n).await;
    }
    let sidecars = bed.catalog.events(&ns("shop")).sidecars.clone();
    assert!(sidecars.len() < 10, "the others are merged: {}", sidecars.len());
    assert!(sidecars.iter().any(|sidecar| sidecar.path == lost), "should it come back, it counts");
    let bed = bed.restart(End::Killed).await;
    assert_eq!(bed.events(&event("e1")).await.ok()["duplicates"], 1);
}

#[tokio::test]
async fn a_start_without_its_store_fails_instead_of_forgetting() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    bed.events(&event("e1")).await.ok();
    bed.ingest.flush(&ns("shop")).await.expect("flushes");
    rules.set(|_verb, path| if path.contains("/_idempotency/") { Answer::Failed } else { Answer::Honest });
    let (stopped, error) = *bed.stop(End::Killed).await.start().await.expect_err("the store is away");
    assert!(error.to_string().contains("_idempotency"), "{error}");
    rules.heal();
    let bed = stopped.start().await.expect("opens");
    assert_eq!(bed.events(&event("e1")).await.ok()["duplicates"], 1);
}

/// The end of a process is the last chance of what is acknowledged to come into files without a replay.
#[tokio::test]
async fn a_last_flush_that_fails_for_a_moment_is_tried_again() {
    let (store, rules) = flaky::store();
    let bed = Bed::on(store, quiet()).await;
    bed.events(&event("e1")).await.ok();
    let mut failures = 2;
    rules.set(move |verb, path| {
        let fails = verb == Verb::Put && path.contains("/_manifest/") && failures > 0;
        failures -= i32::from(fails);
        if fails { Answer::Failed } else { Answer::Honest }
    });
    // Drained for good: else this panics.
    let bed = bed.restart(End::Drained).await;
    assert_eq!(bed.texts(&Table::Events, "id").await, ["e1"]);
    assert_eq!(bed.catalog.events(&ns("shop")).files.iter().map(|file| file.rows).sum::<u64>(), 1);
}
