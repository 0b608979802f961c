//! Appending, closing, releasing, starting again: on a real directory.

use std::time::Duration;

use tidemark_model::{CollectionName, Positions, schema::SchemaChange};
use tokio::task::JoinSet;

use super::*;
use crate::log::{
    KeyRecord, Pressure,
    group::GroupBuffer,
    medium::{Advanced, Medium, Prepared},
};

const SOON: Duration = Duration::from_secs(30);

fn local(directory: &tempfile::TempDir) -> LogOptions {
    LogOptions { directory: directory.path().join("a/log"), ..small() }
}

fn open(options: &LogOptions) -> Result<(Recovery, Vec<Append>), LogError> {
    let mut recovery = Recovery::open(options.clone())?;
    let found = std::iter::from_fn(|| recovery.next_append().transpose()).collect::<Result<_, _>>()?;
    Ok((recovery, found))
}

fn start(bench: &Bench, recovery: Recovery) -> Log {
    recovery.start(BTreeMap::new(), Instant::MIN, bench.deps()).expect("starts")
}

fn positions(append: &Append) -> Vec<(u16, i64, i64)> {
    append.assigned.positions.iter().map(|run: &Positions| (run.shard.0, run.first, run.last)).collect()
}

fn created(assigned: &crate::log::Assigned) -> Vec<SchemaChange> {
    vec![SchemaChange::Created {
        collection: CollectionName::parse("flights").expect("a name"),
        directory: "flights".into(),
        shard: Shard(3),
        created_at: assigned.system_time,
    }]
}

#[test]
fn what_went_in_comes_back_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        let first = log.append(batch("nyc", &[(0, 2), (3, 5), (7, 0)], "a"), created).await.expect("durable");
        assert_eq!(positions(&first), [(0, 0, 1), (3, 0, 4)]);
        let key = KeyRecord { key: 7, body: 8, receipt: b"{}".as_slice().into() };
        let second = append(&log, LogBatch { key: Some(key), ..batch("nyc", &[], "b") }).await.expect("durable");
        let third = append(&log, batch("nyc", &[(3, 1)], "c")).await.expect("durable");
        assert_eq!((positions(&second), positions(&third)), (vec![], vec![(3, 5, 5)]));
        assert_eq!(log.closed(), third.assigned.system_time);
        log.shut_down().await;
        assert!(matches!(append(&log, batch("nyc", &[(0, 1)], "d")).await, Err(LogError::Closed)));

        let (_recovery, found) = open(&options).expect("opens");
        for (found, appended) in found.iter().zip([&first, &second, &third]) {
            assert_eq!((&found.namespace, &found.assigned), (&appended.namespace, &appended.assigned));
            assert_eq!((&found.changes, &found.key), (&appended.changes, &appended.key));
            assert_eq!((&found.rows, found.encoded_bytes), (&appended.rows, appended.encoded_bytes));
        }
        assert_eq!((found.len(), found[0].changes.len()), (3, 1));
    });
}

#[test]
fn times_and_positions_go_on_when_the_clock_steps_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    let mut last = Instant::MIN;
    for life in 0..4 {
        runtime().block_on(async {
            let log = start(&bench, open(&options).expect("opens").0);
            for n in 0..3 {
                let append = append(&log, batch("nyc", &[(1, 2)], "x")).await.expect("durable");
                let first = (life * 3 + n) * 2;
                assert_eq!(positions(&append), [(1, first, first + 1)]);
                assert!(append.assigned.system_time > last);
                last = append.assigned.system_time;
                bench.clock.step(-5_000_000);
            }
            log.shut_down().await;
        });
    }
    // What committed manifests tell counts too.
    runtime().block_on(async {
        let (recovery, _found) = open(&options).expect("opens");
        let next = BTreeMap::from([((namespace("nyc"), Shard(1)), 1000), ((namespace("bos"), Shard(0)), 5)]);
        let above = last.plus_micros(1_000_000);
        let log = recovery.start(next, above, bench.deps()).expect("starts");
        assert_eq!((log.closed(), log.now()), (above, above));
        let append = append(&log, batch("nyc", &[(1, 1)], "x")).await.expect("durable");
        assert_eq!((append.assigned.system_time, positions(&append)), (above.plus_micros(1), vec![(1, 1000, 1000)]));
    });
}

