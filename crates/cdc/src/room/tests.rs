//! The room through its door: random histories against the fold told literally, and the steps one by one.

mod world;

use tidemark_model::{Instant, Retention, Shard};
use tidemark_storage::Store;

use super::*;
use world::{World, name, namespace};

fn settings(random: &Ids) -> Config {
    let number = |end: u64| 1 + random.random() % end;
    Config {
        delta_rows: number(20),
        delta_files: usize::try_from(number(3)).expect("small"),
        delta_rows_max: number(40),
        delta_memory_bytes: [1, 1 << 30][usize::try_from(number(2) - 1).expect("small")],
        fold_ratio: [0.0, 0.1, 0.5][usize::try_from(number(3) - 1).expect("small")],
        fold_rows_min: number(10),
        fold_bytes_max: [1, 20_000, 1 << 20][usize::try_from(number(3) - 1).expect("small")],
        fold_memory_bytes: [1, 5000, 1 << 20][usize::try_from(number(3) - 1).expect("small")],
        part_rows: usize::try_from(number(12)).expect("small"),
        bases_max: usize::try_from(number(5)).expect("small"),
        bases_bytes_max: [0, 30_000, 1 << 30][usize::try_from(number(3) - 1).expect("small")],
        ..Config::default()
    }
}

/// Appends, flushes, ticks, crashes in the middle of ticks and restarts in any order: every base that stays is the
/// literal fold up to its mark, and deltas hold every change up to the collection's mark exactly once.
#[tokio::test]
async fn bases_are_the_literal_fold_and_deltas_hold_every_change() {
    let mut seen = world::Seen::default();
    for seed in 0..20 {
        let random = Ids::seeded(seed);
        let mut world = World::open(Store::memory(), seed).await;
        let mut cdc = world.cdc(settings(&random));
        for step in 0..60 {
            match random.random() % 10 {
                0..=3 => world.append(&random),
                4..=6 => world.flush().await,
                7 => drop(cdc.tick().await.expect("ticks")),
                8 => {
                    let moment = std::time::Duration::from_micros(random.random() % 3000);
                    seen.crashes += usize::from(tokio::time::timeout(moment, cdc.tick()).await.is_err());
                    world.restart().await;
                    cdc = world.cdc(settings(&random));
                }
                _ => cdc.settle(&namespace()).await.expect("settles"),
            }
            world.check(&mut seen).await.unwrap_or_else(|wrong| panic!("seed {seed}, step {step}: {wrong}"));
        }
        world.flush().await;
        cdc.settle(&namespace()).await.expect("settles");
        world.check(&mut seen).await.unwrap_or_else(|wrong| panic!("seed {seed}, settled: {wrong}"));
        world.check_settled();
    }
    seen.assert_all();
}

#[tokio::test]
async fn nothing_due_does_nothing_and_drain_takes_what_is_pending() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config::default());
    world.change("a", &[("x", "insert", 1, Some(r#"{"n":1}"#))]);
    assert_eq!(cdc.tick().await.expect("ticks"), More::No);
    world.flush().await;
    assert_eq!(cdc.tick().await.expect("ticks"), More::No);
    assert_eq!(world.catalog.manifest(&namespace(), &name("a")).head.version, 0);
    cdc.drain().await.expect("drains");
    let manifest = world.catalog.manifest(&namespace(), &name("a"));
    assert_eq!((manifest.head.version, manifest.deltas.len(), manifest.bases.len(), manifest.mark), (1, 1, 0, 0));
    assert!(
        manifest.deltas[0].path.starts_with("nyc/a/deltas/000001_1970-01-01T00-00-"),
        "{}",
        manifest.deltas[0].path
    );
    assert_eq!(cdc.tick().await.expect("ticks"), More::No);
}

#[tokio::test]
async fn age_alone_makes_a_delta_due() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config::default());
    world.change("a", &[("x", "insert", 1, Some("{}"))]);
    world.flush().await;
    world.clock.step(3600 * 1_000_000);
    assert_eq!(cdc.tick().await.expect("ticks"), More::Yes);
    assert_eq!(cdc.tick().await.expect("ticks"), More::No);
    assert_eq!(world.catalog.manifest(&namespace(), &name("a")).deltas.len(), 1);
}

/// The mark of a collection goes to the end of the events table, also over the positions of its neighbours.
#[tokio::test]
async fn the_mark_passes_over_neighbours_in_the_shard() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config::default());
    world.change("a", &[("x", "insert", 1, Some("{}"))]);
    world.change("b", &[("x", "insert", 1, Some("{}")), ("y", "insert", 1, Some("{}"))]);
    world.flush().await;
    cdc.settle(&namespace()).await.expect("settles");
    let mark = |collection: &str| world.catalog.manifest(&namespace(), &name(collection)).mark;
    assert_eq!((mark("a"), mark("b")), (2, 2));
    assert_eq!(world.catalog.events_mark(&namespace()).seq(Shard(3)), 2);
}

