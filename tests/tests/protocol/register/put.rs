//! Creating a number: the request, what is there if its answer says nothing, and the floor (storage.md, principles 5 and 6).

use super::{Fault, Manifest, Rules, State};

/// Where a create is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Put {
    pub(crate) number: u8,
    pub(crate) body: Manifest,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Create,
    /// The answer was "exists", or none came.
    ReadBack {
        exists: bool,
    },
    Floor,
}

/// How a create ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Won,
    Lost,
    /// The outcome is not known.
    Failed,
}

impl Put {
    pub(crate) const fn new(number: u8, body: Manifest) -> Self {
        Self { number, body, step: Step::Create }
    }

    /// Whether its next request writes.
    pub(crate) fn creates(&self) -> bool {
        self.step == Step::Create
    }

    /// One request; how it ended, once it has.
    pub(crate) fn step(&mut self, rules: Rules, state: &mut State, fault: Fault) -> Option<Ended> {
        match self.step {
            Step::Create => {
                state.faults -= u8::from(fault != Fault::None);
                let exists = match fault {
                    Fault::None => !state.put(self.number, self.body),
                    Fault::AnswerLost => {
                        state.put(self.number, self.body);
                        false
                    }
                    Fault::GivenUp => {
                        state.late.push((self.number, self.body));
                        state.late.sort_unstable();
                        false
                    }
                    Fault::Conflict => true,
                };
                let is_known = fault == Fault::None && !exists;
                self.step = if is_known { Step::Floor } else { Step::ReadBack { exists } };
                None
            }
            Step::ReadBack { exists } => match state.at(self.number) {
                Some(there) if there.put_id == self.body.put_id => {
                    state.seen.settled_by_reading = true;
                    self.step = Step::Floor;
                    None
                }
                Some(_) => {
                    state.seen.lost = true;
                    Some(Ended::Lost)
                }
                None if exists => {
                    self.step = Step::Create;
                    None
                }
                None => Some(Ended::Failed),
            },
            Step::Floor if rules.probe_after_create && state.floor > self.number => {
                state.seen.fenced = true;
                Some(Ended::Lost)
            }
            Step::Floor => {
                let won = &mut state.won[usize::from(self.number)];
                state.seen.two_winners |= won.is_some_and(|by| by != self.body.put_id);
                won.get_or_insert(self.body.put_id);
                Some(Ended::Won)
            }
        }
    }
}