#[test]
fn instants_close_and_stay_closed_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        let appended = append(&log, batch("nyc", &[(0, 1)], "x")).await.expect("durable");
        assert_eq!(appended.assigned.system_time, NOON);
        log.close_instant(NOON, Duration::ZERO).await.expect("closed already");
        // The future cannot be closed.
        let refused = log.close_instant(NOON.plus_micros(1), SOON).await;
        assert!(matches!(refused, Err(LogError::NotClosed(at)) if at == NOON.plus_micros(1)));
        // The present can: with a horizon, which serves the next seconds too.
        bench.clock.step(1_000_000);
        log.close_instant(log.now(), SOON).await.expect("closes");
        assert_eq!(log.closed(), NOON.plus_micros(1_000_000));
        bench.clock.step(9_000_000);
        log.close_instant(log.now(), Duration::from_secs(1)).await.expect("closes under the same horizon");
        let closed = log.closed();
        // A clock that steps back gives nothing at or below what is closed.
        bench.clock.set(NOON);
        assert_eq!(log.now(), closed);
        let above = append(&log, batch("nyc", &[(0, 1)], "y")).await.expect("durable");
        assert_eq!(above.assigned.system_time, closed.plus_micros(1));
        log.shut_down().await;

        let log = start(&bench, open(&options).expect("opens").0);
        assert!(log.closed() > closed.plus_micros(1), "the horizon lies ahead");
        let horizon = log.closed();
        let above = append(&log, batch("nyc", &[(0, 1)], "z")).await.expect("durable");
        assert_eq!(above.assigned.system_time, horizon.plus_micros(1));
    });
}

/// Holds every group back until it is let go.
#[derive(Debug)]
struct Gate<M> {
    inside: M,
    passes: std::sync::mpsc::Receiver<()>,
    arrived: std::sync::mpsc::SyncSender<()>,
    groups: Arc<Mutex<u32>>,
}

impl<M: Medium> Medium for Gate<M> {
    fn prepare(&mut self, bytes: u64) -> std::io::Result<Prepared> {
        self.inside.prepare(bytes)
    }

    fn advance(&mut self, first: &mut GroupBuffer) -> std::io::Result<Advanced> {
        self.inside.advance(first)
    }

    fn commit(&mut self, group: &mut GroupBuffer) -> std::io::Result<Option<Advanced>> {
        let _nobody_cares = self.arrived.try_send(());
        let _let_go_for_good = self.passes.recv();
        *self.groups.lock().expect("no panic") += 1;
        self.inside.commit(group)
    }
}

struct Gated {
    log: Log,
    pass: std::sync::mpsc::SyncSender<()>,
    arrived: std::sync::mpsc::Receiver<()>,
    groups: Arc<Mutex<u32>>,
}

fn gated(bench: &Bench, options: LogOptions) -> Gated {
    let (pass, passes) = std::sync::mpsc::sync_channel(100);
    let (arrive, arrived) = std::sync::mpsc::sync_channel(100);
    let groups = Arc::new(Mutex::new(0));
    let recovery = Recovery::open(options).expect("opens");
    let counted = Arc::clone(&groups);
    let gate = |inside| Box::new(Gate { inside, passes, arrived: arrive, groups: counted }) as Box<dyn Medium>;
    let log = recovery.start_with(BTreeMap::new(), Instant::MIN, bench.deps(), gate).expect("starts");
    Gated { log, pass, arrived, groups }
}

#[test]
fn who_waits_shares_a_sync_and_is_woken_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = Arc::new(Listener::default());
    let bench = Bench { sink: listener.clone(), ..Bench::new() };
    let Gated { log, pass, arrived, groups } =
        gated(&bench, LogOptions { segment_bytes: 1 << 20, ..local(&directory) });
    runtime().block_on(async {
        let acks = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for task in 0..20 {
            let (log, acks, listener) = (log.clone(), Arc::clone(&acks), Arc::clone(&listener));
            tasks.spawn(async move {
                let append = append(&log, batch("nyc", &[(0, 1)], &task.to_string())).await.expect("durable");
                let at = append.assigned.system_time;
                assert!(log.closed() >= at && listener.times().contains(&at), "told and closed before the ack");
                acks.lock().expect("no panic").push(at);
            });
            tokio::task::yield_now().await;
            if task == 0 {
                arrived.recv().expect("the first group");
            }
        }
        while log.now() < NOON.plus_micros(19) {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.closed(), Instant::MIN, "nothing is closed before its sync");
        // Closing waits for what is in flight, and no longer than it may.
        let refused = log.close_instant(NOON.plus_micros(3), Duration::from_millis(10)).await;
        assert!(matches!(refused, Err(LogError::NotClosed(_))));
        pass.send(()).expect("alive");
        pass.send(()).expect("alive");
        log.close_instant(NOON.plus_micros(3), SOON).await.expect("closes");
        tasks.join_all().await;
        let expected: Vec<Instant> = (0..20).map(|n| NOON.plus_micros(n)).collect();
        assert_eq!((&*acks.lock().expect("no panic"), &listener.times()), (&expected, &expected));
        assert_eq!(*groups.lock().expect("no panic"), 2, "one append alone, nineteen together");
        drop(pass);
        log.shut_down().await;
    });
}

