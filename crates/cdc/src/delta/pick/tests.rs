//! What `pick` promises, as tables of input and expectation.

use tidemark_catalog::manifest::{CollectionRows, FORMAT, Head, Range};
use tidemark_model::{Mark, Positions};

use super::*;

const SHARD: Shard = Shard(3);

fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).expect("a name")
}

/// An events file with rows of the collections `a` and `b`, both of one shard: positions from, to; rows of `a`.
fn file(at: i64, (first, last): (Seq, Seq), a: Option<(u64, Seq)>) -> EventsFile {
    let own = |collection: &str, rows, seq| CollectionRows {
        collection: name(collection),
        rows,
        seq: Range { min: first, max: seq },
        schema_id: 1,
    };
    EventsFile {
        path: format!("events/{at}"),
        planned_on: 0,
        rows: 1,
        bytes: 1,
        sha256: String::new(),
        positions: vec![Positions { shard: Shard(9), first: 0, last: 99 }, Positions { shard: SHARD, first, last }],
        system_time: Range { min: Instant::from_micros(at), max: Instant::from_micros(at + 5) },
        ts: Range { min: Instant::from_micros(0), max: Instant::from_micros(0) },
        collections: a.map(|(rows, seq)| own("a", rows, seq)).into_iter().chain([own("b", 1, last)]).collect(),
    }
}

fn events(files: Vec<EventsFile>, mark: Seq) -> EventsManifest {
    let head = Head {
        format: FORMAT,
        version: 7,
        epoch: 1,
        put_id: String::new(),
        committed_at: Instant::from_micros(0),
        orphans_below: 0,
    };
    let system_time = Instant::from_micros(1000);
    EventsManifest { head, mark: Mark::of(SHARD, mark), system_time, files, sidecars: Vec::new(), erased: None }
}

fn four() -> EventsManifest {
    let files = vec![
        file(10, (0, 9), Some((5, 8))),
        file(20, (10, 19), Some((5, 19))),
        file(30, (20, 29), None),
        file(40, (30, 39), Some((6, 37))),
    ];
    events(files, 42)
}

#[test]
fn a_backlog_names_files_after_the_mark_only() {
    let events = four();
    for (mark, files, rows) in [(-1, 3, 16), (7, 3, 16), (8, 2, 11), (19, 1, 6), (37, 0, 0)] {
        let backlogs = backlogs(&events, |found| (*found == name("a")).then_some(mark));
        let backlog = backlogs.get(&name("a"));
        assert_eq!(backlog.map_or((0, 0), |b| (b.files.len(), b.rows)), (files, rows), "{mark}");
        assert!(!backlogs.contains_key(&name("b")), "a collection that is not there is left alone");
    }
}

#[test]
fn a_plan_ends_at_a_file_or_at_the_end_of_the_table() {
    let events = four();
    let backlogs = backlogs(&events, |_| Some(-1));
    let backlog = &backlogs[&name("a")];
    let all = u64::MAX;
    for ((rows_max, bytes_max), files, mark, system_time) in [
        ((0, all), 1, 9, 15),
        ((9, all), 1, 9, 15),
        ((10, all), 2, 19, 25),
        ((15, all), 2, 19, 25),
        ((16, all), 3, 42, 1000),
        ((all, 0), 1, 9, 15),
        ((all, 2), 2, 19, 25),
        ((all, 3), 3, 42, 1000),
    ] {
        let pace = Pace { rows: 0, files: 0, age_us: 0, rows_max, bytes_max };
        let plan = plan(&events, SHARD, backlog, &pace);
        let found = (plan.files.len(), plan.mark, plan.system_time.micros());
        assert_eq!(found, (files, mark, system_time), "{rows_max} {bytes_max}");
    }
}

#[test]
fn rows_files_or_age_make_a_delta_due() {
    let events = four();
    let backlogs = backlogs(&events, |_| Some(-1));
    let backlog = &backlogs[&name("a")];
    let pace = Pace { rows: 17, files: 4, age_us: 100, rows_max: 0, bytes_max: 0 };
    let now = Instant::from_micros(109);
    assert!(!pace.is_due(backlog, now) && pace.is_due(backlog, Instant::from_micros(110)));
    assert!(Pace { rows: 16, ..pace }.is_due(backlog, now) && Pace { files: 3, ..pace }.is_due(backlog, now));
}
