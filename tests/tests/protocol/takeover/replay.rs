//! Taking over: a fence into every log before, what lies below it, and the newest manifest last.

use super::{Append, At, Manifest, Object, Rules, State};

/// Where a take-over is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Replay {
    /// The log that is being taken over, by epoch.
    log: u8,
    step: Step,
    appends: Vec<Append>,
    /// Where the manifest is read too early.
    early: Option<Manifest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Where does the log begin?
    Floor,
    Fence {
        from: u8,
        number: u8,
    },
    /// The name was taken: by a group or by a fence?
    Look {
        from: u8,
        number: u8,
    },
    /// A fence stands there: is it above the floor?
    Probe {
        from: u8,
        number: u8,
    },
    Read {
        number: u8,
        end: u8,
    },
}

impl Replay {
    pub(crate) const fn new(early: Option<Manifest>) -> Self {
        Self { log: 1, step: Step::Floor, appends: Vec::new(), early }
    }
}

/// One request.
pub(super) fn step(state: &mut State, rules: Rules, epoch: u8) -> Option<()> {
    let At::TakesOver(mut replay) = state.owner(epoch).at.clone() else { return None };
    if replay.log == epoch {
        serve(state, epoch, replay);
        return Some(());
    }
    let log = replay.log;
    replay.step = match replay.step {
        Step::Floor => {
            let from = state.log(log).floor.max(1);
            // Left out: the log is read up to where nothing is.
            if rules.fence { Step::Fence { from, number: from } } else { Step::Read { number: from, end: u8::MAX } }
        }
        Step::Fence { from, number } => match state.log(log).put(number, Object::Fence) {
            true => Step::Probe { from, number },
            false => Step::Look { from, number },
        },
        Step::Look { from, number } => match state.log(log).at(number) {
            Some(Object::Group(_)) => {
                state.seen.fence_went_up = true;
                Step::Fence { from, number: number + 1 }
            }
            Some(Object::Fence) => {
                state.seen.found_fence = true;
                Step::Probe { from, number }
            }
            None => Step::Fence { from, number },
        },
        Step::Probe { from, number } => match state.log(log).floor {
            floor if rules.probe_after_fence && floor > number => {
                state.seen.fence_below_floor = true;
                Step::Fence { from: floor, number: floor }
            }
            _ => Step::Read { number: from, end: number },
        },
        Step::Read { number, end } => match state.log(log).at(number) {
            Some(Object::Group(append)) if number < end => {
                replay.appends.push(append);
                Step::Read { number: number + 1, end }
            }
            None if number < end && rules.fence => {
                state.seen.deleted_under_reader = true;
                Step::Read { number: number + 1, end }
            }
            Some(Object::Fence) if number < end && rules.read_past_fences => {
                state.seen.read_past_fence = true;
                Step::Read { number: number + 1, end }
            }
            _ => {
                replay.log += 1;
                Step::Floor
            }
        },
    };
    state.owner(epoch).at = At::TakesOver(replay);
    Some(())
}

/// What the newest manifest does not cover is the tail.
fn serve(state: &mut State, epoch: u8, replay: Replay) {
    let base = replay.early.unwrap_or_else(|| state.newest_manifest());
    let owner = state.owner(epoch);
    owner.tail = replay.appends.into_iter().filter(|append| append.time > base.time()).collect();
    owner.base = base;
    owner.at = At::Serves;
}
