//! Flush: what is durable goes into files, with one commit of the next manifest (`ingest`, `flush/publish.rs`).

use super::{Append, At, Fault, Late, Manifest, Rules, State};

/// Where the flush of an owner is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Flush {
    epoch: u8,
    left: u8,
    upkeep: u8,
    puts: u8,
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    /// Is this still the owner?
    Check(Work),
    Create(Work),
    /// The answer was "exists", or none came.
    ReadBack(Work),
    /// The number is another's.
    Lost(Work),
}

/// What is to be committed: these appends, in this manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Work {
    appends: Vec<Append>,
    manifest: Manifest,
}

impl Flush {
    pub(crate) const fn new(epoch: u8, commits: u8, upkeep: u8) -> Self {
        Self { epoch, left: commits, upkeep, puts: 0, step: Step::Idle }
    }

    pub(crate) const fn creates(&self) -> bool {
        matches!(self.step, Step::Create(_))
    }

    /// The manifest that is on its way.
    pub(crate) const fn under_way(&self) -> Option<&Manifest> {
        match &self.step {
            Step::Create(work) | Step::ReadBack(work) => Some(&work.manifest),
            Step::Idle | Step::Check(_) | Step::Lost(_) => None,
        }
    }

    /// The appends behind those that a manifest holds already.
    fn applied(&mut self, on: &Manifest, appends: Vec<Append>) -> Work {
        self.puts += 1;
        let content = on.content.iter().chain(&appends).copied().collect();
        let put_id = self.epoch * 16 + self.puts;
        Work { appends, manifest: Manifest { number: on.number + 1, epoch: self.epoch, put_id, content } }
    }
}

/// Upkeep (a compaction, a clean-up) begins: its manifest covers what the one before covers.
pub(super) fn upkeep(state: &mut State, rules: Rules, epoch: u8) -> Option<()> {
    let mut flush = state.owner(epoch).flush.clone();
    if flush.step != Step::Idle || flush.upkeep == 0 {
        return None;
    }
    flush.upkeep -= 1;
    let base = state.owner(epoch).base.clone();
    let work = flush.applied(&base, Vec::new());
    flush.step = check(state, rules, epoch, work);
    state.owner(epoch).flush = flush;
    Some(())
}

/// One request.
pub(super) fn step(state: &mut State, rules: Rules, (epoch, fault): (u8, Fault)) -> Option<()> {
    let mut flush = state.owner(epoch).flush.clone();
    flush.step = match flush.step.clone() {
        Step::Idle => {
            let owner = state.owner(epoch);
            let (base, appends) = (owner.base.clone(), owner.tail.clone());
            if rules.look_at_cover_first && is_covered(&appends, &base) {
                owner.tail.retain(|append| append.time > base.time());
                Step::Idle
            } else if flush.left == 0 || appends.is_empty() {
                return None;
            } else {
                flush.left -= 1;
                let work = flush.applied(&base, appends);
                check(state, rules, epoch, work)
            }
        }
        Step::Check(work) => check(state, rules, epoch, work),
        Step::Create(work) => create(state, epoch, work, fault),
        Step::ReadBack(work) => match state.manifests.get(usize::from(work.manifest.number) - 1) {
            Some(there) if there.put_id == work.manifest.put_id => committed(state, epoch, work.manifest),
            Some(_) => Step::Lost(work),
            // Unknown: the next turn begins anew, with other ids.
            None => Step::Idle,
        },
        Step::Lost(work) => lost(state, rules, &mut flush, work),
    };
    if state.owner(epoch).at == At::Ended {
        flush.step = Step::Idle;
    }
    state.owner(epoch).flush = flush;
    Some(())
}

/// Whether a manifest covers the first of some appends: then it is of the same log, and an earlier attempt.
fn is_covered(appends: &[Append], by: &Manifest) -> bool {
    appends.first().is_some_and(|first| first.time <= by.time())
}

fn check(state: &mut State, rules: Rules, epoch: u8, work: Work) -> Step {
    let theirs = state.owner(epoch).base.epoch;
    if rules.check_owner && state.newest_epoch.max(theirs) > epoch {
        state.seen.found_successor = true;
        state.owner(epoch).at = At::Ended;
    }
    Step::Create(work)
}

fn create(state: &mut State, epoch: u8, work: Work, fault: Fault) -> Step {
    state.faults -= u8::from(fault != Fault::None);
    match fault {
        Fault::None if state.put_manifest(work.manifest.clone()) => committed(state, epoch, work.manifest),
        Fault::None => Step::ReadBack(work),
        Fault::AnswerLost => {
            state.put_manifest(work.manifest.clone());
            Step::ReadBack(work)
        }
        Fault::GivenUp => {
            state.send_late(Late::Manifest(work.manifest.clone()));
            Step::ReadBack(work)
        }
    }
}

/// The tail lets go of what the manifest covers.
fn committed(state: &mut State, epoch: u8, manifest: Manifest) -> Step {
    let owner = state.owner(epoch);
    owner.tail.retain(|append| append.time > manifest.time());
    owner.base = manifest;
    Step::Idle
}

fn lost(state: &mut State, rules: Rules, flush: &mut Flush, work: Work) -> Step {
    let (epoch, latest) = (flush.epoch, state.newest_manifest());
    if latest.epoch > epoch {
        state.owner(epoch).at = At::Ended;
        return Step::Idle;
    }
    if work.appends.is_empty() {
        // Upkeep plans anew, on what it has learned; the tail is the flush's.
        state.owner(epoch).base = latest;
        return Step::Idle;
    }
    if rules.look_at_cover && is_covered(&work.appends, &latest) {
        state.seen.covered_by_zombie |= latest.epoch < epoch;
        return committed(state, epoch, latest);
    }
    state.seen.applied_anew = true;
    Step::Check(flush.applied(&latest, work.appends))
}