#[test]
fn the_queue_and_the_append_have_a_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = LogOptions { queue_bytes_max: 4000, ..local(&directory) };
    let Gated { log, pass, arrived, .. } = gated(&Bench::new(), options);
    runtime().block_on(async {
        let large = append(&log, batch("nyc", &[(0, 5000)], "x")).await;
        assert!(matches!(large, Err(LogError::TooLarge { limit: 4000, .. })));
        let mut tasks = JoinSet::new();
        for _append in 0..30 {
            let log = log.clone();
            tasks.spawn(async move { append(&log, batch("nyc", &[(0, 1)], "x")).await.map(drop) });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        arrived.recv().expect("a group");
        let given = log.now().micros() - NOON.micros() + 1;
        assert!((1..30).contains(&given), "{given} of 30 appends were given a place while the queue was full");
        drop(pass);
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        log.shut_down().await;
    });
}

#[test]
fn what_is_released_is_deleted_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        let quiet = append(&log, batch("quiet", &[(0, 1)], "x")).await.expect("durable");
        let mut last = Instant::MIN;
        while log.pressure().segments < 4 {
            last = append(&log, batch("busy", &[(0, 9)], "y")).await.expect("durable").assigned.system_time;
        }
        log.release(&namespace("busy"), last).expect("releases");
        let Pressure { segments, oldest, bytes } = log.pressure();
        assert_eq!((segments, oldest), (4, vec![namespace("quiet")]), "the quiet one keeps the oldest, and so all");
        assert!(bytes > 8000);
        log.release(&namespace("quiet"), quiet.assigned.system_time.plus_micros(-1)).expect("releases");
        assert_eq!(log.pressure().segments, 4, "released below its append");
        log.release(&namespace("quiet"), quiet.assigned.system_time).expect("releases");
        assert_eq!(log.pressure().segments, 1);
        let kept = append(&log, batch("busy", &[(0, 1)], "z")).await.expect("durable");
        log.shut_down().await;
        let (recovery, found) = open(&options).expect("opens");
        assert_eq!(found.last().map(|append| &append.assigned), Some(&kept.assigned));
        // Sequences go on although the segments that held them are gone.
        let log = start(&bench, recovery);
        let next = append(&log, batch("busy", &[(0, 1)], "z")).await.expect("durable");
        assert_eq!(next.assigned.positions[0].first, kept.assigned.positions[0].last + 1);
    });
}

#[test]
fn an_idle_log_shrinks_and_keeps_its_horizon() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        let append = append(&log, batch("nyc", &[(0, 40)], "x")).await.expect("durable");
        bench.clock.step(1_000_000);
        log.close_instant(log.now(), SOON).await.expect("closes");
        let horizon = log.closed().plus_micros(10_000_000);
        log.release(&namespace("nyc"), append.assigned.system_time).expect("releases");
        while !log.pressure().oldest.is_empty() || number_of_segments(&options) != (1, 2) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        log.shut_down().await;
        let (recovery, found) = open(&options).expect("opens");
        assert!(found.is_empty());
        assert_eq!(start(&bench, recovery).closed(), horizon);
    });
}