/// Parts that no winner falls into stay the files they are; a part that shrinks joins its neighbour.
#[tokio::test]
async fn untouched_parts_are_taken_over() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config { part_rows: 4, ..Config::default() });
    let ids: Vec<String> = (0..16).map(|n| format!("id{n:02}")).collect();
    let rows: Vec<_> = ids.iter().map(|id| (id.as_str(), "insert", 10, Some(r#"{"n":1}"#))).collect();
    world.change("a", &rows);
    world.flush().await;
    cdc.settle(&namespace()).await.expect("settles");
    let parts = |world: &World| {
        let manifest = world.catalog.manifest(&namespace(), &name("a"));
        let base = manifest.bases.last().expect("a base").clone();
        base.parts.into_iter().map(|part| (part.path, part.rows, part.id.min)).collect::<Vec<_>>()
    };
    let before = parts(&world);
    assert_eq!(
        before.iter().map(|part| (part.1, part.2.as_str())).collect::<Vec<_>>(),
        [(4, "id00"), (4, "id04"), (4, "id08"), (4, "id12")]
    );
    // A late change loses, another document changes, and most of one part goes.
    world.change("a", &[("id01", "update", 5, Some(r#"{"n":2}"#)), ("id05", "update", 20, Some(r#"{"n":2}"#))]);
    world.change("a", &[("id08", "delete", 20, None), ("id09", "delete", 20, None), ("id10", "delete", 20, None)]);
    world.flush().await;
    cdc.settle(&namespace()).await.expect("settles");
    let after = parts(&world);
    assert_eq!((&after[0], &after[2]), (&before[0], &before[3]));
    assert_eq!(after[1..].iter().map(|part| (part.1, part.2.as_str())).collect::<Vec<_>>(), [(5, "id04"), (4, "id12")]);
    world.check(&mut world::Seen::default()).await.expect("is right");
}

#[tokio::test]
async fn two_hands_take_turns() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config { delta_rows: 1, fold_rows_min: 1, ..Config::default() });
    for n in 0..20 {
        world.change("a", &[(&format!("{n}"), "insert", n, Some("{}"))]);
        world.flush().await;
    }
    let nyc = namespace();
    let (left, right) = tokio::join!(cdc.settle(&nyc), cdc.drain());
    left.and(right).expect("both end");
    world.check(&mut world::Seen::default()).await.expect("is right");
}

/// What a fold holds is bounded by its setting and not by the history, and the state is the same.
#[tokio::test]
async fn a_fold_of_many_spans_holds_what_it_may() {
    const BUDGET: u64 = 200_000;
    let mut held = Vec::new();
    for fold_memory_bytes in [BUDGET, 1 << 30] {
        let mut world = World::open(Store::memory(), 1).await;
        let cdc = world.cdc(Config { delta_rows: 1, fold_rows_min: 1 << 40, fold_memory_bytes, ..Config::default() });
        // Forty ranges of ids, each changed in two deltas: four megabytes of documents and columns.
        for round in 0..2 {
            for range in 0..40 {
                let document = |n: i64| format!(r#"{{"n":{n},"s":"{}"}}"#, format!("{n:05}").repeat(100));
                let rows: Vec<(String, String)> = (0..50)
                    .map(|n| (format!("id{range:02}-{n:02}"), document(round * 10_000 + range * 100 + n)))
                    .collect();
                let rows: Vec<_> =
                    rows.iter().map(|(id, text)| (id.as_str(), "update", round, Some(text.as_str()))).collect();
                world.change("a", &rows);
                world.flush().await;
                cdc.drain().await.expect("drains");
            }
        }
        cdc.settle(&namespace()).await.expect("settles");
        world.check(&mut world::Seen::default()).await.expect("is right");
        let base = world.catalog.manifest(&namespace(), &name("a")).bases.last().expect("a base").clone();
        assert_eq!((base.rows, base.changes), (2000, 4000));
        held.push(cdc.tools.metrics.last_fold_held());
    }
    let budget = i64::try_from(BUDGET).expect("small");
    // Changes as files tell them, their winners beside them, and what Arrow allots ahead.
    assert!(held[0] > budget / 4 && held[0] < budget * 3, "{held:?}");
    assert!(held[1] > budget * 20, "without a bound it is all in memory: {held:?}");
}

/// Events that decode to more than a delta may hold are taken in by several steps, each up to the end of a file.
#[tokio::test]
async fn a_delta_ends_behind_the_file_that_fills_its_memory() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config { delta_rows: 1, delta_memory_bytes: 1, ..Config::default() });
    for n in 0..3 {
        world.change("a", &[(&format!("{n}"), "insert", n, Some("{}"))]);
        world.flush().await;
    }
    for step in 1..=3 {
        let _more = cdc.tick().await.expect("ticks");
        let manifest = world.catalog.manifest(&namespace(), &name("a"));
        assert_eq!((manifest.deltas.len(), manifest.mark), (step, i64::try_from(step).expect("small") - 1));
    }
    world.check(&mut world::Seen::default()).await.expect("is right");
}

/// Two rooms that do not know of each other work at once: of two commits on one manifest one is lost and planned again.
#[tokio::test]
async fn two_folds_at_once_store_nothing_twice() {
    let (mut seen, mut lost) = (world::Seen::default(), 0);
    for seed in 0..20 {
        let random = Ids::seeded(seed);
        let mut world = World::open(Store::memory(), seed).await;
        let (one, other) = (world.cdc(settings(&random)), world.cdc(settings(&random)));
        for _ in 0..6 {
            (0..5).for_each(|_| world.append(&random));
            world.flush().await;
            let nyc = namespace();
            let both = tokio::join!(one.settle(&nyc), other.settle(&nyc));
            both.0.and(both.1).expect("settle");
            world.check(&mut seen).await.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
            world.check_settled();
        }
        lost += one.tools.metrics.lost_so_far() + other.tools.metrics.lost_so_far();
    }
    assert!(lost > 20, "{lost} commits were lost");
}

/// A process that was fenced cannot commit, and its error says that it must end.
#[tokio::test]
async fn a_fenced_room_commits_nothing() {
    let mut world = World::open(Store::memory(), 1).await;
    world.change("a", &[("x", "insert", 1, Some("{}"))]);
    world.flush().await;
    let old = world.cdc(Config { delta_rows: 1, ..Config::default() });
    world.restart().await;
    let error = old.tick().await.expect_err("is fenced");
    assert!(error.is_fatal(), "{error}");
    assert_eq!(world.catalog.manifest(&namespace(), &name("a")).head.version, 0);
}

#[test]
fn errors_say_what_to_do() {
    let unsettled = Error::Unsettled { namespace: "nyc".to_owned(), passes: 3 };
    assert_eq!(unsettled.kind(), tidemark_model::Kind::Unavailable);
    assert!(!unsettled.is_fatal());
    assert_eq!(Instant::from_micros(0).minute_name(), "1970-01-01T00-00");
}

/// One collection whose file is gone fails at every turn; its neighbour gets delta and state at once all the same.
#[tokio::test]
async fn a_collection_that_fails_holds_up_no_other() {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config { delta_rows: 1, fold_rows_min: 1, ..Config::default() });
    world.change("a", &[("x", "insert", 1, Some("{}"))]);
    world.flush().await;
    cdc.drain().await.expect("drains");
    let path = world.catalog.manifest(&namespace(), &name("a")).deltas[0].path.clone();
    world.catalog.store().delete(&path.as_str().into()).await.expect("deletes");
    world.change("b", &[("x", "insert", 1, Some("{}"))]);
    world.flush().await;
    assert_eq!(cdc.tick().await.expect("the neighbour has more"), More::Yes);
    assert_eq!(world.catalog.manifest(&namespace(), &name("b")).bases.len(), 1);
    cdc.tick().await.expect_err("only the one that fails is left");
}

/// Four states of each collection, ten seconds ago.
async fn aged(config: Config) -> (World, Cdc) {
    let mut world = World::open(Store::memory(), 1).await;
    let cdc = world.cdc(Config { delta_rows: 1, fold_rows_min: 1, fold_ratio: 0.0, ..config });
    for n in 0..4 {
        for collection in ["a", "b"] {
            world.change(collection, &[(&format!("{n}"), "insert", n, Some("{}"))]);
        }
        world.flush().await;
        cdc.settle(&namespace()).await.expect("settles");
    }
    world.clock.step(10_000_000);
    (world, cdc)
}

async fn done(cdc: &Cdc, duty: Duty) {
    while cdc.upkeep(duty).await.expect("works") == More::Yes {}
}

#[tokio::test]
async fn each_collection_keeps_its_past_as_was_said_of_it() {
    let (world, cdc) = aged(Config::default()).await;
    let nyc = namespace();
    let window = |collection: &str| world.catalog.manifest(&nyc, &name(collection)).window.is_some();
    let seconds = |seconds| Retention { history_window_s: Some(seconds), ..Retention::default() };
    done(&cdc, Duty::Retention).await;
    assert!(!window("a") && !window("b"), "the process keeps everything");
    world.catalog.keep(&nyc, None, seconds(1)).await.expect("said");
    world.catalog.keep(&nyc, Some(&name("b")), seconds(0)).await.expect("said");
    done(&cdc, Duty::Retention).await;
    assert!(window("a") && !window("b"), "the collection wins over the namespace");
    let before = world.catalog.manifest(&nyc, &name("a"));
    world.catalog.keep(&nyc, Some(&name("a")), seconds(0)).await.expect("said");
    world.catalog.keep(&nyc, Some(&name("b")), Retention::default()).await.expect("taken back");
    done(&cdc, Duty::Retention).await;
    assert!(window("b"), "the namespace holds again");
    assert_eq!(world.catalog.manifest(&nyc, &name("a")), before, "a horizon never goes back");
}

#[tokio::test]
async fn clean_up_with_other_numbers_tells_first_what_would_go() {
    let (world, cdc) = aged(Config { grace_s: 0, external_retention_s: 0, ..Config::default() }).await;
    let (nyc, a) = (namespace(), name("a"));
    done(&cdc, Duty::CleanUp).await;
    let before = world.catalog.manifest(&nyc, &a);
    let asked = Retention { history_window_s: Some(1), ..Retention::default() };
    let told = cdc.clean_up((&nyc, &a), asked, Mode::Dry).await.expect("tells");
    assert_eq!(world.catalog.manifest(&nyc, &a), before, "nothing was done");
    assert!(told.changes > 0 && told.files > 0 && told.bytes > 0 && told.exact_from.is_some(), "{told:?}");
    let did = cdc.clean_up((&nyc, &a), asked, Mode::Real).await.expect("does");
    assert_eq!(CleanedUp { deleted: 0, ..did.clone() }, told);
    assert_eq!((did.deleted, did.waiting), (told.files, 0));
    let after = world.catalog.manifest(&nyc, &a);
    assert_eq!(after.deltas.iter().map(|delta| delta.rows).sum::<u64>(), 4 - did.changes);
    let gone = before.files().filter(|file| after.files().all(|kept| kept.path != file.path));
    for file in gone {
        assert!(world.catalog.store().get(&file.path.into()).await.is_err(), "{} is there", file.path);
    }
    assert_eq!(cdc.clean_up((&nyc, &a), asked, Mode::Real).await.expect("does").files, 0);
    assert!(world.catalog.retention(&nyc, &a).is_nothing(), "nothing of it is remembered");
    let too_much = Retention { daily: Some(u64::MAX), ..Retention::default() };
    let refused = cdc.clean_up((&nyc, &a), too_much, Mode::Real).await.expect_err("is refused");
    assert_eq!(refused.code(), "invalid_retention");
}
