//! Deduplication: the same request, or the same event, is stored once within the window (storage.md, Idempotency).
//!
//! 1. A request **claims** its key ([`keys`]), then its event ids ([`ids`]), before the log sees it. What another
//!    request has claimed makes this one wait for the outcome; no request waits while it holds ids, so none waits for
//!    itself in a circle.
//! 2. A claim that is dropped gives everything back: a refused request burns nothing.
//! 3. A claim that is settled is remembered for the window, by system time.
//! 4. A request of a producer has no key: its sequence says whether it was stored before ([`producers`]).
//!
//! Across restarts the log and the sidecars of the events commits ([`crate::sidecar`]) hold what is remembered.

pub(crate) mod ids;
pub(crate) mod keys;
pub(crate) mod producers;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemark_model::Instant;

/// How long keys and event ids are remembered: 24 hours of system time.
pub(crate) const WINDOW_US: i64 = 24 * 3600 * 1_000_000;

/// Ends when the claim that it belongs to has been settled or given back.
pub(crate) type Outcome = tokio::sync::watch::Receiver<()>;

/// Waits for the outcome of another's claim.
pub(crate) async fn settled(mut outcome: Outcome) {
    // The sender never sends; it goes away with the claim.
    while outcome.changed().await.is_ok() {}
}

/// Whether something remembered at `at` is outside the window now.
pub(crate) fn is_expired(at: Instant, now: Instant) -> bool {
    now.micros().saturating_sub(at.micros()) > WINDOW_US
}

/// Whether a producer that was last heard of at `at` is forgotten now.
pub(crate) fn is_silent(at: Instant, now: Instant) -> bool {
    now.micros().saturating_sub(at.micros()) > producers::WINDOW_US
}

/// Locks; what a panicking holder left behind is still whole, as every change here is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
