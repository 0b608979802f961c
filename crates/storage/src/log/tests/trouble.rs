//! Failing syncs, full disks, callers that panic.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{
    sim::{Faults, Luck, SimDisk},
    *,
};

#[test]
fn after_a_failed_sync_nobody_is_acknowledged_and_nothing_is_taken() {
    for failing in 2..8 {
        let disk = SimDisk::new(Faults::default());
        let bench = Bench::new();
        let known = runtime().block_on(async {
            let log = bench.start(small(), &disk).expect("starts");
            disk.set_faults(Faults { failing_sync: Some(disk.syncs() + failing), ..Faults::default() });
            let failed = log.failed();
            let (mut tasks, mut outcomes) = (JoinSet::new(), Vec::new());
            for task in 0..40 {
                let log = log.clone();
                let append = async move { append(&log, batch("nyc", &[(0, 1)], &task.to_string())).await };
                // Each fifth is waited for, so that there are several groups.
                if task % 5 == 4 {
                    outcomes.push(append.await);
                } else {
                    tasks.spawn(append);
                }
            }
            outcomes.extend(tasks.join_all().await);
            tokio::time::timeout(Duration::from_secs(30), failed).await.expect("the server is told");
            let count = |wanted: fn(&LogError) -> bool| {
                outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(wanted)).count()
            };
            assert!(count(|error| matches!(error, LogError::Unknown)) > 0, "the waiters of the group do not know");
            let told = count(|error| matches!(error, LogError::Unknown | LogError::Closed));
            let known: Vec<Instant> = outcomes.iter().flatten().map(|append| append.assigned.system_time).collect();
            assert_eq!(told + known.len(), 40);
            let refused = append(&log, batch("nyc", &[(0, 1)], "late")).await;
            assert!(matches!(refused, Err(LogError::Unknown)));
            let refused = log.close_instant(log.now(), Duration::from_secs(30)).await;
            assert!(refused.is_err() || known.iter().max() == Some(&log.now()));
            log.shut_down().await;
            known
        });
        let after = disk.after_cut(Luck::None, &Ids::seeded(1));
        let found: Vec<Instant> =
            found(small(), &after).expect("opens").iter().map(|append| append.assigned.system_time).collect();
        assert!(known.iter().all(|at| found.contains(at)), "failing sync {failing}: {known:?} {found:?}");
    }
}

/// A process that ended over a failed sync, the next one on the same machine, then a power cut.
#[test]
fn what_recovery_shows_after_a_failed_sync_outlives_a_power_cut() {
    for failing in 2..8 {
        let disk = SimDisk::new(Faults::default());
        runtime().block_on(async {
            let log = Bench::new().start(small(), &disk).expect("starts");
            disk.set_faults(Faults { failing_sync: Some(disk.syncs() + failing), ..Faults::default() });
            for n in 0..failing + 20 {
                if append(&log, batch("nyc", &[(0, 1)], &n.to_string())).await.is_err() {
                    break;
                }
            }
            log.shut_down().await;
        });
        disk.set_faults(Faults::default());
        let shown = found(small(), &disk).expect("opens");
        let after = disk.after_cut(Luck::None, &Ids::seeded(1));
        let left = found(small(), &after).expect("opens");
        let times = |appends: &[Append]| appends.iter().map(|append| append.assigned.system_time).collect::<Vec<_>>();
        assert_eq!(times(&shown), times(&left), "failing sync {failing}");
    }
}

#[test]
fn a_full_disk_refuses_before_anything_is_given_and_recovers() {
    let disk = SimDisk::new(Faults { quota: Some(20_000), ..Faults::default() });
    let bench = Bench::new();
    runtime().block_on(async {
        let log = bench.start(small(), &disk).expect("starts");
        let mut last = None;
        let refused = loop {
            match append(&log, batch("nyc", &[(0, 3)], "x")).await {
                Ok(append) => last = Some(append),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, LogError::OutOfSpace), "{refused}");
        let last = last.expect("some fit");
        for _again in 0..3 {
            let refused = append(&log, batch("nyc", &[(0, 3)], "x")).await;
            assert!(matches!(refused, Err(LogError::OutOfSpace)));
        }
        assert_eq!(log.now(), last.assigned.system_time, "who is refused is given no time");
        // Space comes back with a release.
        log.release(&namespace("nyc"), last.assigned.system_time).expect("releases");
        let next = append(&log, batch("nyc", &[(0, 3)], "y")).await.expect("fits again");
        assert_eq!(next.assigned.positions[0].first, last.assigned.positions[0].last + 1, "no gap");
        log.shut_down().await;
    });
    let found = found(small(), &disk).expect("opens");
    assert!(found.is_sorted_by(|a, b| a.assigned.positions[0].last + 1 == b.assigned.positions[0].first));
}

#[test]
fn a_disk_that_is_full_at_the_start_says_so() {
    let disk = SimDisk::new(Faults { quota: Some(5000), ..Faults::default() });
    assert!(matches!(Bench::new().start(small(), &disk), Err(LogError::OutOfSpace)));
}

#[test]
fn the_floor_of_free_space_refuses_appends_and_not_the_start() {
    let disk = SimDisk::new(Faults { quota: Some(8100), ..Faults::default() });
    runtime().block_on(async {
        let options = LogOptions { free_space_min_percent: 5, ..small() };
        let log = Bench::new().start(options, &disk).expect("starts");
        assert!(matches!(append(&log, batch("nyc", &[(0, 1)], "x")).await, Err(LogError::OutOfSpace)));
        log.shut_down().await;
    });
}

#[test]
fn a_caller_that_panics_under_the_lock_ends_the_log() {
    let disk = SimDisk::new(Faults::default());
    runtime().block_on(async {
        let log = Bench::new().start(small(), &disk).expect("starts");
        append(&log, batch("nyc", &[(0, 1)], "x")).await.expect("durable");
        let panicking = log.clone();
        let panicked = tokio::task::LocalSet::new();
        let task = panicked.run_until(async {
            tokio::task::spawn_local(async move {
                let _never = panicking.append(batch("nyc", &[(0, 1)], "y"), |_assigned| panic!("on purpose")).await;
            })
            .await
        });
        assert!(task.await.is_err_and(|error| error.is_panic()));
        assert!(matches!(append(&log, batch("nyc", &[(0, 1)], "z")).await, Err(LogError::Unknown)));
        tokio::time::timeout(Duration::from_secs(30), log.failed()).await.expect("the server is told");
    });
    assert_eq!(found(small(), &disk).expect("opens").len(), 1);
}

#[test]
fn a_sink_that_panics_ends_the_log() {
    #[derive(Debug)]
    struct Panicking;
    impl Durable for Panicking {
        fn durable(&self, _appends: &[Arc<Append>]) {
            panic!("on purpose");
        }
    }
    let disk = SimDisk::new(Faults::default());
    runtime().block_on(async {
        let log = Bench { sink: Arc::new(Panicking), ..Bench::new() }.start(small(), &disk).expect("starts");
        assert!(matches!(append(&log, batch("nyc", &[(0, 1)], "x")).await, Err(LogError::Unknown)));
        tokio::time::timeout(Duration::from_secs(30), log.failed()).await.expect("the server is told");
        log.shut_down().await;
    });
    assert_eq!(found(small(), &disk).expect("opens").len(), 1);
}
