//! The commit protocol, searched through: every order in which requests can reach the store, within bounds, and with faults.
//!
//! Two models stand for what the code does, request by request:
//! 1. [`register`]: manifests as numbered creates with a floor, beside clean-up (`storage/register`, `catalog/tables`,
//!    `catalog/cleanup`, `ingest/flush`, `ingest/compact`).
//! 2. [`takeover`]: owners that follow each other, with a log each, fences, and manifests that come late (`catalog/owner`,
//!    the log in an object store, `ingest/replay`, `ingest/flush`).
//!
//! A model has rules. With all of them nothing that must hold is ever broken, and everything that makes it hard is reached;
//! without any one of them the search finds how it breaks. So whoever changes the protocol changes it here first (ADR 0022).

mod register;
mod takeover;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    hash::Hash,
    time::{Duration, Instant},
};

use stateright::{Checker as _, Expectation, HasDiscoveries, Model};
use tidemark_tests::remarks::remark;

use self::{register::Register, takeover::TakeOver};

/// Cores of the machine.
const THREADS: usize = 2;

/// What a search came to.
#[derive(Debug, Default)]
struct Found {
    states: usize,
    took: Duration,
    /// What does not hold.
    broken: BTreeSet<&'static str>,
    /// How, one after the other.
    steps: Vec<String>,
    /// What was to be reached and was.
    reached: BTreeSet<&'static str>,
    /// What was to be reached.
    wanted: BTreeSet<&'static str>,
}

/// Searches everything, or up to the first thing that does not hold.
fn search<M>(model: M) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let (begun, properties) = (Instant::now(), model.properties());
    let checker = model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut found = Found { states: checker.unique_state_count(), took: begun.elapsed(), ..Found::default() };
    let discoveries = checker.discoveries();
    for property in properties {
        let path = discoveries.get(property.name);
        match (property.expectation, path) {
            (Expectation::Sometimes, path) => {
                found.wanted.insert(property.name);
                found.reached.extend(path.map(|_| property.name));
            }
            (_, Some(path)) => {
                found.broken.insert(property.name);
                found.steps = path.clone().into_actions().iter().map(|action| format!("{action:?}")).collect();
            }
            (_, None) => {}
        }
    }
    found
}

/// Nothing is broken in any of these, and among them everything is reached.
fn all_hold<M>(protocol: &str, models: Vec<(&str, M)>)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let (mut all, mut sizes) = (Found::default(), Vec::new());
    for (bounds, model) in models {
        let found = search(model);
        assert_eq!(found.broken, BTreeSet::new(), "{protocol}, {bounds}: {:#?}", found.steps);
        sizes.push(format!("{bounds}: {}", found.states));
        all.states += found.states;
        all.took += found.took;
        all.reached.extend(found.reached);
        all.wanted = found.wanted;
    }
    assert_eq!(all.reached, all.wanted, "{protocol}: what is not reached is not tested");
    let seconds = all.took.as_secs_f64();
    remark(&format!("{protocol}: {} states in {seconds:.1} s, all hold ({})", all.states, sizes.join("; ")));
}

/// Without its rule something is broken, and that is found.
fn each_is_needed<M>(protocol: &str, cases: Vec<(&str, &str, M)>)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    for (rule, expected, model) in cases {
        let found = search(model);
        assert!(
            found.broken.contains(expected),
            "{protocol} without {rule}: {:?} in {} states",
            found.broken,
            found.states
        );
    }
}

#[test]
fn manifests_and_clean_up() {
    all_hold(
        "the register",
        vec![
            ("2 flushes, 1 clean-up, 1 fault", Register::whole(&[1, 1], 0, &[1], 1)),
            ("1 flush, 1 compaction, 1 clean-up, 2 faults", Register::whole(&[1], 1, &[1], 2)),
            ("2 flushes, 1 compaction, 1 clean-up", Register::whole(&[1, 1], 1, &[1], 0)),
            ("2 flushes, 2 clean-ups", Register::whole(&[1, 1], 0, &[1, 1], 0)),
            ("3 flushes, 1 clean-up", Register::whole(&[1, 1, 1], 0, &[1], 0)),
        ],
    );
}

#[test]
fn each_rule_of_manifests_and_clean_up_is_needed() {
    each_is_needed("the register", register::without_each_rule());
}

#[test]
fn take_over() {
    all_hold(
        "the take-over",
        vec![
            ("2 owners, upkeep, 1 fault", TakeOver::whole(&[1, 1], &[1, 1], 1, 1)),
            ("2 owners, 3 appends, 1 fault", TakeOver::whole(&[2, 1], &[2, 1], 0, 1)),
            ("2 owners, 3 appends, upkeep", TakeOver::whole(&[2, 1], &[2, 1], 1, 0)),
            ("3 owners, 4 appends", TakeOver::whole(&[2, 1, 1], &[1, 1, 1], 0, 0)),
            ("3 owners, 1 fault", TakeOver::whole(&[1, 1, 0], &[1, 1, 1], 0, 1)),
        ],
    );
}

#[test]
fn each_rule_of_take_over_is_needed() {
    each_is_needed("the take-over", takeover::without_each_rule());
}

#[test]
#[ignore = "takes minutes: for whoever changes the protocol"]
fn wider_bounds() {
    all_hold(
        "the register",
        vec![
            ("2 flushes of 2, 1 clean-up of 2", Register::whole(&[2, 2], 0, &[2], 0)),
            ("1 flush, 1 compaction, 1 clean-up, 3 faults", Register::whole(&[1], 1, &[1], 3)),
        ],
    );
    all_hold(
        "the take-over",
        vec![
            ("2 owners, 3 appends, upkeep, 1 fault", TakeOver::whole(&[2, 1], &[2, 1], 1, 1)),
            ("3 owners, upkeep", TakeOver::whole(&[1, 1, 1], &[1, 1, 1], 1, 0)),
            ("3 owners, 4 appends, 1 fault", TakeOver::whole(&[2, 1, 1], &[1, 1, 1], 0, 1)),
        ],
    );
}
