//! Random histories against the oracle (time.md, section 7): flush, delta, fold, restart, crash and clock steps in
//! between; every sampled instant on both axes must give the oracle's rows through real SQL.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array as _, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::{
    chance::Chance,
    halting::Last,
    history::{History, Kind, Seen},
    lake::{Ended, Job, Lake, World},
    oracle::Asked,
    remarks,
};

mod past;

/// Histories of one run, unless `TIDEMARK_ORACLE_HISTORIES` says another number.
const HISTORIES: u64 = 200;
/// Steps of a history.
const STEPS: usize = 60;
/// Histories at once.
const THREADS: usize = 2;
/// Questions of a step that asks.
const QUESTIONS: usize = 3;
/// Questions at the end of a history.
const QUESTIONS_LAST: usize = 8;
/// Seeds that failed once.
const KEPT: [u64; 0] = [];

#[test]
fn random_histories_answer_like_the_oracle() {
    let number = |name: &str| remarks::variable(name).map(|text| text.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match number("TIDEMARK_ORACLE_SEED") {
        Some(seed) => vec![seed],
        None => KEPT.into_iter().chain(0..number("TIDEMARK_ORACLE_HISTORIES").unwrap_or(HISTORIES)).collect(),
    };
    let (next, asked) = (AtomicU64::new(0), AtomicU64::new(0));
    let (seen, failed) = (Mutex::new(Seen::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(seed) =
                    usize::try_from(next.fetch_add(1, Ordering::SeqCst)).ok().and_then(|at| seeds.get(at))
                {
                    match catch_unwind(AssertUnwindSafe(|| Run::new(*seed).run())) {
                        Ok(run) => {
                            seen.lock().unwrap().add(&run.history.seen);
                            asked.fetch_add(run.asked, Ordering::SeqCst);
                        }
                        Err(panic) => failed.lock().unwrap().push((*seed, told(panic.as_ref()))),
                    }
                }
            });
        }
    });
    let (seen, failed) = (seen.into_inner().unwrap(), failed.into_inner().unwrap());
    let list: Vec<String> = failed.iter().map(|(seed, what)| format!("TIDEMARK_ORACLE_SEED={seed}: {what}")).collect();
    assert!(failed.is_empty(), "{} of {} histories failed:\n{}", failed.len(), seeds.len(), list.join("\n"));
    let counts = Kind::ALL.map(|kind| format!("{kind:?} {}", seen.0.get(&kind).copied().unwrap_or(0)));
    let asked = asked.into_inner();
    remarks::remark(&format!(
        "{} histories of {STEPS} steps, {asked} questions, no difference; {}",
        seeds.len(),
        counts.join(", ")
    ));
    let never: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !seen.0.contains_key(kind)).collect();
    assert!(never.is_empty() || seeds.len() < 20, "kinds of cases that never came up: {never:?}");
}

fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// One history.
struct Run {
    chance: Chance,
    namespace: Namespace,
    collection: CollectionName,
    world: World,
    lake: Option<Lake>,
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
        world.cdc.delta_rows = if chance.percent(50) { 3 } else { 1_000_000 };
        let lake = Some(world.start());
        Self {
            chance,
            namespace: Namespace::parse("lab").unwrap(),
            collection: CollectionName::parse("docs").unwrap(),
            world,
            lake,
            history: History::default(),
            asked: 0,
            stepped_back: false,
        }
    }

    fn run(mut self) -> Self {
        for _ in 0..STEPS {
            self.world.clock.step(i64::try_from(self.chance.below(2_000_000)).unwrap());
            self.step();
        }
        self.ask(QUESTIONS_LAST);
        self.lake.take().unwrap().drain();
        self.lake = Some(self.world.start());
        self.ask(QUESTIONS_LAST);
        self
    }

    fn lake(&self) -> &Lake {
        self.lake.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..=49 => self.append(),
            50..=57 => self.job(Job::Flush),
            58..=62 => self.job(Job::Delta),
            63..=69 => self.job(Job::Fold),
            70..=73 => {
                self.lake.take().unwrap().drain();
                self.lake = Some(self.world.start());
            }
            74..=77 => self.crash(),
            78..=80 => {
                self.world.clock.step(-i64::try_from(self.chance.below(60_000_000)).unwrap());
                self.stepped_back = true;
            }
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

    /// Does a job, in one of three cases with a death in its middle.
    fn job(&mut self, job: Job) {
        if self.chance.percent(35) {
            let last = if self.chance.percent(50) { Last::Applied } else { Last::NotApplied };
            self.lake().halt_after(i64::try_from(self.chance.below(5)).unwrap(), last);
        }
        if self.lake().run(job, &self.namespace) == Ended::Killed {
            self.history.seen.count(match job {
                Job::Flush => Kind::CrashInFlush,
                Job::Delta => Kind::CrashInDelta,
                Job::Fold => Kind::CrashInFold,
            });
            self.crash();
            self.ask(QUESTIONS);
        }
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
        self.compare_past();
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
        let clause = |axis: &str, at: Option<Instant>| at.map(|at| format!("FOR {axis}_TIME AS OF TIMESTAMP '{at}'"));
        let mut clauses = [clause("SYSTEM", asked.system_time), clause("VALID", asked.valid_time)];
        if self.chance.percent(50) {
            clauses.reverse();
        }
        let clauses: Vec<String> = clauses.into_iter().flatten().collect();
        let clauses = clauses.join(" ");
        let from = format!("{}.{} {clauses}", self.namespace, self.collection);
        let got = self.lake().ask(&format!("SELECT _id, n, CAST(v AS VARCHAR), _doc FROM {from} ORDER BY _id"));
        let want = self.history.rows(asked);
        let got = got.map(|batches| batches.iter().flat_map(rows).collect::<Vec<_>>());
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

fn rows<const N: usize>(batch: &RecordBatch) -> Vec<[String; N]> {
    let options = FormatOptions::new();
    let columns: Vec<_> = batch.columns().iter().map(|it| ArrayFormatter::try_new(it, &options).unwrap()).collect();
    let cell = |column: usize, row: usize| {
        if batch.column(column).is_null(row) { "NULL".to_owned() } else { columns[column].value(row).to_string() }
    };
    (0..batch.num_rows()).map(|row| std::array::from_fn(|column| cell(column, row))).collect()
}
