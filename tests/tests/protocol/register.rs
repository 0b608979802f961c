//! The register with its floor: committers, clean-up, and requests that are late (storage.md, principles 3, 5, 6, Clean-up).
//!
//! Every action is one request to the store, or one that is applied although nobody waits for it any more; between any two of a process
//! all others may do anything, so a process that stalls for hours is just one whose next action comes late.
//!
//! 1. A committer plans on the newest manifest, writes its file, creates the next number. Where it loses, it looks for the
//!    newest manifest and applies its work on that, unless clean-up may have taken its file: then it plans anew.
//! 2. Clean-up lists files, looks for the newest manifest, raises the floor and deletes manifests below it, commits that
//!    no file planned before may be named any more, and deletes the files that the manifest does not name.
//! 3. Whoever looks for the newest manifest probes forward and believes a missing number only above the floor.

mod cleaner;
mod committer;
mod properties;
mod put;
mod rules;
mod search;

use stateright::{Model, Property};

pub(crate) use self::rules::{Rules, without_each_rule};
use self::{cleaner::Cleaner, committer::Committer};

/// Numbers of manifests go up to here.
pub(crate) const NUMBERS: usize = 9;
/// Flushes there may be; who they are tells their files.
const APPENDERS_MAX: u8 = 3;
/// The manifest that is there in the beginning.
pub(crate) const FIRST: u8 = 1;

/// A set of small numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Set(u16);

impl Set {
    pub(crate) const fn of(one: u8) -> Self {
        Self(1 << one)
    }
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub(crate) fn each(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |one| self.0 & (1 << one) != 0)
    }
}

/// One manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Manifest {
    /// Tells it from every other: no two attempts have the same.
    pub(crate) put_id: u8,
    /// The files it names.
    pub(crate) files: Set,
    /// The appends that it says are in files: the mark.
    pub(crate) mark: Set,
    /// Files planned on manifests below this may not be named any more.
    pub(crate) orphans_below: u8,
}

/// What the store and its history are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// By number.
    pub(crate) manifests: [Option<Manifest>; NUMBERS],
    pub(crate) floor: u8,
    /// The files that are there.
    pub(crate) files: Set,
    /// The appends that each file that was ever written holds.
    pub(crate) content: [Set; 16],
    /// Creates whose sender has stopped waiting and that are not applied yet.
    pub(crate) late: Vec<(u8, Manifest)>,
    pub(crate) committers: Vec<Committer>,
    pub(crate) cleaners: Vec<Cleaner>,
    /// By number: whose entry was acknowledged first.
    pub(crate) won: [Option<u8>; NUMBERS],
    pub(crate) seen: Seen,
    /// Answers that may still be lost, and requests that may still be late.
    pub(crate) faults: u8,
}

/// What happened on the way here, as far as a property asks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// Two were told that they had created the same number.
    pub(crate) two_winners: bool,
    /// Somebody who looked for the newest manifest found one that is older than what was acknowledged before.
    pub(crate) went_back: bool,
    /// Somebody found the floor above what he had created.
    pub(crate) fenced: bool,
    /// A commit found its number taken.
    pub(crate) lost: bool,
    /// A request was applied after its sender had given it up.
    pub(crate) applied_late: bool,
    /// The answer to a create was lost, and what was there told that it was applied.
    pub(crate) settled_by_reading: bool,
    /// A file was written anew because clean-up might have taken the one before.
    pub(crate) planned_anew: bool,
    /// Clean-up deleted a file.
    pub(crate) deleted_file: bool,
    /// Clean-up deleted a manifest.
    pub(crate) deleted_manifest: bool,
    /// A reader had to begin again because the floor had passed it.
    pub(crate) searched_again: bool,
}

/// Who takes part, and which faults there are.
#[derive(Debug, Clone)]
pub(crate) struct Register {
    pub(crate) rules: Rules,
    /// How many appends each committer has to commit, one after the other.
    pub(crate) appenders: Vec<u8>,
    pub(crate) compactors: u8,
    /// How many rounds each clean-up makes.
    pub(crate) cleaners: Vec<u8>,
    pub(crate) faults: u8,
}

