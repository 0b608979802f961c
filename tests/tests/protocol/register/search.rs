//! Looking for the newest manifest: probe forward, read, look at the floor.
//!
//! The real search probes in doubling steps and halves them again; here it goes one by one, which sees no less. The read goes
//! with the last probe: an entry never changes, and one that is deleted in between lies below the floor that is read after it.

use super::{FIRST, Manifest, Rules, State};

/// Where a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Search {
    at: u8,
    step: Step,
    /// What was acknowledged when it began: nothing older may be found.
    since: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Is there one behind this? If not, what is in this?
    Probe,
    /// Is it above the floor?
    Floor(Option<Manifest>),
}

impl Search {
    /// A search that begins at a number that was seen before.
    pub(crate) const fn from(at: u8) -> Self {
        Self { at, step: Step::Probe, since: None }
    }

    /// One request; the newest manifest once it is found.
    pub(crate) fn step(&mut self, rules: Rules, state: &mut State) -> Option<(u8, Manifest)> {
        let since = *self.since.get_or_insert_with(|| state.acknowledged());
        match self.step {
            Step::Probe if state.at(self.at + 1).is_some() => self.at += 1,
            Step::Probe => self.step = Step::Floor(state.at(self.at)),
            Step::Floor(found) => {
                let is_believed = !rules.probe_after_search || self.at >= state.floor;
                if let Some(manifest) = found.filter(|_| is_believed) {
                    state.seen.went_back |= self.at < since;
                    return Some((self.at, manifest));
                }
                state.seen.searched_again = true;
                self.at = state.floor.max(FIRST);
                self.step = Step::Probe;
            }
        }
        None
    }
}
