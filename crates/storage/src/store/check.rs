//! What a store can do, found out by asking it: before a lake is trusted to it, and when somebody wants to know.
//!
//! 1. A [`Question`] is one thing that a store does or does not: which, in which words, and whether a lake rests on it.
//! 2. [`check`] asks the questions of an [`Extent`] one after the other, on ground of its own below `_tidemark/check/`, and
//!    takes away what it wrote there.
//! 3. What came of each is a [`Finding`]; the [`Report`] of all of them has a [`Verdict`].
//!
//! `objects` asks what objects are for, `seen` what is seen after a write, `create` the one primitive, alone and in `race`s.
//! Nothing of a lake is read or written, so a server may run meanwhile.

mod create;
mod ground;
mod objects;
mod question;
mod race;
mod seen;

use std::time::{Duration, Instant as Stopwatch};

use ulid::Ulid;

use self::ground::{Ground, Wrong};
use super::{Store, StoreError};
use crate::paths;

pub use self::question::Question;

/// Races that are run where nobody says how many.
pub const ROUNDS_DEFAULT: u32 = 100;
/// Those who race for one name.
const RACERS: usize = 16;
/// Races and racers of the quick form.
const QUICK: (u32, usize) = (3, 8);
/// How long a list may take to show what is there.
const SETTLE: Duration = Duration::from_secs(10);

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    questions: &'static [Question],
    rounds: u32,
    racers: usize,
    settle: Duration,
}

impl Extent {
    /// Only what the registers rest on, in some 70 requests: for each start.
    #[must_use]
    pub const fn quick() -> Self {
        Self { questions: &Question::QUICK, rounds: QUICK.0, racers: QUICK.1, settle: SETTLE }
    }

    /// Every question there is, with so many races.
    #[must_use]
    pub const fn whole(rounds: u32) -> Self {
        Self { questions: &Question::ALL, rounds, racers: RACERS, settle: SETTLE }
    }
}

/// How far a check is, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next question is asked.
    Asked(Question),
    /// So many races of so many have been run.
    Raced {
        /// Those that are over.
        round: u32,
        /// All of them.
        of: u32,
    },
}

/// What came of a question.
#[derive(Debug)]
pub enum Outcome {
    /// The store does so.
    Holds,
    /// It does not: what was seen.
    Fails(String),
    /// It did not come to an answer.
    Untried(StoreError),
}

/// One question and what came of it.
#[derive(Debug)]
pub struct Finding {
    /// What was asked.
    pub question: Question,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// Whether a lake may be kept in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All that it rests on holds.
    Fit,
    /// Something that it rests on does not hold.
    Unfit,
    /// Something that it rests on could not be tried.
    Unknown,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// In the order of the questions.
    pub findings: Vec<Finding>,
    /// Objects of the check that were not taken away again, with why.
    pub left: Vec<String>,
}

impl Report {
    /// Whether a lake may be kept in the store.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut needed = self.findings.iter().filter(|finding| finding.question.is_required());
        match needed.find(|finding| !matches!(finding.outcome, Outcome::Holds)) {
            None => Verdict::Fit,
            Some(_) if self.failed().next().is_some() => Verdict::Unfit,
            Some(_) => Verdict::Unknown,
        }
    }

    /// What a lake rests on and what does not hold: the question, and what was seen.
    pub fn failed(&self) -> impl Iterator<Item = (Question, &str)> {
        let needed = self.findings.iter().filter(|finding| finding.question.is_required());
        needed.filter_map(|finding| match &finding.outcome {
            Outcome::Fails(seen) => Some((finding.question, seen.as_str())),
            Outcome::Holds | Outcome::Untried(_) => None,
        })
    }

    /// The first thing that a lake rests on and that could not be tried, and why.
    #[must_use]
    pub fn into_untried(self) -> Option<(Question, StoreError)> {
        let needed = self.findings.into_iter().filter(|finding| finding.question.is_required());
        let mut untried = needed.filter_map(|finding| match finding.outcome {
            Outcome::Untried(error) => Some((finding.question, error)),
            Outcome::Holds | Outcome::Fails(_) => None,
        });
        untried.next()
    }
}

/// Asks a store; `id` names the ground, so that no two checks meet on it. Where the first question cannot be tried the store is
/// away, and nothing else is asked.
pub async fn check(store: &Store, extent: Extent, id: Ulid, tell: &(dyn Fn(Step) + Sync)) -> Report {
    let ground = Ground::new(store, paths::check(id));
    let mut findings = Vec::with_capacity(extent.questions.len());
    for question in extent.questions.iter().copied() {
        tell(Step::Asked(question));
        let begun = Stopwatch::now();
        let outcome = match ask(question, &ground, extent, tell).await {
            Ok(()) => Outcome::Holds,
            Err(Wrong::Seen(seen)) => Outcome::Fails(seen),
            Err(Wrong::Untried(error)) => Outcome::Untried(error),
        };
        let is_away = findings.is_empty() && matches!(outcome, Outcome::Untried(_));
        findings.push(Finding { question, outcome, took: begun.elapsed() });
        if is_away {
            // Every further request would wait for as long as this one did.
            return Report { findings, left: ground.unknown() };
        }
    }
    Report { findings, left: ground.clear().await }
}

async fn ask(
    question: Question,
    ground: &Ground<'_>,
    extent: Extent,
    tell: &(dyn Fn(Step) + Sync),
) -> Result<(), Wrong> {
    match question {
        Question::PutGet => objects::put_get(ground).await,
        Question::Ranges => objects::ranges(ground).await,
        Question::Absent => objects::absent(ground).await,
        Question::List => objects::list(ground, extent.settle).await,
        Question::Delete => objects::delete(ground, extent.settle).await,
        Question::Upload => objects::upload(ground).await,
        Question::Create => create::fresh(ground).await,
        Question::CreateExisting => create::existing(ground).await,
        Question::CreateRace => race::run(ground, (extent.rounds, extent.racers), tell).await,
        Question::ReadAfterWrite => seen::read_after_write(ground).await,
        Question::ReadAfterOverwrite => seen::read_after_overwrite(ground).await,
        Question::ListAfterWrite => seen::list_after_write(ground, extent.settle).await,
        Question::GoneAfterDelete => seen::gone_after_delete(ground, extent.settle).await,
    }
}

#[cfg(test)]
mod tests;