impl Register {
    /// The whole protocol within bounds.
    pub(crate) fn whole(appenders: &[u8], compactors: u8, cleaners: &[u8], faults: u8) -> Self {
        let (appenders, cleaners) = (appenders.to_vec(), cleaners.to_vec());
        Self { rules: Rules::ALL, appenders, compactors, cleaners, faults }
    }
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Commit(usize, Fault),
    Clean(usize, Fault),
    /// A late request is applied.
    Late(usize),
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is applied; its answer is lost.
    AnswerLost,
    /// It is given up and applied later.
    GivenUp,
    /// It is told that the name is taken, and it is not.
    Conflict,
}

impl Model for Register {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut manifests = [None; NUMBERS];
        manifests[usize::from(FIRST)] =
            Some(Manifest { put_id: 0, files: Set::of(0), mark: Set::default(), orphans_below: 0 });
        let appenders = (0..).zip(&self.appenders).map(|(me, appends)| Committer::appending(me, *appends));
        let compactors = (0..self.compactors).map(|nth| Committer::compacting(nth + APPENDERS_MAX));
        let mut won = [None; NUMBERS];
        won[usize::from(FIRST)] = Some(0);
        vec![State {
            manifests,
            floor: 0,
            files: Set::of(0),
            content: [Set::default(); 16],
            late: Vec::new(),
            committers: appenders.chain(compactors).collect(),
            cleaners: (8..).zip(&self.cleaners).map(|(me, rounds)| Cleaner::new(me, *rounds)).collect(),
            won,
            seen: Seen::default(),
            faults: self.faults,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faults = |creates: bool| {
            let may_fail = creates && state.faults > 0;
            [
                Some(Fault::None),
                may_fail.then_some(Fault::AnswerLost),
                may_fail.then_some(Fault::GivenUp),
                may_fail.then_some(Fault::Conflict),
            ]
        };
        // Of those that are alike whoever begins first is the first: the other orders differ in names only.
        let committers = state.committers.iter().enumerate();
        for (at, committer) in committers.filter(|(at, one)| !one.is_done() && !one.waits_for(&state.committers[..*at]))
        {
            actions.extend(faults(committer.creates()).into_iter().flatten().map(|fault| Action::Commit(at, fault)));
        }
        let cleaners = state.cleaners.iter().enumerate();
        for (at, cleaner) in cleaners.filter(|(at, one)| !one.is_done() && !one.waits_for(&state.cleaners[..*at])) {
            actions.extend(faults(cleaner.creates()).into_iter().flatten().map(|fault| Action::Clean(at, fault)));
        }
        actions.extend((0..state.late.len()).map(Action::Late));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Commit(at, fault) => {
                let mut one = state.committers[at].clone();
                one.step(self.rules, &mut state, fault)?;
                state.committers[at] = one;
            }
            Action::Clean(at, fault) => {
                let mut one = state.cleaners[at].clone();
                one.step(self.rules, &mut state, fault)?;
                state.cleaners[at] = one;
            }
            Action::Late(at) => {
                let (number, manifest) = state.late.remove(at);
                state.seen.applied_late |= state.put(number, manifest);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl State {
    pub(crate) fn at(&self, number: u8) -> Option<Manifest> {
        self.manifests.get(usize::from(number)).copied().flatten()
    }

    /// The store's own put-if-absent; whether it was applied.
    fn put(&mut self, number: u8, manifest: Manifest) -> bool {
        let slot = &mut self.manifests[usize::from(number)];
        let is_free = slot.is_none();
        if is_free {
            *slot = Some(manifest);
        }
        is_free
    }

    /// The highest number that was acknowledged.
    pub(crate) fn acknowledged(&self) -> u8 {
        (0..).zip(&self.won).filter(|(_, won)| won.is_some()).map(|(number, _)| number).last().unwrap_or(0)
    }
}