/// However few bytes they are: who begins with this log again may do so long after.
#[test]
fn an_orderly_end_leaves_no_appends_that_are_needed_no_more() {
    for all in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let (bench, options) = (Bench::new(), LogOptions { segment_bytes: 1 << 20, ..local(&directory) });
        runtime().block_on(async {
            let log = start(&bench, open(&options).expect("opens").0);
            let first = append(&log, batch("nyc", &[(0, 1)], "x")).await.expect("durable");
            let last = append(&log, batch("nyc", &[(0, 1)], "y")).await.expect("durable");
            bench.clock.step(1_000_000);
            log.close_instant(log.now(), SOON).await.expect("closes");
            let horizon = log.closed();
            let up_to = if all { &last } else { &first };
            log.release(&namespace("nyc"), up_to.assigned.system_time).expect("releases");
            log.shut_down().await;
            let (recovery, found) = open(&options).expect("opens");
            assert_eq!(found.len(), if all { 0 } else { 2 });
            assert_eq!(number_of_segments(&options).0, 1);
            assert!(start(&bench, recovery).closed() >= horizon, "the horizon goes along");
        });
    }
}

/// How many segments there are, and the number of the first.
fn number_of_segments(options: &LogOptions) -> (usize, u32) {
    let names = std::fs::read_dir(&options.directory).expect("a directory");
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| crate::log::segments::number(&name)).collect();
    numbers.sort_unstable();
    (numbers.len(), numbers.first().copied().unwrap_or(0))
}

#[test]
fn one_process_holds_a_log_and_one_lake_owns_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        assert!(matches!(Recovery::open(options.clone()), Err(LogError::InUse { .. })));
        log.shut_down().await;
        let other = LogOptions { cluster: "pond".into(), ..options.clone() };
        let refused = Recovery::open(other);
        assert!(matches!(refused, Err(LogError::Foreign { found, wanted, .. }) if (found.as_str(), wanted.as_str()) == ("lake", "pond")));
        assert!(Recovery::open(options.clone()).is_ok());
    });
}

#[test]
fn appends_larger_than_a_segment_get_one_of_their_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    runtime().block_on(async {
        let log = start(&bench, open(&options).expect("opens").0);
        let mut times = Vec::new();
        for count in [1, 3000, 1, 6000, 2] {
            let append = append(&log, batch("nyc", &[(0, count)], "x")).await.expect("durable");
            times.push(append.assigned.system_time);
        }
        log.shut_down().await;
        let (_recovery, found) = open(&options).expect("opens");
        assert_eq!(found.iter().map(|append| append.assigned.system_time).collect::<Vec<_>>(), times);
    });
}

#[test]
fn dropping_the_last_handle_writes_what_is_queued() {
    let directory = tempfile::tempdir().expect("a directory");
    let (bench, options) = (Bench::new(), local(&directory));
    let Gated { log, pass, arrived, .. } = gated(&bench, options.clone());
    runtime().block_on(async {
        let mut waiting = Box::pin(append(&log, batch("nyc", &[(0, 1)], "x")));
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        arrived.recv().expect("the group");
    });
    drop((log, pass));
    let found = loop {
        match open(&options) {
            Err(LogError::InUse { .. }) => std::thread::sleep(Duration::from_millis(2)),
            opened => break opened.expect("opens").1,
        }
    };
    assert_eq!(found.len(), 1, "nobody waits for it, but it was given its place");
}

#[test]
fn what_it_does_is_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = prometheus::Registry::new();
    let deps = LogDeps { metrics: registry.clone(), ..Bench::new().deps() };
    runtime().block_on(async {
        let (recovery, _found) = open(&local(&directory)).expect("opens");
        let log = recovery.start(BTreeMap::new(), Instant::MIN, deps).expect("starts");
        for _append in 0..3 {
            append(&log, batch("nyc", &[(0, 1)], "x")).await.expect("durable");
        }
        log.shut_down().await;
    });
    let families = registry.gather();
    let value = |name: &str| {
        let family = families.iter().find(|family| family.name() == format!("tidemark_log_{name}"));
        let metric = family.unwrap_or_else(|| panic!("{name} is measured")).get_metric()[0].clone();
        let histogram = metric.get_histogram();
        if histogram.get_sample_count() > 0 { histogram.get_sample_sum() } else { metric.get_gauge().get_value() }
    };
    assert_eq!(value("group_appends"), 3.0);
    assert!(value("group_bytes") > 3000.0 && value("sync_seconds") > 0.0);
    assert_eq!((value("segments"), value("segment_bytes"), value("in_flight_bytes")), (1.0, 8000.0, 0.0));
}
