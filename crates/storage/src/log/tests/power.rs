//! H1 under power cuts: whatever was acknowledged is found again, whole and in order; nothing is acknowledged early.
//!
//! A history is several lives of one log on a simulated disk. Each life appends, closes instants and releases until the
//! power goes at a random step; the next one finds any part of what was not synced. The rules are checked from outside,
//! and a disk that lies about its syncs must break them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidemark_model::{Ids, Instant, Seq, Shard, clock::ManualClock};
use tokio::task::JoinSet;

use super::{
    Bench, batch, namespace,
    sim::{Faults, Luck, SimDisk},
};
use crate::log::{Append, Durable, KeyRecord, Log, LogOptions, Recovery};

const HISTORIES: u64 = 500;
const LIVES: u64 = 3;
const NAMESPACES: [&str; 2] = ["nyc", "bos"];

/// What is compared of an append.
type Told = (String, Vec<(u16, Seq, Seq)>, Option<KeyRecord>, arrow::array::RecordBatch);

fn told(append: &Append) -> Told {
    let positions = append.assigned.positions.iter().map(|run| (run.shard.0, run.first, run.last));
    (append.namespace.to_string(), positions.collect(), append.key.clone(), append.rows.clone())
}

/// What the outside world knows.
#[derive(Debug, Default)]
struct World {
    /// Acknowledged or read after a restart: must stay for ever, unless released.
    known: BTreeMap<Instant, Told>,
    released: BTreeMap<String, Instant>,
    closed: Option<Instant>,
}

impl World {
    fn next(&self) -> BTreeMap<(tidemark_model::Namespace, Shard), Seq> {
        let mut next = BTreeMap::new();
        for (at, (name, positions, ..)) in &self.known {
            if self.released.get(name) >= Some(at) {
                for (shard, _first, last) in positions {
                    next.insert((namespace(name), Shard(*shard)), last + 1);
                }
            }
        }
        next
    }

    /// An append was acknowledged or found.
    fn learn(&mut self, append: &Append) -> Result<(), String> {
        let at = append.assigned.system_time;
        let told = told(append);
        match self.known.get(&at) {
            Some(known) if *known != told => Err(format!("{at} changed")),
            Some(_) => Ok(()),
            None if Some(at) <= self.closed => Err(format!("{at} appeared below the closed {:?}", self.closed)),
            None => {
                self.known.insert(at, told);
                Ok(())
            }
        }
    }

    fn check_found(&mut self, found: &[Append]) -> Result<(), String> {
        if !found.is_sorted_by(|a, b| a.assigned.system_time < b.assigned.system_time) {
            return Err("system times do not ascend".to_owned());
        }
        found.iter().try_for_each(|append| self.learn(append))?;
        for (at, (name, ..)) in &self.known {
            let is_released = self.released.get(name) >= Some(at);
            if !is_released && !found.iter().any(|append| append.assigned.system_time == *at) {
                return Err(format!("the append of {at} is lost"));
            }
        }
        let mut next: BTreeMap<(&str, u16), Seq> = BTreeMap::new();
        for (at, (name, positions, ..)) in &self.known {
            for (shard, first, last) in positions {
                let expected = next.insert((name, *shard), last + 1).unwrap_or(0);
                if expected != *first {
                    return Err(format!("{name}/{shard} has a gap at {at}: {first} instead of {expected}"));
                }
            }
        }
        Ok(())
    }
}

/// Looks, whenever it is told of appends, whether a power cut right now would lose them.
#[derive(Debug)]
struct Suspicious {
    disk: SimDisk,
    early: Mutex<Option<String>>,
}

impl Durable for Suspicious {
    fn durable(&self, appends: &[Arc<Append>]) {
        let after = self.disk.after_cut(Luck::None, &Ids::seeded(0));
        let found = recover(&after);
        for append in appends {
            let is_found = found.as_ref().is_ok_and(|(_recovery, found)| {
                found.iter().any(|found| found.assigned == append.assigned && found.namespace == append.namespace)
            });
            if !is_found {
                *self.early.lock().expect("no panic") = Some(format!("{:?} was told before its sync", append.assigned));
            }
        }
    }
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 6000,
        group_bytes_max: 3000,
        free_space_min_percent: 0,
        ..LogOptions::new("sim".into(), "lake".into(), 1)
    }
}

fn recover(disk: &SimDisk) -> Result<(Recovery, Vec<Append>), String> {
    let mut recovery = Recovery::open_on(options(), Arc::new(disk.clone()), None).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    while let Some(append) = recovery.next_append().map_err(|error| error.to_string())? {
        found.push(append);
    }
    Ok((recovery, found))
}

