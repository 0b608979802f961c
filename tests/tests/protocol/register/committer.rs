//! Who commits: a flush, which adds a file, or a compaction, which puts one file in the place of all there are.

use super::{
    FIRST, Fault, Manifest, Rules, Set, State,
    put::{Ended, Put},
    search::Search,
};

/// The files one committer may write: so often may it begin anew.
const FILES_EACH: u8 = 3;
/// The appends of one committer.
const APPENDS_EACH: u8 = 3;

/// One committer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Committer {
    me: u8,
    work: Work,
    at: At,
    files: u8,
    puts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    /// So many appends are left.
    Append { left: u8 },
    /// The files whose place it takes.
    Compact { inputs: Set },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// For the manifest to plan on.
    Plan(Search),
    Write {
        number: u8,
        on: Manifest,
    },
    Create {
        put: Put,
        file: u8,
        planned_on: u8,
    },
    /// For the manifest to apply the work on.
    Rebase {
        search: Search,
        file: u8,
        planned_on: u8,
    },
    Done,
}

impl Committer {
    pub(crate) const fn appending(me: u8, left: u8) -> Self {
        Self::new(me, Work::Append { left })
    }

    pub(crate) const fn compacting(me: u8) -> Self {
        Self::new(me, Work::Compact { inputs: Set(0) })
    }

    const fn new(me: u8, work: Work) -> Self {
        Self { me, work, at: At::Plan(Search::from(FIRST)), files: 0, puts: 0 }
    }

    /// Whether it has not begun, and neither has one before it that has the same to do.
    pub(crate) fn waits_for(&self, before: &[Self]) -> bool {
        before.iter().any(|other| Self { me: self.me, ..other.clone() } == *self)
            && *self == Self::new(self.me, self.work)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    pub(crate) fn creates(&self) -> bool {
        matches!(self.at, At::Create { put, .. } if put.creates())
    }

    /// One request.
    pub(crate) fn step(&mut self, rules: Rules, state: &mut State, fault: Fault) -> Option<()> {
        self.at = match self.at {
            At::Plan(mut search) => match search.step(rules, state) {
                Some(newest) => self.planned(rules, newest),
                None => At::Plan(search),
            },
            At::Write { number, on } => {
                let file = 1 + self.me * FILES_EACH + self.files;
                self.files += 1;
                state.files = state.files.with(Set::of(file));
                state.content[usize::from(file)] = self.content(state);
                self.create((number, on), (file, number))
            }
            At::Create { mut put, file, planned_on } => match put.step(rules, state, fault) {
                None => At::Create { put, file, planned_on },
                Some(Ended::Won) => self.committed(),
                Some(Ended::Lost) => At::Rebase { search: Search::from(put.number), file, planned_on },
                Some(Ended::Failed) => At::Plan(Search::from(FIRST)),
            },
            At::Rebase { mut search, file, planned_on } => match search.step(rules, state) {
                Some(newest) => self.rebased(rules, state, newest, (file, planned_on)),
                None => At::Rebase { search, file, planned_on },
            },
            At::Done => return None,
        };
        Some(())
    }

    /// The append that is to be committed now.
    fn append(&self) -> Set {
        match self.work {
            Work::Append { left } => Set::of(self.me * APPENDS_EACH + left - 1),
            Work::Compact { .. } => Set::default(),
        }
    }

    /// What the file holds that is written now.
    fn content(&self, state: &State) -> Set {
        match self.work {
            Work::Append { .. } => self.append(),
            Work::Compact { inputs } => {
                inputs.each().fold(Set::default(), |all, file| all.with(state.content[usize::from(file)]))
            }
        }
    }

    fn planned(&mut self, rules: Rules, (number, on): (u8, Manifest)) -> At {
        match self.work {
            Work::Append { .. } if rules.look_at_mark_first && on.mark.has(self.append()) => {
                return self.committed();
            }
            Work::Append { .. } => {}
            Work::Compact { .. } if on.files.each().count() < 2 => return At::Done,
            Work::Compact { .. } => self.work = Work::Compact { inputs: on.files },
        }
        if self.files == FILES_EACH { At::Done } else { At::Write { number, on } }
    }

    fn create(&mut self, (number, on): (u8, Manifest), (file, planned_on): (u8, u8)) -> At {
        let files = match self.work {
            Work::Append { .. } => on.files.with(Set::of(file)),
            Work::Compact { inputs } => on.files.without(inputs).with(Set::of(file)),
        };
        self.puts += 1;
        let put_id = self.me * 16 + self.puts;
        let body = Manifest { put_id, files, mark: on.mark.with(self.append()), ..on };
        At::Create { put: Put::new(number + 1, body), file, planned_on }
    }

    fn rebased(
        &mut self,
        rules: Rules,
        state: &mut State,
        (number, on): (u8, Manifest),
        (file, planned_on): (u8, u8),
    ) -> At {
        let is_orphan = rules.heed_orphans_below && planned_on < on.orphans_below;
        match self.work {
            // An earlier attempt was applied.
            Work::Append { .. } if rules.look_at_mark && on.mark.has(self.append()) => self.committed(),
            Work::Append { .. } if is_orphan => {
                state.seen.planned_anew = true;
                self.planned(rules, (number, on))
            }
            Work::Compact { inputs } if is_orphan || !on.files.has(inputs) => At::Done,
            Work::Append { .. } | Work::Compact { .. } => self.create((number, on), (file, planned_on)),
        }
    }

    fn committed(&mut self) -> At {
        match &mut self.work {
            Work::Append { left } if *left > 1 => {
                *left -= 1;
                At::Plan(Search::from(FIRST))
            }
            _ => At::Done,
        }
    }
}
