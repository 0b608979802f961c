//! Tables of files and the run that comes next.

use tidemark_catalog::manifest::Range as Ends;

use super::*;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const PACE: Pace = Pace { files: 2, bytes: 100, after_us: HOUR_US / 4 };

/// A file that begins in an hour after the epoch's first, so many minutes in, and takes a minute.
fn file((hour, minute): (i64, i64), bytes: u64) -> EventsFile {
    let min = Instant::from_micros(hour * HOUR_US + minute * 60_000_000);
    EventsFile {
        path: String::new(),
        planned_on: 0,
        rows: 1,
        bytes,
        sha256: String::new(),
        positions: Vec::new(),
        system_time: Ends { min, max: min.plus_micros(60_000_000) },
        ts: Ends { min, max: min },
        collections: Vec::new(),
    }
}

fn found(files: &[EventsFile], now_us: i64, published: Option<i64>, needed: &[usize]) -> Option<Range<usize>> {
    let needed: Vec<&EventsFile> = needed.iter().map(|at| &files[*at]).collect();
    let scene = Scene { files, now: Instant::from_micros(now_us), published: published.map(Instant::from_micros) };
    due(&scene, &PACE, |file| !needed.iter().any(|needed| std::ptr::eq(*needed, file)))
}

#[test]
fn closed_hours_go_first_and_then_closed_days() {
    let hours = |bytes: &[(i64, u64)]| (0..).zip(bytes).map(|(at, (hour, bytes))| file((*hour, at), *bytes)).collect();
    let late = 3 * DAY_US;
    for (bytes, now, expected) in [
        // The hour is not over, or only just.
        (&[(0, 1), (0, 1)][..], HOUR_US / 2, None),
        (&[(0, 1), (0, 1)], HOUR_US + HOUR_US / 4 - 1, None),
        (&[(0, 1), (0, 1)], HOUR_US + HOUR_US / 4, Some(0..2)),
        // One file of an hour waits for the day.
        (&[(0, 1), (1, 1)], DAY_US, None),
        (&[(0, 1), (1, 1)], DAY_US + HOUR_US, Some(0..2)),
        (&[(0, 1), (1, 1), (1, 1), (2, 1)], 5 * HOUR_US, Some(1..3)),
        // Days stay apart.
        (&[(23, 1), (24, 1)], late, None),
        (&[(23, 1), (24, 1), (25, 1)], late, Some(1..3)),
        // What is large stays, and nothing becomes larger than wanted.
        (&[(0, 51), (0, 51)], late, None),
        (&[(0, 1), (0, 51), (0, 1)], late, None),
        (&[(0, 1), (0, 51), (0, 1), (0, 1)], late, Some(2..4)),
        (&[(0, 50), (0, 50), (0, 1)], late, Some(0..2)),
        (&[(0, 40), (0, 30), (0, 31), (0, 1)], late, Some(0..2)),
        (&[(0, 50), (0, 1), (0, 50)], late, Some(0..2)),
        (&[], late, None),
    ] {
        let files: Vec<EventsFile> = hours(bytes);
        assert_eq!(found(&files, now, None, &[]), expected, "{bytes:?} at {now}");
    }
}

#[test]
fn what_a_collection_still_needs_is_left_alone() {
    let files: Vec<EventsFile> = (0..40).map(|at| file((0, at), 1)).collect();
    for (files, needed, expected) in [
        (&files[..4], &[][..], Some(0..4)),
        // Its neighbours wait with it, while they are few.
        (&files[..4], &[3], None),
        (&files[..20], &[3], Some(4..20)),
        (&files[..20], &[2, 10], None),
        (&files[..40], &[2, 10, 30], Some(11..30)),
    ] {
        assert_eq!(found(files, 3 * DAY_US, None, needed), expected, "{} {needed:?}", files.len());
    }
    // Or when what comes out is large enough to stay.
    let large: Vec<EventsFile> = (0..3).map(|at| file((0, at), 40)).collect();
    assert_eq!(found(&large, 3 * DAY_US, None, &[2]), Some(0..2));
    // A large one that is needed holds nobody up.
    let large: Vec<EventsFile> = [1, 1, 60].iter().zip(0..).map(|(bytes, at)| file((0, at), *bytes)).collect();
    assert_eq!(found(&large, 3 * DAY_US, None, &[2]), Some(0..2));
}

#[test]
fn what_others_have_seen_stays_apart_from_what_they_have_not() {
    let files: Vec<EventsFile> = (0..4).map(|at| file((0, at * 10), 1)).collect();
    let end = |at: usize| Some(files[at].system_time.max.micros());
    for (published, expected) in [(None, Some(0..4)), (end(3), Some(0..4)), (end(1), Some(0..2)), (end(0), Some(1..4))]
    {
        assert_eq!(found(&files, 3 * DAY_US, published, &[]), expected, "{published:?}");
    }
    assert_eq!(found(&files[..2], 3 * DAY_US, end(0), &[]), None);
}

/// However many files there are, compaction comes to an end, and no run is too long.
#[test]
fn it_ends_with_few_files() {
    let mut files: Vec<EventsFile> = (0..1000).map(|at| file((at / 50, at % 50), 1 + at.unsigned_abs() % 7)).collect();
    let mut runs = 0;
    while let Some(run) = found(&files, 3 * DAY_US, None, &[]) {
        assert!(run.len() >= 2 && run.len() <= FILES_MAX, "{run:?}");
        let mut merged = files[run.start].clone();
        merged.bytes = files[run.clone()].iter().map(|file| file.bytes).sum();
        assert!(merged.bytes <= PACE.bytes);
        files.splice(run, [merged]);
        runs += 1;
    }
    assert!(files.len() <= 2 * 4000 / 100 && runs < 100, "{} files after {runs} runs", files.len());
}