async fn append_some(log: Log, chance: Arc<Ids>, world: Arc<Mutex<World>>) -> Result<(), String> {
    for _append in 0..12 {
        let name = NAMESPACES[usize::try_from(chance.random() % 2).expect("small")];
        let counts: Vec<(u16, u32)> =
            (0..3).map(|shard| (shard, u32::try_from(chance.random() % 4).expect("small"))).collect();
        let mut batch = batch(name, &counts, &format!("{:x}", chance.random()));
        batch.key = chance.random().is_multiple_of(3).then(|| KeyRecord {
            key: u128::from(chance.random()),
            body: 1,
            receipt: b"receipt".as_slice().into(),
        });
        let Ok(append) = log.append(batch, |_assigned| Vec::new()).await else { return Ok(()) };
        if log.closed() < append.assigned.system_time {
            return Err("the closed instant moved after the ack".to_owned());
        }
        world.lock().expect("no panic").learn_acked(&append)?;
        act(&log, &chance, &world, &append).await?;
    }
    Ok(())
}

async fn act(log: &Log, chance: &Ids, world: &Mutex<World>, append: &Append) -> Result<(), String> {
    match chance.random() % 6 {
        0 => {
            let at = log.now();
            if log.close_instant(at, Duration::from_secs(20)).await.is_ok() {
                let mut world = world.lock().expect("no panic");
                world.closed = world.closed.max(Some(at));
            }
        }
        1 => {
            let name = append.namespace.to_string();
            let mut known = world.lock().expect("no panic");
            // What is released was committed elsewhere before, so it was told; it may be gone from now on.
            let until = known.known.iter().filter(|(_at, told)| told.0 == name).map(|(at, _told)| *at);
            let until = until.take_while(|at| *at <= append.assigned.system_time).last();
            let until = until.unwrap_or(append.assigned.system_time);
            let released = known.released.entry(name).or_insert(until);
            *released = until.max(*released);
            drop(known);
            let _power_may_be_off = log.release(&append.namespace, until);
        }
        _ => {}
    }
    Ok(())
}

impl World {
    /// Acks come in no order between tasks, and an instant may have been closed over an append whose ack is on its way.
    fn learn_acked(&mut self, append: &Append) -> Result<(), String> {
        let closed = self.closed.take();
        let outcome = self.learn(append);
        self.closed = closed;
        outcome
    }
}

/// One history; says which rule was broken.
fn history(seed: u64, lies: bool) -> Result<(), String> {
    let chance = Arc::new(Ids::seeded(u128::from(seed)));
    let world = Arc::new(Mutex::new(World::default()));
    let clock = Arc::new(ManualClock::at(Instant::from_micros(1_700_000_000_000_000)));
    let mut disk = SimDisk::new(Faults::default());
    for life in 0..LIVES {
        let cut_at = Some(1 + chance.random() % 150);
        disk.set_faults(Faults { cut_at, lies, ..Faults::default() });
        clock.step(i64::try_from(chance.random() % 20_000_000).expect("small") - 10_000_000);
        live(&disk, &clock, &chance, &world).map_err(|broken| format!("life {life}: {broken}"))?;
        disk = disk.after_cut(Luck::Any, &chance);
        let (recovery, found) = recover(&disk).map_err(|error| format!("life {life}: {error}"))?;
        drop(recovery);
        world.lock().expect("no panic").check_found(&found).map_err(|broken| format!("after life {life}: {broken}"))?;
        // What was shown was synced before: it must be there after another cut too.
        disk = disk.after_cut(Luck::None, &chance);
    }
    Ok(())
}

fn live(disk: &SimDisk, clock: &Arc<ManualClock>, chance: &Arc<Ids>, world: &Arc<Mutex<World>>) -> Result<(), String> {
    let Ok((recovery, found)) = recover(disk) else { return Ok(()) };
    let (next, above) = {
        let mut world = world.lock().expect("no panic");
        world.check_found(&found)?;
        (world.next(), world.released.values().max().copied().unwrap_or(Instant::MIN))
    };
    let sink = Arc::new(Suspicious { disk: disk.clone(), early: Mutex::new(None) });
    let bench = Bench { clock: Arc::clone(clock), sink: sink.clone() };
    let Ok(log) = recovery.start(next, above, bench.deps()) else { return Ok(()) };
    if world.lock().expect("no panic").closed > Some(log.closed()) {
        return Err("an instant is closed no more".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _task in 0..3 {
            tasks.spawn(append_some(log.clone(), Arc::clone(chance), Arc::clone(world)));
        }
        let outcome = tasks.join_all().await.into_iter().collect::<Result<(), String>>();
        log.shut_down().await;
        outcome
    })?;
    sink.early.lock().expect("no panic").take().map_or(Ok(()), Err)
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let failed: Vec<String> = (0..HISTORIES)
        .filter_map(|seed| history(seed, false).err().map(|broken| format!("seed {seed}: {broken}")))
        .collect();
    assert!(failed.is_empty(), "{} of {HISTORIES} histories failed: {}", failed.len(), failed.join("\n"));
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let caught = (0..20).filter(|seed| history(*seed, true).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 histories on a lying disk broke a rule: the check is blind");
}
