//! Days and months without a change: their snapshots are those before them, by their own names, also beyond the window.

use arrow::array::AsArray as _;
use tidemark_cdc::Duty;
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::lake::{Ended, Job, Lake, World};

const DAY_US: i64 = 86_400_000_000;

fn table() -> (Namespace, CollectionName) {
    (Namespace::parse("lab").unwrap(), CollectionName::parse("docs").unwrap())
}

fn run(lake: &Lake, jobs: &[Job]) {
    jobs.iter().for_each(|job| assert_eq!(lake.run(*job, &table().0), Ended::Whole, "{job:?}"));
}

fn change(lake: &Lake, n: u32) {
    let (namespace, collection) = table();
    let line = format!("{{\"op\":\"update\",\"id\":\"a\",\"doc\":{{\"n\":{n}}}}}\n");
    lake.send((&namespace, &collection), line).unwrap();
}

/// Rows of two text columns.
fn texts(lake: &Lake, sql: &str) -> Vec<(String, Option<String>)> {
    let batches = lake.ask(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = |batch: &arrow::array::RecordBatch| {
        let columns = [0, 1].map(|at| batch.column(at).as_string::<i32>().clone());
        let text = |at: usize, row: usize| columns[at].iter().nth(row).flatten().map(str::to_owned);
        (0..batch.num_rows()).map(|row| (text(0, row).unwrap(), text(1, row))).collect::<Vec<_>>()
    };
    batches.iter().flat_map(rows).collect()
}

fn snapshots(lake: &Lake, kind: &str) -> Vec<(String, Option<String>)> {
    let sql =
        format!("SELECT name, derived_from FROM lab.\"docs$snapshots\" WHERE kind = '{kind}' ORDER BY system_time");
    texts(lake, &sql)
}

fn held(names: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    names.iter().map(|(name, from)| ((*name).to_owned(), from.map(str::to_owned))).collect()
}

#[test]
fn a_day_without_changes_holds_what_the_day_before_held() {
    let mut world = World::new(1, Instant::parse("2026-01-30T10:00:00Z").unwrap());
    (world.cdc.fold_rows_min, world.cdc.fold_ratio, world.cdc.delta_rows) = (1, 0.0, 1);
    let taken = [Job::Flush, Job::Delta, Job::Fold, Job::Upkeep(Duty::Snapshots)];
    let lake = world.start();
    change(&lake, 1);
    run(&lake, &taken);
    assert!(snapshots(&lake, "daily").is_empty());
    world.clock.step(3 * DAY_US);
    run(&lake, &taken);
    let expected = [("2026-01-30", None), ("2026-01-31", Some("2026-01-30")), ("2026-02-01", Some("2026-01-30"))];
    assert_eq!(snapshots(&lake, "daily"), held(&expected));
    assert_eq!(lake.manifest((&table().0, &table().1)).snapshots.len(), 2, "one day and one month are stored");

    // A change that is in no file yet ends it: what day it belongs to is known all the same.
    change(&lake, 2);
    world.clock.step(2 * DAY_US);
    assert_eq!(snapshots(&lake, "daily"), held(&expected));
    run(&lake, &taken);
    let all = [&expected[..], &[("2026-02-02", None), ("2026-02-03", Some("2026-02-02"))]].concat();
    assert_eq!(snapshots(&lake, "daily"), held(&all));
    world.clock.step(60 * DAY_US);
    run(&lake, &taken);
    assert_eq!(
        snapshots(&lake, "monthly"),
        held(&[("2026-01", None), ("2026-02", None), ("2026-03", Some("2026-02"))])
    );

    // By its name, by its instant, after a restart, and where the history of its days is gone.
    lake.drain();
    world.cdc.history_window_s = 86_400;
    let lake = world.start();
    change(&lake, 3);
    run(&lake, &taken[..3]);
    world.clock.step(3 * DAY_US);
    run(&lake, &[Job::Upkeep(Duty::Snapshots), Job::Upkeep(Duty::Retention)]);
    assert!(lake.manifest((&table().0, &table().1)).window.is_some());
    for (name, n) in
        [("2026-01-30", 1), ("2026-01-31", 1), ("2026-02-01", 1), ("2026-02-03", 2), ("2026-03", 2), ("2026-03-30", 2)]
    {
        let at = lake.instant_of((&table().0, &table().1), name).unwrap();
        let sql = format!("SELECT _id, CAST(n AS VARCHAR) FROM lab.docs FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'");
        assert_eq!(texts(&lake, &sql), [("a".to_owned(), Some(n.to_string()))], "{name} at {at}");
        assert_eq!(lake.exported((&table().0, &table().1), name), 1, "{name}");
    }
    assert!(lake.instant_of((&table().0, &table().1), "2026-01-29").is_err(), "before the first");
    let between = "SELECT _id, CAST(n AS VARCHAR) FROM lab.docs FOR SYSTEM_TIME AS OF TIMESTAMP '2026-02-02T00:00:00Z'";
    assert!(lake.ask(between).is_err_and(|error| error.contains("was dropped")), "the day of a change");
}
