//! Take-over: owners that follow each other, the log of each, fences, and manifests that come late (storage.md, The log).
//!
//! Every action is one request to the store. An owner that crashed is one that never acts again, a zombie one that acts after it was
//! succeeded; nobody can tell them apart, so there is no action for either.
//!
//! 1. An owner begins by creating the next epoch. Then, log by log of those before it, it creates a fence behind the last
//!    group, going up until it wins or finds one, and reads what lies below. Last it reads the newest manifest, and serves.
//! 2. It appends: a group under the next number of its log. An answer "created" is an acknowledgement.
//! 3. It flushes: looks whether it is still the owner, and creates the next manifest, which holds what it has of its tail.
//! 4. It releases: what a manifest covers lies below a floor then, and groups below the floor are deleted, by anybody at any time.
//!
//! An append has a position, which its sender is told, and a system time above all that its owner knows. What is covered is judged
//! by system time, as the real flush and the real replay do.

mod flush;
mod log;
mod properties;
mod replay;
mod rules;

use stateright::{Model, Property};

pub(crate) use self::rules::{Rules, without_each_rule};
use self::{flush::Flush, log::Appending, replay::Replay};

/// Numbers in one log.
pub(crate) const NUMBERS: usize = 6;

/// One append: of whom, which of theirs, when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Append {
    pub(crate) owner: u8,
    pub(crate) nth: u8,
    pub(crate) time: u8,
}

/// What stands under a number of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object {
    /// A group; here each has one append.
    Group(Append),
    Fence,
}

/// The log of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) objects: [Option<Object>; NUMBERS],
    pub(crate) floor: u8,
}

/// One manifest of the events: what is in files, in the order of positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Manifest {
    pub(crate) number: u8,
    pub(crate) epoch: u8,
    pub(crate) put_id: u8,
    pub(crate) content: Vec<Append>,
}

impl Manifest {
    /// Up to which system time it covers.
    pub(crate) fn time(&self) -> u8 {
        self.content.last().map_or(0, |last| last.time)
    }
}

/// A request whose sender has stopped waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Late {
    Group { log: u8, number: u8, append: Append },
    Manifest(Manifest),
}

/// One owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) at: At,
    /// The newest manifest it knows.
    pub(crate) base: Manifest,
    /// Durable appends that the manifest does not cover.
    pub(crate) tail: Vec<Append>,
    pub(crate) appending: Appending,
    pub(crate) flush: Flush,
}

impl Owner {
    /// What it shows: what is in files, and behind it the tail.
    pub(crate) fn view(&self) -> Vec<Append> {
        let behind = self.tail.iter().filter(|append| append.time > self.base.time());
        self.base.content.iter().chain(behind).copied().collect()
    }
}

/// What an owner is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// It has not begun.
    Away,
    TakesOver(Replay),
    Serves,
    /// It knows that it is the owner no more.
    Ended,
}

/// The store, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// By epoch, from 1.
    pub(crate) owners: Vec<Owner>,
    pub(crate) newest_epoch: u8,
    pub(crate) logs: Vec<Log>,
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) late: Vec<Late>,
    /// Appends that were acknowledged, with the position that was told.
    pub(crate) acknowledged: Vec<(Append, u8)>,
    pub(crate) faults: u8,
    pub(crate) seen: Seen,
}

/// What happened on the way here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// An owner met a fence where it wanted to append.
    pub(crate) met_fence: bool,
    /// An owner found a newer epoch before it committed.
    pub(crate) found_successor: bool,
    /// An owner that had been succeeded committed a manifest.
    pub(crate) late_manifest: bool,
    /// A successor lost its number to one before it and took the manifest for one of the same log.
    pub(crate) covered_by_zombie: bool,
    /// A successor lost its number and applied its appends on what it found.
    pub(crate) applied_anew: bool,
    /// A fence found a group in its place and went up.
    pub(crate) fence_went_up: bool,
    /// A fence stood below the floor and was set anew.
    pub(crate) fence_below_floor: bool,
    /// Somebody found another's fence.
    pub(crate) found_fence: bool,
    /// A replay met a fence below the one it reads up to.
    pub(crate) read_past_fence: bool,
    /// A group was deleted while somebody was about to read it.
    pub(crate) deleted_under_reader: bool,
    /// A request was applied after its sender had given it up.
    pub(crate) applied_late: bool,
    /// Reading back told that a group of unknown outcome was there.
    pub(crate) settled_by_reading: bool,
}

/// Who takes part.
#[derive(Debug, Clone)]
pub(crate) struct TakeOver {
    pub(crate) rules: Rules,
    /// How many appends each owner may make; so many owners there may be.
    pub(crate) appends: Vec<u8>,
    /// How many manifests each may try to commit.
    pub(crate) commits: Vec<u8>,
    /// How many each may try to commit besides that cover nothing new.
    pub(crate) upkeep: u8,
    pub(crate) faults: u8,
}

