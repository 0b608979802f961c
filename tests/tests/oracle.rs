//! Random histories against the oracle (time.md, section 7): flush, delta, fold, upkeep of the past, restart, crash and
//! clock steps in between; every sampled instant on both axes must give the oracle's rows through real SQL, and the same
//! rows before and after every step behind the doors (C4).

use tidemark_catalog::manifest::{Snapshot, SnapshotKind};
use tidemark_cdc::{Duty, point::POINTS};
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::{
    asked::{Order, Rows, clauses, documents, events, rows},
    chance::Chance,
    halting::Last,
    history::{History, Kind, Seen},
    lake::{Ended, Job, Lake, World},
    oracle::Asked,
    remarks, seeds,
};

mod again;
mod past;
mod two_owners;

/// What variables of the environment begin with.
const NAME: &str = "TIDEMARK_ORACLE";
/// Histories of one run, unless `TIDEMARK_ORACLE_HISTORIES` says another number.
const HISTORIES: u64 = 256;
/// Steps of a history.
const STEPS: usize = 60;
/// Questions of a step that asks.
const QUESTIONS: usize = 3;
/// Questions at the end of a history.
const QUESTIONS_LAST: usize = 8;
/// Questions whose answers are compared before and after a job.
const PROBES: usize = 2;
const DAY_US: u64 = 86_400_000_000;
/// A little more than the window in which copies are refused.
const WINDOW_US: u64 = DAY_US + DAY_US / 24;
/// The farthest the clock steps back at once: ten minutes.
const BACK_US: u64 = 600_000_000;
/// The longest the clock jumps ahead at once, days.
const DAYS_MAX: u64 = 21;
/// What the refusal of a question outside the window says.
const DROPPED: &str = "was dropped";
/// Seeds that failed once.
const KEPT: [u64; 0] = [];

#[test]
fn random_histories_answer_like_the_oracle() {
    let seeds = seeds::of(NAME, &KEPT, HISTORIES);
    let (mut seen, mut asked) = (Seen::default(), 0);
    let run = |seed| {
        let run = Run::new(seed).run();
        again::compare(seed, &run);
        run.counts()
    };
    for (of_one, asked_by_one) in seeds::each(NAME, &seeds, run) {
        seen.add(&of_one);
        asked += asked_by_one;
    }
    let counts = Kind::ALL.map(|kind| format!("{kind:?} {}", seen.0.get(&kind).copied().unwrap_or(0)));
    remarks::remark(&format!(
        "{} histories of {STEPS} steps, {asked} questions, no difference; {}",
        seeds.len(),
        counts.join(", ")
    ));
    let never: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !seen.0.contains_key(kind)).collect();
    assert!(never.is_empty() || seeds.len() < 20, "kinds of cases that never came up: {never:?}");
}

