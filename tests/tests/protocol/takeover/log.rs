//! A log: groups under ascending numbers, each created once; a floor, below which they go.

use super::{Append, At, Fault, Late, Log, NUMBERS, Object, Rules, State};

/// The way of one append after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Appending {
    epoch: u8,
    left: u8,
    /// The number of the next group.
    number: u8,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Nothing is on its way.
    Idle,
    Create {
        append: Append,
        position: u8,
    },
    /// The answer was "exists", or none came.
    ReadBack {
        append: Append,
        position: u8,
    },
}

impl Appending {
    pub(crate) const fn new(epoch: u8, appends: u8) -> Self {
        Self { epoch, left: appends, number: 1, step: Step::Idle }
    }

    pub(crate) const fn creates(&self) -> bool {
        match self.step {
            Step::Idle => self.left > 0,
            Step::Create { .. } => true,
            Step::ReadBack { .. } => false,
        }
    }
}

impl Log {
    /// Put-if-absent; whether it was applied.
    pub(crate) fn put(&mut self, number: u8, object: Object) -> bool {
        let slot = &mut self.objects[usize::from(number)];
        let is_free = slot.is_none();
        if is_free {
            *slot = Some(object);
        }
        is_free
    }

    pub(crate) fn at(&self, number: u8) -> Option<Object> {
        self.objects.get(usize::from(number)).copied().flatten()
    }
}

/// One request of an append.
pub(super) fn step(state: &mut State, rules: Rules, (epoch, fault): (u8, Fault)) -> Option<()> {
    let mut appending = state.owner(epoch).appending;
    match appending.step {
        Step::Idle if appending.left == 0 => return None,
        Step::Idle => {
            let owner = state.owner(epoch);
            let known = owner.tail.last().map_or(0, |last| last.time).max(owner.base.time());
            let position = u8::try_from(owner.view().len()).ok()?;
            let append = Append { owner: epoch, nth: appending.number, time: known + 1 };
            appending.left -= 1;
            appending.step = Step::Create { append, position };
            // It is assembled in memory and sent: one step with its first request.
            create(state, &mut appending, (append, position), fault);
        }
        Step::Create { append, position } => create(state, &mut appending, (append, position), fault),
        Step::ReadBack { append, position } => match state.log(epoch).at(appending.number) {
            Some(Object::Group(there)) if there == append => {
                state.seen.settled_by_reading = true;
                acknowledge(state, &mut appending, (append, position));
            }
            Some(Object::Fence) => {
                state.seen.met_fence = true;
                state.owner(epoch).at = At::Ended;
            }
            Some(Object::Group(_)) => return None,
            None if rules.settle_before_next => appending.step = Step::Create { append, position },
            None => {
                // Left out: it is told to have failed, and the next one takes the next number.
                appending.number += 1;
                appending.step = Step::Idle;
            }
        },
    }
    state.owner(epoch).appending = appending;
    Some(())
}

fn create(state: &mut State, appending: &mut Appending, (append, position): (Append, u8), fault: Fault) {
    let (epoch, number) = (appending.epoch, appending.number);
    state.faults -= u8::from(fault != Fault::None);
    let is_created = match fault {
        Fault::GivenUp => {
            state.send_late(Late::Group { log: epoch, number, append });
            false
        }
        Fault::None => state.log(epoch).put(number, Object::Group(append)),
        Fault::AnswerLost => {
            state.log(epoch).put(number, Object::Group(append));
            false
        }
    };
    if is_created {
        acknowledge(state, appending, (append, position));
    } else {
        appending.step = Step::ReadBack { append, position };
    }
}

/// It is durable: whoever sent it is told its position, and it is seen.
fn acknowledge(state: &mut State, appending: &mut Appending, (append, position): (Append, u8)) {
    state.acknowledged.push((append, position));
    state.owner(appending.epoch).tail.push(append);
    appending.number += 1;
    appending.step = Step::Idle;
}

/// The floor of a log goes above the groups that the manifest covers which the owner knows.
pub(super) fn release(state: &mut State, rules: Rules, (epoch, log): (u8, u8)) -> Option<()> {
    let owner = state.owner(epoch);
    let early = owner.flush.under_way().filter(|_| !rules.release_after_commit);
    let content = &early.unwrap_or(&owner.base).content;
    let covered = content.iter().filter(|append| append.owner == log).map(|append| append.nth + 1).max()?;
    let floor = &mut state.log(log).floor;
    let is_raised = covered > *floor;
    *floor = covered.max(*floor);
    is_raised.then_some(())
}

/// Groups below the floor go; fences stay for ever. Left out: the fence goes too when nothing lies below it any more.
pub(super) fn delete(state: &mut State, rules: Rules, log: u8) -> Option<()> {
    let floor = usize::from(state.log(log).floor).min(NUMBERS - 1);
    let goes = |(number, there): (usize, Option<Object>)| match there {
        Some(Object::Group(_)) => number < floor,
        Some(Object::Fence) => !rules.keep_fences && number <= floor,
        None => false,
    };
    let mut is_any = false;
    for (number, slot) in state.log(log).objects.iter_mut().enumerate() {
        if goes((number, *slot)) {
            *slot = None;
            is_any = true;
        }
    }
    is_any.then_some(())
}
