//! Two processes on one lake: one takes over while the other lives, and the other wakes up later and goes on.

use tidemark_cdc::Duty;
use tidemark_tests::{halting::Last, history::Kind, lake::Job};

use super::Run;

/// Writes that a process gets done at most before it dies in the middle of taking over.
const WRITES_MAX: u64 = 6;

impl Run {
    /// Another process takes the lake over, perhaps at the second try. A log on a disk has a lock: its owner dies first.
    pub(super) fn take_over(&mut self) {
        if !self.world.log_in_store {
            return self.crash();
        }
        let before = self.probes();
        self.away = self.lake.take();
        if self.chance.percent(50) {
            let writes = i64::try_from(self.chance.below(WRITES_MAX)).unwrap();
            let last = if self.chance.percent(50) { Last::Applied } else { Last::NotApplied };
            match self.world.start_dying(writes, last) {
                Some(lake) => self.lake = Some(lake),
                None => self.history.seen.count(Kind::CrashInTakeOver),
            }
        }
        if self.lake.is_none() {
            self.lake = Some(self.world.start());
        }
        self.history.seen.count(Kind::TakenOver);
        self.check(&before, "a take-over");
    }

    /// The process that lost the lake goes on as if nothing had happened: it stores nothing, and changes no answer.
    pub(super) fn wake(&mut self) {
        let Some(away) = self.away.take() else { return };
        let before = self.probes();
        let now = away.now();
        if self.chance.percent(50) {
            let lines = format!(r#"{{"op":"insert","id":"d0","ts":"{now}","doc":{{"v":"of one who was away"}}}}"#);
            let refused = away.send(self.table(), lines).map(|receipt| receipt.system_time);
            assert!(refused.is_err(), "acknowledged by a process that had lost the lake: {refused:?}");
            self.history.seen.count(Kind::SentToWhoWasAway);
        } else {
            let jobs = [Job::Flush, Job::Delta, Job::Fold];
            let upkeep = Duty::ALL.map(Job::Upkeep).into_iter().chain(tidemark_ingest::Duty::ALL.map(Job::Events));
            let jobs: Vec<Job> = jobs.into_iter().chain(upkeep).collect();
            let job = *self.chance.pick(&jobs).unwrap();
            // It may find nothing to do; what it does must not count.
            let _outcome = away.try_run(job, &self.namespace);
            self.history.seen.count(Kind::JobOfWhoWasAway);
        }
        self.check(&before, "a process that was away");
        if self.chance.percent(70) {
            self.away = Some(away);
        }
    }
}
