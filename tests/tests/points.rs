//! The process dies at every named point of the work behind the doors: no answer changes, and after the next run nothing
//! is left that `verify` complains about.

use tidemark_catalog::publish::{self, How};
use tidemark_cdc::{Duty, point::POINTS};
use tidemark_ingest::Duty::{CleanUp, Compaction};
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::{
    asked::{Order, Rows, clauses, documents, events},
    chance::Chance,
    history::History,
    lake::{Ended, Job, Lake, World},
    oracle::Asked,
};

/// Requests of the history.
const ROUNDS: usize = 40;
/// Between two of them, hours.
const APART_US: i64 = 7 * 3_600_000_000;
/// Every so many requests a state is folded.
const FOLD_EVERY: usize = 5;
/// Questions on each axis.
const PROBES: usize = 6;

#[test]
fn a_death_at_any_point_changes_no_answer_and_leaves_nothing_behind() {
    let points = POINTS.into_iter().chain(tidemark_ingest::point::POINTS).chain(publish::POINTS);
    // Erasing changes answers: see `dropping`.
    let points = points.filter(|point| !point.contains("erase."));
    for (seed, point) in (0..).zip(points) {
        let mut past = Past::new(seed, point);
        past.live();
        past.die_at(point);
    }
}

/// A history of days with work left for every job.
struct Past {
    chance: Chance,
    table: (Namespace, CollectionName),
    world: World,
    lake: Option<Lake>,
    history: History,
}

impl Past {
    fn new(seed: u64, point: &str) -> Self {
        let mut world = World::new(seed, Instant::parse("2026-01-01T00:00:00Z").unwrap());
        let cdc = &mut world.cdc;
        (cdc.fold_rows_min, cdc.bases_max, cdc.grace_s) = (5, 3, 0);
        (cdc.rollup_files, cdc.rollup_rows, cdc.delta_rows) = (2, 64, 1_000_000);
        cdc.external_retention_s = 24 * 3600;
        let ingest = &mut world.ingest;
        (ingest.compact_after_s, ingest.grace_s, ingest.external_retention_s) = (0, 0, 24 * 3600);
        cdc.history_window_s = if point.starts_with("retention") { 2 * 24 * 3600 } else { 0 };
        let table = (Namespace::parse("lab").unwrap(), CollectionName::parse("docs").unwrap());
        let lake = Some(world.start());
        Self { chance: Chance::seeded(seed), table, world, lake, history: History::default() }
    }

    fn lake(&self) -> &Lake {
        self.lake.as_ref().unwrap()
    }

    fn run(&self, job: Job) -> Ended {
        self.lake().run(job, &self.table.0)
    }

    fn append(&mut self) {
        self.world.clock.step(APART_US);
        // Copies of a day ago are new changes; there are none here.
        self.history.jumped();
        let batch = self.history.batch(&self.chance, self.lake().now());
        let receipt = self.lake().send((&self.table.0, &self.table.1), batch.lines.clone()).unwrap();
        self.history.took(batch, receipt.system_time, None);
    }

    fn live(&mut self) {
        for round in 1..=ROUNDS {
            self.append();
            let fold = (round % FOLD_EVERY == 0).then_some(Job::Fold);
            let publish = (round == ROUNDS / 2).then_some(Job::Publish(How::Further));
            for job in [Job::Flush, Job::Delta].into_iter().chain(fold).chain(publish) {
                assert_eq!(self.run(job), Ended::Whole);
            }
        }
        self.append();
        assert_eq!(self.run(Job::Flush), Ended::Whole);
        // Checkpoints are one reason why nothing falls outside of a window.
        if self.world.cdc.history_window_s > 0 {
            assert_eq!(self.run(Job::Upkeep(Duty::Snapshots)), Ended::Whole);
        }
    }

    fn die_at(&mut self, point: &str) {
        let before = self.answers();
        if point.starts_with("events_cleanup") {
            assert_eq!(self.run(Job::Events(Compaction)), Ended::Whole);
        }
        if point == "publish.erased" {
            // A log that nobody can read.
            self.lake().overwrite("lab/events/_delta_log/00000000000000000000.json", "{");
        }
        self.lake().halt_at(point);
        let job = match point.split('.').next().unwrap() {
            "delta" => Job::Delta,
            "fold" => Job::Fold,
            "snapshot" => Job::Upkeep(Duty::Snapshots),
            "checkpoint" => Job::Upkeep(Duty::Checkpoints),
            "rollup" => Job::Upkeep(Duty::RollUp),
            "retention" => Job::Upkeep(Duty::Retention),
            "compact" => Job::Events(Compaction),
            "events_cleanup" => Job::Events(CleanUp),
            "publish" if !["publish.picked", "publish.committed"].contains(&point) => Job::Publish(How::Anew),
            "publish" => Job::Publish(How::Further),
            _ => Job::Upkeep(Duty::CleanUp),
        };
        assert_eq!(self.run(job), Ended::Killed, "{point} was not passed");
        self.lake.take().unwrap().kill();
        self.lake = Some(self.world.start());
        self.compare(&before, point);
        let first = [Job::Delta, Job::Fold, Job::Events(Compaction), Job::Publish(How::Further)];
        for job in first.into_iter().chain(Duty::ALL.map(Job::Upkeep)).chain([Job::Events(CleanUp)]) {
            assert_eq!(self.run(job), Ended::Whole, "{job:?} after {point}");
            self.compare(&before, &format!("{job:?} after {point}"));
        }
        let days = self.lake().events_manifest(&self.table.0).files.len();
        assert!(days < ROUNDS / 2, "{days} events files after {point}");
        assert_eq!(self.lake().complaints(), Vec::<String>::new(), "{point}");
    }

    /// Questions with their answers, which are the oracle's.
    fn answers(&self) -> Vec<(Asked, Rows)> {
        let changes = self.history.oracle.changes();
        let pick = || self.chance.pick(changes).unwrap();
        let system = (0..PROBES).map(|_| Asked { system_time: Some(pick().system_time), valid_time: None });
        let valid = (0..PROBES).map(|_| Asked { system_time: None, valid_time: pick().ts });
        let asked: Vec<Asked> = system.chain(valid).collect();
        let answered = asked.into_iter().map(|asked| (asked, self.ask(&asked)));
        answered.inspect(|(asked, rows)| assert_eq!(rows.as_ref(), Ok(&self.history.rows(asked)))).collect()
    }

    fn ask(&self, asked: &Asked) -> Rows {
        documents(self.lake(), (&self.table.0, &self.table.1), &clauses(asked, Order::SystemFirst))
    }

    /// The same answers; a question outside the window may be refused once there is one.
    fn compare(&self, before: &[(Asked, Rows)], when: &str) {
        for (asked, _) in before {
            let found = events(self.lake(), (&self.table.0, &self.table.1), asked);
            assert_eq!(found, Ok(self.history.events(asked)), "events at {asked:?} {when}");
        }
        let manifest = self.lake().manifest((&self.table.0, &self.table.1));
        for (asked, rows) in before {
            let start = manifest.start(asked.system_time.unwrap_or(Instant::MAX), asked.valid_time);
            if start.is_err() && self.world.cdc.history_window_s > 0 {
                assert!(self.ask(asked).is_err_and(|error| error.contains("was dropped")), "{asked:?} {when}");
            } else {
                assert_eq!(&self.ask(asked), rows, "{asked:?} {when}");
            }
        }
    }
}
