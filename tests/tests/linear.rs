//! Many clients at once (row R-21 of reliability): what they were told has one order, whatever fails or dies meanwhile.
//!
//! Eight clients append to a collection and read all of it, or its events, while jobs run behind the doors; the store fails
//! now and then; the process dies in the middle, drains, or another one takes the lake over while it lives. What was not
//! acknowledged is sometimes sent again, also while its first attempt is still under way.

use futures::FutureExt as _;
use tidemark_cdc::Duty;
use tidemark_model::{CollectionName, Instant, Namespace};
use tidemark_tests::{
    asked::rows,
    chance::Chance,
    halting::Last,
    lake::{Ended, Job, Lake, World},
    linear::{Counts, History},
    remarks, seeds,
};

const NAME: &str = "TIDEMARK_LINEAR";
/// Histories of one run, unless `TIDEMARK_LINEAR_HISTORIES` says another number.
const HISTORIES: u64 = 25;
/// Seeds that failed once.
const KEPT: [u64; 0] = [];
/// Lives of processes in one history.
const LIVES: usize = 5;
const CLIENTS: u64 = 8;
/// Of one client in one life: 2,000 in a history.
const OPERATIONS: usize = 50;
/// Of the one who works behind the doors.
const JOBS: usize = 12;
/// Writes that a process gets done at most before it dies.
const WRITES_MAX: u64 = 60;
/// Changes of one append, at most.
const ROWS_MAX: u64 = 3;

#[test]
fn what_many_clients_see_at_once_has_one_order() {
    let seeds = seeds::of(NAME, &KEPT, HISTORIES);
    let (mut counts, mut ends) = (Counts::default(), [0; 4]);
    for (of_one, ends_of_one) in seeds::each(NAME, &seeds, |seed| Run::new(seed).run()) {
        counts.add(of_one);
        (0..ends.len()).for_each(|end| ends[end] += ends_of_one[end]);
    }
    let Counts { appends, unknown, unknown_seen, reads } = counts;
    remarks::remark(&format!(
        "{} histories of {CLIENTS} clients have an order: {appends} appends, {unknown} of them without an answer ({unknown_seen} of \
         these stored), {reads} reads; {} processes died, {} drained, {} lost the lake, {} lived with faults of the store",
        seeds.len(),
        ends[0],
        ends[1],
        ends[2],
        ends[3]
    ));
    assert!(seeds.len() < 20 || ends.iter().all(|times| *times > 0) && unknown > 0, "not everything came up");
}

struct Run {
    chance: Chance,
    table: (Namespace, CollectionName),
    world: World,
    history: History,
    /// How lives went: died, drained, lost the lake; and in how many the store failed.
    ends: [u64; 4],
}

impl Run {
    fn new(seed: u64) -> Self {
        let chance = Chance::seeded(seed);
        let mut world = World::new(seed, Instant::parse("2026-01-01T00:00:00Z").unwrap());
        world.log_in_store = chance.percent(50);
        world.cdc.delta_rows = if chance.percent(50) { 30 } else { 1_000_000 };
        world.cdc.fold_rows_min = if chance.percent(50) { 50 } else { 1_000_000 };
        world.ingest.flush_rows = if chance.percent(50) { 100 } else { 1_000_000 };
        let table = (Namespace::parse("lab").unwrap(), CollectionName::parse("docs").unwrap());
        Self { chance, table, world, history: History::default(), ends: [0; 4] }
    }

    fn run(mut self) -> (Counts, [u64; 4]) {
        let mut lake = self.world.start();
        // The tables are there from the beginning.
        let first = self.history.begin_append();
        lake.send(self.table(), lines(first)).expect("the first append");
        self.history.acknowledge(first);
        for _life in 0..LIVES {
            let ended = self.live(&lake);
            self.world.clock.step(i64::try_from(self.chance.below(2_000_000)).unwrap() - 500_000);
            lake = self.next(lake, ended);
        }
        let times = system_times(&lake, self.table());
        let counts = self.history.check(&times).unwrap_or_else(|why| panic!("no order: {why}"));
        self.leaves_nothing_behind(lake);
        (counts, self.ends)
    }

    /// What the dead left goes, now that nobody reads.
    fn leaves_nothing_behind(&mut self, lake: Lake) {
        lake.drain();
        (self.world.cdc.grace_s, self.world.ingest.grace_s) = (0, 0);
        let lake = self.world.start();
        let duties = Duty::ALL.map(Job::Upkeep).into_iter().chain(tidemark_ingest::Duty::ALL.map(Job::Events));
        for job in duties {
            assert_eq!(lake.run(job, &self.table.0), Ended::Whole);
        }
        assert_eq!(lake.complaints(), Vec::<String>::new());
    }

    fn table(&self) -> (&Namespace, &CollectionName) {
        (&self.table.0, &self.table.1)
    }

    /// Everybody at once, until all are done or the process dies.
    fn live(&mut self, lake: &Lake) -> Ended {
        match self.chance.below(10) {
            0..=4 => {
                let last = if self.chance.percent(50) { Last::Applied } else { Last::NotApplied };
                lake.halt_after(i64::try_from(self.chance.below(WRITES_MAX)).unwrap(), last);
            }
            5..=7 => {
                lake.fail_every(2 + self.chance.below(10));
                self.ends[3] += 1;
            }
            _ => {}
        }
        let mut work: Vec<_> = (0..CLIENTS).map(|_client| self.client(lake, self.own_chance()).boxed_local()).collect();
        work.push(self.jobs(lake, self.own_chance()).boxed_local());
        lake.together(work)
    }

