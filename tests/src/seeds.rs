//! Many seeds of one test, a few at once: which of them failed, each with the words that make it fail again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::remarks;

/// Seeds that run at once.
const THREADS: usize = 2;

/// Between two words about how far a run is, in seeds.
const TOLD_EVERY: usize = 500;

/// The seeds of a test: those that failed once and so many more from 0 on, unless the environment names one (`{name}_SEED`),
/// another number (`{name}_HISTORIES`), or where to begin (`{name}_FIRST`): so a long run is done in parts.
///
/// # Panics
/// When what the environment says is no number.
#[must_use]
pub fn of(name: &str, kept: &[u64], histories: u64) -> Vec<u64> {
    let number = |what: &str| remarks::variable(&format!("{name}_{what}")).map(|text| text.parse::<u64>().unwrap());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = number("FIRST").unwrap_or(0);
            kept.iter().copied().chain(first..first + number("HISTORIES").unwrap_or(histories)).collect()
        }
    }
}

/// Runs a test for each seed; what each returned, in no order.
///
/// # Panics
/// When it panicked for any, once all are through.
pub fn each<T: Send>(name: &str, seeds: &[u64], run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, done, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((nth, seed)) = taken(&next, seeds) {
                    if nth > 0 && nth.is_multiple_of(TOLD_EVERY) {
                        let failed = failed.lock().unwrap().len();
                        eprintln!("{name}: {nth} of {} histories begun, {failed} failed", seeds.len());
                    }
                    match catch_unwind(AssertUnwindSafe(|| run(*seed))) {
                        Ok(result) => done.lock().unwrap().push(result),
                        Err(panic) => {
                            failed.lock().unwrap().push(format!("{name}_SEED={seed}: {}", told(panic.as_ref())))
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} histories failed:\n{}", failed.len(), seeds.len(), failed.join("\n"));
    done.into_inner().unwrap()
}

fn taken<'s>(next: &AtomicUsize, seeds: &'s [u64]) -> Option<(usize, &'s u64)> {
    let nth = next.fetch_add(1, Ordering::SeqCst);
    seeds.get(nth).map(|seed| (nth, seed))
}

fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