impl TakeOver {
    /// The whole protocol within bounds.
    pub(crate) fn whole(appends: &[u8], commits: &[u8], upkeep: u8, faults: u8) -> Self {
        Self { rules: Rules::ALL, appends: appends.to_vec(), commits: commits.to_vec(), upkeep, faults }
    }
}

/// Who does something. Owners are told by their epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Begin,
    TakeOver(u8),
    Append(u8, Fault),
    Flush(u8, Fault),
    Upkeep(u8),
    /// An owner raises the floor of a log.
    Release(u8, u8),
    /// Groups below the floor of a log are deleted.
    Delete(u8),
    Late(usize),
}

/// What becomes of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is applied; its answer is lost.
    AnswerLost,
    /// It is given up and applied later.
    GivenUp,
}

impl Model for TakeOver {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let owner = |(epoch, (appends, commits)): (u8, (&u8, &u8))| Owner {
            at: At::Away,
            base: Manifest::default(),
            tail: Vec::new(),
            appending: Appending::new(epoch, *appends),
            flush: Flush::new(epoch, *commits, self.upkeep),
        };
        let owners: Vec<Owner> = (1..).zip(self.appends.iter().zip(&self.commits)).map(owner).collect();
        vec![State {
            logs: vec![Log::default(); owners.len()],
            owners,
            newest_epoch: 0,
            manifests: Vec::new(),
            late: Vec::new(),
            acknowledged: Vec::new(),
            faults: self.faults,
            seen: Seen::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if usize::from(state.newest_epoch) < state.owners.len() {
            actions.push(Action::Begin);
        }
        let faults = |creates: bool| {
            let may_fail = creates && state.faults > 0;
            [Some(Fault::None), may_fail.then_some(Fault::AnswerLost), may_fail.then_some(Fault::GivenUp)]
        };
        for (epoch, owner) in (1..).zip(&state.owners) {
            match &owner.at {
                At::Away | At::Ended => {}
                At::TakesOver(_) => actions.push(Action::TakeOver(epoch)),
                At::Serves => {
                    let creates = faults(owner.appending.creates());
                    actions.extend(creates.into_iter().flatten().map(|fault| Action::Append(epoch, fault)));
                    let creates = faults(owner.flush.creates());
                    actions.extend(creates.into_iter().flatten().map(|fault| Action::Flush(epoch, fault)));
                    actions.push(Action::Upkeep(epoch));
                    actions.extend((1..=epoch).map(|log| Action::Release(epoch, log)));
                }
            }
        }
        actions.extend((1..=state.newest_epoch).map(Action::Delete));
        actions.extend((0..state.late.len()).map(Action::Late));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Begin => state.begin(self.rules),
            Action::TakeOver(epoch) => replay::step(&mut state, self.rules, epoch)?,
            Action::Append(epoch, fault) => log::step(&mut state, self.rules, (epoch, fault))?,
            Action::Flush(epoch, fault) => flush::step(&mut state, self.rules, (epoch, fault))?,
            Action::Upkeep(epoch) => flush::upkeep(&mut state, self.rules, epoch)?,
            Action::Release(epoch, log) => log::release(&mut state, self.rules, (epoch, log))?,
            Action::Delete(log) => log::delete(&mut state, self.rules, log)?,
            Action::Late(at) => state.apply_late(at),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl State {
    pub(crate) fn owner(&mut self, epoch: u8) -> &mut Owner {
        &mut self.owners[usize::from(epoch) - 1]
    }

    pub(crate) fn log(&mut self, of: u8) -> &mut Log {
        &mut self.logs[usize::from(of) - 1]
    }

    /// The next owner takes its epoch.
    fn begin(&mut self, rules: Rules) {
        self.newest_epoch += 1;
        let epoch = self.newest_epoch;
        let early = if rules.manifest_after_logs { None } else { Some(self.newest_manifest()) };
        self.owner(epoch).at = At::TakesOver(Replay::new(early));
    }

    pub(crate) fn newest_manifest(&self) -> Manifest {
        self.manifests.last().cloned().unwrap_or_default()
    }

    /// Put-if-absent of a manifest; whether it was applied.
    pub(crate) fn put_manifest(&mut self, manifest: Manifest) -> bool {
        let is_next = usize::from(manifest.number) == self.manifests.len() + 1;
        if is_next {
            self.seen.late_manifest |= manifest.epoch < self.newest_epoch;
            self.manifests.push(manifest);
        }
        is_next
    }

    fn apply_late(&mut self, at: usize) {
        let is_applied = match self.late.remove(at) {
            Late::Group { log, number, append } => self.log(log).put(number, Object::Group(append)),
            Late::Manifest(manifest) => self.put_manifest(manifest),
        };
        self.seen.applied_late |= is_applied;
    }

    pub(crate) fn send_late(&mut self, late: Late) {
        self.late.push(late);
        self.late.sort_unstable();
    }
}