    fn own_chance(&self) -> Chance {
        Chance::seeded(self.chance.below(u64::MAX))
    }

    /// The process that follows.
    fn next(&mut self, lake: Lake, ended: Ended) -> Lake {
        match self.chance.below(3) {
            _ if ended == Ended::Killed => {
                self.ends[0] += 1;
                lake.kill();
            }
            0 => {
                self.ends[1] += 1;
                lake.drain();
            }
            1 if self.world.log_in_store => {
                self.ends[2] += 1;
                let next = self.world.start();
                let late = self.history.begin_append();
                // Nobody may read it, so nobody may be told that it is there.
                assert!(
                    lake.send(self.table(), lines(late)).is_err(),
                    "acknowledged by a process that had lost the lake"
                );
                return next;
            }
            _ => lake.kill(),
        }
        self.world.start()
    }

    async fn client(&self, lake: &Lake, chance: Chance) {
        for _ in 0..OPERATIONS {
            for _ in 0..chance.below(4) {
                tokio::task::yield_now().await;
            }
            self.world.clock.step(i64::try_from(chance.below(1000)).unwrap());
            match chance.below(10) {
                0..=6 => self.append(lake, self.history.begin_append()).await,
                7 => {
                    let append = chance.pick(&self.history.unacknowledged()).copied();
                    self.append(lake, append.unwrap_or_else(|| self.history.begin_append())).await;
                }
                _ => self.read(lake, chance.percent(50)).await,
            }
        }
    }

    async fn append(&self, lake: &Lake, append: usize) {
        // What failed is there or is not: nobody knows.
        if let Ok(receipt) = lake.sending(self.table(), lines(append)).await {
            assert_eq!(receipt.accepted + receipt.duplicates, rows_of(append), "{receipt:?}");
            self.history.acknowledge(append);
        }
    }

    async fn read(&self, lake: &Lake, of_events: bool) {
        let (namespace, collection) = self.table();
        let sql = if of_events {
            format!("SELECT document_id FROM {namespace}.events")
        } else {
            format!("SELECT _id FROM {namespace}.{collection}")
        };
        let begun = self.history.begin_read();
        let batches = lake.asking(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut seen: Vec<u64> = Vec::new();
        for [id] in batches.iter().flat_map(rows::<1>) {
            let append = append_of(&id);
            seen.resize(seen.len().max(append + 1), 0);
            seen[append] += 1;
        }
        let whole = |(append, count): (usize, u64)| {
            assert!(count == 0 || count == rows_of(append), "{sql} saw {count} rows of append {append}");
            (count > 0).then_some(append)
        };
        self.history.end_read(begun, seen.into_iter().enumerate().filter_map(whole));
    }

    /// Jobs may fail with the store; what they leave must be right all the same.
    async fn jobs(&self, lake: &Lake, chance: Chance) {
        let jobs = [
            Job::Flush,
            Job::Flush,
            Job::Delta,
            Job::Fold,
            Job::Upkeep(Duty::RollUp),
            Job::Upkeep(Duty::CleanUp),
            Job::Events(tidemark_ingest::Duty::Compaction),
            Job::Events(tidemark_ingest::Duty::CleanUp),
        ];
        for _ in 0..JOBS {
            for _ in 0..chance.below(40) {
                tokio::task::yield_now().await;
            }
            let _outcome = lake.work(*chance.pick(&jobs).unwrap(), &self.table.0).await;
        }
    }
}

/// How many changes an append has.
fn rows_of(append: usize) -> u64 {
    append as u64 % ROWS_MAX + 1
}

/// Documents and events of its own.
fn lines(append: usize) -> String {
    let line =
        |row| format!(r#"{{"op":"insert","id":"{append}.{row}","event_id":"{append}.{row}","doc":{{"n":{append}}}}}"#);
    (0..rows_of(append)).map(line).collect::<Vec<_>>().join("\n")
}

fn append_of(id: &str) -> usize {
    id.split_once('.')
        .and_then(|(append, _row)| append.parse().ok())
        .unwrap_or_else(|| panic!("a strange document: {id}"))
}

/// The system time of every append that is there; each must be there whole, and once.
fn system_times(lake: &Lake, (namespace, _): (&Namespace, &CollectionName)) -> Vec<(usize, i64)> {
    let sql = format!("SELECT document_id, arrow_cast(_system_time, 'Int64') FROM {namespace}.events");
    let batches = lake.ask(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut found: Vec<(String, i64)> =
        batches.iter().flat_map(rows::<2>).map(|[id, time]| (id, time.parse().unwrap())).collect();
    found.sort();
    let twice = found.windows(2).find(|two| two[0].0 == two[1].0);
    assert!(twice.is_none(), "stored twice: {twice:?}");
    let mut times: Vec<(usize, i64)> = found.iter().map(|(id, time)| (append_of(id), *time)).collect();
    times.sort_unstable();
    let rows = times.len() as u64;
    times.dedup();
    assert_eq!(rows, times.iter().map(|(append, _)| rows_of(*append)).sum::<u64>(), "an append is there in part");
    times
}
