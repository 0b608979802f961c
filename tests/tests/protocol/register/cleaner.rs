//! Clean-up: which files nothing names, the floor, the commit that forbids them, and only then the deletions.

use super::{
    FIRST, Fault, Manifest, Rules, Set, State,
    put::{Ended, Put},
    search::Search,
};

/// Manifests that stay behind the newest.
const KEPT: u8 = 0;

/// One that cleans up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Cleaner {
    rounds: u8,
    at: At,
    me: u8,
    puts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    List,
    Look {
        listed: Set,
        search: Search,
    },
    /// The floor is raised to a number, after it was read.
    Raise {
        then: Newest,
        from: u8,
    },
    Trim {
        then: Newest,
        gone: u8,
    },
    Forbid {
        unnamed: Set,
        put: Put,
    },
    Delete {
        unnamed: Set,
    },
    Done,
}

/// The newest manifest when it was looked for, and the files that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Newest {
    number: u8,
    manifest: Manifest,
    unnamed: Set,
}

impl Cleaner {
    pub(crate) const fn new(me: u8, rounds: u8) -> Self {
        Self { rounds, at: At::List, me, puts: 0 }
    }

    /// Whether it has not begun, and neither has one before it that has the same to do.
    pub(crate) fn waits_for(&self, before: &[Self]) -> bool {
        let has_not_begun = |one: &Self| one.at == At::List && one.puts == 0 && one.rounds == self.rounds;
        has_not_begun(self) && before.iter().any(has_not_begun)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    pub(crate) fn creates(&self) -> bool {
        matches!(self.at, At::Forbid { put, .. } if put.creates())
    }

    /// One request.
    pub(crate) fn step(&mut self, rules: Rules, state: &mut State, fault: Fault) -> Option<()> {
        self.at = match self.at {
            At::List => At::Look { listed: state.files, search: Search::from(FIRST) },
            At::Look { listed, mut search } => match search.step(rules, state) {
                None => At::Look { listed, search },
                Some((number, manifest)) => {
                    let unnamed = listed.without(manifest.files);
                    self.trim(rules, state, Newest { number, manifest, unnamed })
                }
            },
            At::Raise { then, from } => {
                let to = then.number - KEPT;
                state.floor = state.floor.max(to);
                if rules.raise_before_delete { self.delete_from(rules, then, from) } else { self.forbid(rules, then) }
            }
            At::Trim { then, gone } => {
                let slot = &mut state.manifests[usize::from(gone)];
                state.seen.deleted_manifest |= slot.is_some();
                *slot = None;
                self.delete_from(rules, then, gone + 1)
            }
            At::Forbid { unnamed, mut put } => match put.step(rules, state, fault) {
                None => At::Forbid { unnamed, put },
                Some(Ended::Won) => At::Delete { unnamed },
                Some(Ended::Lost | Ended::Failed) => self.next_round(),
            },
            At::Delete { unnamed } => {
                state.seen.deleted_file |= !state.files.without(unnamed).has(state.files);
                state.files = state.files.without(unnamed);
                self.next_round()
            }
            At::Done => return None,
        };
        Some(())
    }

    /// Raises the floor where manifests may go; it is read first.
    fn trim(&mut self, rules: Rules, state: &State, then: Newest) -> At {
        let (from, to) = (state.floor.max(FIRST), then.number.saturating_sub(KEPT));
        match to > from {
            true if rules.raise_before_delete => At::Raise { then, from },
            true => self.delete_from(rules, then, from),
            false => self.forbid(rules, then),
        }
    }

    fn delete_from(&mut self, rules: Rules, then: Newest, gone: u8) -> At {
        match gone < then.number - KEPT {
            true => At::Trim { then, gone },
            false if rules.raise_before_delete => self.forbid(rules, then),
            false => At::Raise { then, from: gone },
        }
    }

    fn forbid(&mut self, rules: Rules, then: Newest) -> At {
        let Newest { number, manifest, unnamed } = then;
        if unnamed.is_empty() {
            return self.next_round();
        }
        if !rules.forbid_before_delete {
            return At::Delete { unnamed };
        }
        self.puts += 1;
        let put_id = self.me * 16 + self.puts;
        let body = Manifest { put_id, orphans_below: number + 1, ..manifest };
        At::Forbid { unnamed, put: Put::new(number + 1, body) }
    }

    fn next_round(&mut self) -> At {
        self.rounds -= 1;
        if self.rounds == 0 { At::Done } else { At::List }
    }
}