/// One history.
struct Run {
    chance: Chance,
    namespace: Namespace,
    collection: CollectionName,
    world: World,
    lake: Option<Lake>,
    /// A process that lost the lake and does not know.
    away: Option<Lake>,
    history: History,
    asked: u64,
    stepped_back: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let begin = Instant::parse("2026-01-01T00:00:00Z").unwrap();
        let mut world = World::new(seed, begin);
        let chance = Chance::seeded(seed);
        // Some histories fold by themselves all the time, some only when told.
        world.cdc.fold_rows_min = if chance.percent(50) { 5 } else { 1_000_000 };
        // Checkpoints stand four times as far apart as states by number, so they come in histories of many hours.
        world.cdc.checkpoints_max = if chance.percent(80) { 64 } else { 0 };
        world.cdc.delta_rows = if chance.percent(50) { 3 } else { 1_000_000 };
        // Some folds go through many spans of ids.
        world.cdc.fold_memory_bytes = if chance.percent(50) { 1 } else { 128 << 20 };
        // What is not named goes at once: nobody reads while it does.
        world.cdc.grace_s = 0;
        world.cdc.manifests_max = if chance.percent(50) { 3 } else { 4096 };
        world.cdc.rollup_files = 2;
        world.cdc.rollup_rows = 16;
        // Some drop what is older than two days.
        world.cdc.history_window_s = if chance.percent(40) { 2 * 24 * 3600 } else { 0 };
        // Some keep few states, so that questions start from snapshots.
        world.cdc.bases_max = if chance.percent(50) { 2 } else { 64 };
        // Events files are put together as soon as their day is over; some stay small, so that several come out.
        (world.ingest.compact_after_s, world.ingest.grace_s) = (0, 0);
        // Only when told: what becomes due behind a step is flushed when a thread gets to it, and the same seed would be another
        // history.
        world.ingest.flush_age_s = u32::MAX;
        world.ingest.compact_bytes = if chance.percent(50) { 128 << 20 } else { 24 << 10 };
        world.ingest.manifests_max = world.cdc.manifests_max;
        world.log_in_store = chance.percent(50);
        let lake = Some(world.start());
        Self {
            chance,
            namespace: Namespace::parse("lab").unwrap(),
            collection: CollectionName::parse("docs").unwrap(),
            world,
            lake,
            away: None,
            history: History::default(),
            asked: 0,
            stepped_back: false,
        }
    }

    fn run(mut self) -> Self {
        for _ in 0..STEPS {
            self.world.clock.step(i64::try_from(self.chance.below(2_000_000)).unwrap());
            self.step();
            if self.chance.percent(20) {
                self.wake();
            }
        }
        self.ask(QUESTIONS_LAST);
        self.lake.take().unwrap().drain();
        self.lake = Some(self.world.start());
        self.ask(QUESTIONS_LAST);
        let duties = Duty::ALL.map(Job::Upkeep).into_iter().chain(tidemark_ingest::Duty::ALL.map(Job::Events));
        for job in duties {
            assert_eq!(self.lake().run(job, &self.namespace), Ended::Whole);
        }
        self.ask(QUESTIONS_LAST);
        assert_eq!(self.lake().complaints(), Vec::<String>::new());
        self
    }

    /// The cases it met, and how often it asked.
    fn counts(self) -> (Seen, u64) {
        (self.history.seen, self.asked)
    }

    fn lake(&self) -> &Lake {
        self.lake.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..=45 => self.append(),
            46..=53 => self.job(Job::Flush),
            54..=58 => self.job(Job::Delta),
            59..=65 => self.job(Job::Fold),
            66..=67 => {
                self.lake.take().unwrap().drain();
                self.lake = Some(self.world.start());
            }
            68..=69 => self.take_over(),
            70..=71 => self.crash(),
            72..=73 => {
                self.world.clock.step(-i64::try_from(self.chance.below(BACK_US)).unwrap());
                self.stepped_back = true;
            }
            74..=75 => {
                let jump = WINDOW_US + self.chance.below(DAYS_MAX * DAY_US);
                self.world.clock.step(i64::try_from(jump).unwrap());
                self.history.jumped();
            }
            76..=83 => {
                let duty = *self.chance.pick(&Duty::ALL).unwrap();
                self.job(Job::Upkeep(duty));
            }
            84..=87 => {
                let duty = *self.chance.pick(&tidemark_ingest::Duty::ALL).unwrap();
                self.job(Job::Events(duty));
            }
            88..=89 => self.snapshot(),
            _ => self.ask(QUESTIONS),
        }
    }

    fn table(&self) -> (&Namespace, &CollectionName) {
        (&self.namespace, &self.collection)
    }

    fn append(&mut self) {
        let (now, base) = (self.lake().now(), self.lake().base_max_ts(self.table()));
        let batch = self.history.batch(&self.chance, now);
        let receipt = self.lake().send(self.table(), batch.lines.clone());
        let receipt = receipt.unwrap_or_else(|error| panic!("refused: {error}: {}", batch.lines));
        let expected = (batch.new.len() as u64, batch.copies, 0);
        assert_eq!((receipt.accepted, receipt.duplicates, receipt.rejected), expected, "{}", batch.lines);
        let last = self.history.oracle.changes().last().map(|change| change.system_time);
        assert!(last.is_none_or(|last| last < receipt.system_time || batch.new.is_empty()), "system time went back");
        self.history.took(batch, receipt.system_time, base);
        if std::mem::take(&mut self.stepped_back) {
            self.history.seen.count(Kind::ClockStepBack);
        }
    }

    /// In one of three cases the next job dies in its middle; whether that is at a named point.
    fn perhaps_halt(&self) -> bool {
        if self.chance.percent(20) {
            let points = [&POINTS[..], &tidemark_ingest::point::POINTS].concat();
            self.lake().halt_at(self.chance.pick(&points).unwrap());
            return true;
        } else if self.chance.percent(35) {
            let last = if self.chance.percent(50) { Last::Applied } else { Last::NotApplied };
            self.lake().halt_after(i64::try_from(self.chance.below(5)).unwrap(), last);
        }
        false
    }

    /// Does a job, perhaps with a death in its middle: what was answered before it is answered after it.
    fn job(&mut self, job: Job) {
        let (before, events_before) = (self.probes(), self.events_probe());
        let (late, objects) = (self.late_snapshots(), self.lake().objects());
        let manifest = self.lake().manifest(self.table());
        let events_then = self.lake().events_manifest(&self.namespace);
        let is_point = self.perhaps_halt();
        if self.lake().run(job, &self.namespace) == Ended::Killed {
            self.history.seen.count(match job {
                Job::Flush => Kind::CrashInFlush,
                Job::Delta => Kind::CrashInDelta,
                Job::Fold => Kind::CrashInFold,
                Job::Upkeep(Duty::Snapshots) => Kind::CrashInSnapshot,
                Job::Upkeep(Duty::Checkpoints) => Kind::CrashInCheckpoint,
                Job::Events(tidemark_ingest::Duty::Compaction) => Kind::CrashInCompaction,
                Job::Events(tidemark_ingest::Duty::CleanUp) => Kind::CrashInEventsCleanUp,
                Job::Publish(_) | Job::Erase | Job::Upkeep(Duty::CleanUp | Duty::RollUp | Duty::Retention) => {
                    Kind::CrashInCleanUp
                }
            });
            if is_point {
                self.history.seen.count(Kind::CrashAtPoint);
            }
            self.crash();
            self.ask(QUESTIONS);
        }
        let now = self.lake().manifest(self.table());
        if job == Job::Upkeep(Duty::RollUp) && now.deltas.len() < manifest.deltas.len() {
            self.history.seen.count(Kind::RolledUp);
        }
        let events_now = self.lake().events_manifest(&self.namespace);
        if events_now.files.len() < events_then.files.len() {
            self.history.seen.count(Kind::Compacted);
        }
        if events_now.head.orphans_below > events_then.head.orphans_below {
            self.history.seen.count(Kind::EventsCleaned);
        }
        if now.window != manifest.window {
            self.history.seen.count(Kind::Dropped);
        }
        if self.lake().objects() < objects {
            self.history.seen.count(Kind::Deleted);
        }
        (late..self.late_snapshots()).for_each(|_| self.history.seen.count(Kind::LateSnapshot));
        self.check(&before, &format!("{job:?}"));
        if let Some((asked, rows)) = events_before {
            assert_eq!(events(self.lake(), self.table(), &asked), rows, "events at {asked:?} after {job:?}");
        }
    }

    /// A question for the events themselves and its answer.
    fn events_probe(&self) -> Option<(Asked, Rows)> {
        let asked = (!self.history.oracle.changes().is_empty()).then(|| self.question())?;
        Some((asked, events(self.lake(), self.table(), &asked)))
    }

    /// Keeps a past instant under a name; a snapshot that a death prevented is taken afterwards.
    fn snapshot(&mut self) {
        let changes = self.history.oracle.changes();
        let Some(change) = self.chance.pick(changes) else { return };
        let (at, name) = (change.system_time, format!("s{}", self.chance.below(1000)));
        let manifest = self.lake().manifest(self.table());
        let is_kept = manifest.start(at, None).is_ok();
        if !is_kept || manifest.snapshots.iter().any(|taken| taken.name == name) {
            return;
        }
        let before = self.probes();
        let _is_point = self.perhaps_halt();
        if self.lake().snapshot(self.table(), &name, at) == Ended::Killed {
            self.history.seen.count(Kind::CrashInSnapshot);
            self.crash();
            assert_eq!(self.lake().snapshot(self.table(), &name, at), Ended::Whole);
        }
        let manifest = self.lake().manifest(self.table());
        let taken = manifest.snapshots.iter().find(|taken| taken.name == name).unwrap();
        let want = self.history.rows(&Asked { system_time: Some(at), valid_time: None });
        assert_eq!(taken.base.rows, want.len() as u64, "rows of a snapshot at {at}");
        self.check(&before, "a snapshot");
    }

    fn late_snapshots(&self) -> usize {
        let manifest = self.lake().manifest(self.table());
        let is_late =
            |taken: &&Snapshot| taken.taken_at.micros() - taken.instant.micros() > i64::try_from(DAY_US).unwrap();
        manifest.snapshots.iter().filter(|taken| taken.kind == SnapshotKind::Daily).filter(is_late).count()
    }

    /// Questions and their answers.
    fn probes(&self) -> Vec<(Asked, String, Rows)> {
        let asked = (0..PROBES).filter(|_| !self.history.oracle.changes().is_empty()).map(|_| self.question());
        let asked = asked.map(|asked| (asked, clauses(&asked, Order::SystemFirst)));
        asked.map(|(asked, clauses)| (asked, clauses.clone(), self.rows_at(&clauses))).collect()
    }

    /// C4, literally: the same answers.
    fn check(&mut self, before: &[(Asked, String, Rows)], step: &str) {
        for (asked, clauses, rows) in before {
            let now = self.rows_at(clauses);
            if self.is_outside(asked) && now.as_ref().is_err_and(|error| error.contains(DROPPED)) {
                continue;
            }
            assert_eq!(&now, rows, "{clauses} after {step}");
            self.asked += 2;
        }
    }

    /// Whether the question lies outside the window; what lies inside must have a base.
    fn is_outside(&self, asked: &Asked) -> bool {
        let manifest = self.lake().manifest(self.table());
        let is_outside = manifest.start(asked.system_time.unwrap_or(Instant::MAX), asked.valid_time).is_err();
        let Some(window) = manifest.window else {
            assert!(!is_outside, "{asked:?} without a window");
            return false;
        };
        let is_inside = asked.system_time.is_none_or(|t| t >= window.system_time)
            && asked.valid_time.is_none_or(|v| v >= window.valid_time);
        assert!(!(is_inside && is_outside), "{asked:?} lies inside {window:?}");
        is_outside
    }

    fn rows_at(&self, clauses: &str) -> Rows {
        documents(self.lake(), self.table(), clauses)
    }

    fn crash(&mut self) {
        self.lake.take().unwrap().kill();
        self.lake = Some(self.world.start());
    }

    fn ask(&mut self, questions: usize) {
        if self.history.oracle.changes().is_empty() {
            return;
        }
        for _ in 0..questions {
            let asked = self.question();
            self.compare(&asked);
        }
        let asked = self.question();
        assert_eq!(events(self.lake(), self.table(), &asked), Ok(self.history.events(&asked)), "events at {asked:?}");
        self.history.seen.count(Kind::AskedEvents);
        self.asked += 1;
        // Beyond a window there is no whole past to compare.
        if self.lake().manifest(self.table()).window.is_none() {
            self.compare_past();
        }
        self.compare(&Asked { system_time: None, valid_time: None });
    }

    /// Instants of changes, exactly and one microsecond to either side; never above the present or before the beginning.
    fn question(&self) -> Asked {
        let changes = self.history.oracle.changes();
        let near = |at: Instant| at.plus_micros(i64::try_from(self.chance.below(3)).unwrap() - 1);
        let begin = changes[0].system_time;
        let t = self.chance.pick(changes).map(|change| near(change.system_time).clamp(begin, self.lake().now()));
        let v = self.chance.pick(changes).map(|change| near(change.ts.unwrap_or(change.system_time)));
        match self.chance.below(10) {
            0..=3 => Asked { system_time: t, valid_time: None },
            4..=6 => Asked { system_time: None, valid_time: v },
            _ => Asked { system_time: t, valid_time: v },
        }
    }

    fn compare(&mut self, asked: &Asked) {
        let below = self.lake().base_max_ts(self.table()).zip(asked.valid_time).is_some_and(|(max, v)| v < max);
        if below {
            self.history.seen.count(Kind::AskedBelowBase);
        }
        if self.is_outside(asked) {
            let refused = self.rows_at(&clauses(asked, Order::SystemFirst)).expect_err("was dropped");
            assert!(refused.contains(DROPPED), "{refused}");
            self.history.seen.count(Kind::AskedOutside);
            return;
        }
        let manifest = self.lake().manifest(self.table());
        let start = manifest.start(asked.system_time.unwrap_or(Instant::MAX), asked.valid_time).unwrap();
        if start.is_some_and(|start| manifest.snapshots.iter().any(|taken| std::ptr::eq(&raw const taken.base, start)))
        {
            self.history.seen.count(Kind::AskedFromSnapshot);
        }
        if start.is_some_and(|start| start.bound.is_some()) {
            self.history.seen.count(Kind::AskedFromCheckpoint);
        }
        let order = if self.chance.percent(50) { Order::SystemFirst } else { Order::ValidFirst };
        let clauses = clauses(asked, order);
        let from = format!("{}.{} {clauses}", self.namespace, self.collection);
        let want = self.history.rows(asked);
        let got = self.rows_at(&clauses);
        assert_eq!(got.as_deref(), Ok(want.as_slice()), "{clauses}");
        // Counts and extremes come from statistics where they may: they must know of shadows.
        let got = self.lake().ask(&format!("SELECT count(*), min(_id), max(_id), max(n) FROM {from}"));
        let max_n = want.iter().filter_map(|row| row[1].parse::<i64>().ok()).max();
        let text = |row: Option<&[String; 4]>| row.map_or_else(|| "NULL".to_owned(), |row| row[0].clone());
        let max_n = max_n.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
        let want = [want.len().to_string(), text(want.first()), text(want.last()), max_n];
        let got = got.map(|batches| batches.iter().flat_map(rows).collect::<Vec<_>>());
        assert_eq!(got.as_deref(), Ok(&[want][..]), "count and extremes {clauses}");
        self.asked += 2;
    }
}
