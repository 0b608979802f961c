//! What runs on which connection, so that another connection can cancel it by a key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// The connections of a door.
#[derive(Debug, Clone)]
pub(crate) struct Running(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seed: [u8; 16],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: i32,
    connections: HashMap<i32, Connection>,
}

#[derive(Debug)]
struct Connection {
    secret: i32,
    /// Of the statement that runs, if one does.
    statement: Option<CancellationToken>,
}

/// A connection's place; given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    running: Running,
    /// Its number, as a process id.
    pub(crate) process: i32,
    /// What whoever cancels has to know.
    pub(crate) secret: i32,
}

/// A statement that can be cancelled while this lives.
#[derive(Debug)]
pub(crate) struct Statement {
    place: Arc<Place>,
    /// Is cancelled when the client says so.
    pub(crate) cancelled: CancellationToken,
}

impl Running {
    /// None yet; keys are drawn from the seed, which nobody else knows.
    pub(crate) fn seeded(seed: [u8; 16]) -> Self {
        Self(Arc::new(Inner { seed, state: Mutex::default() }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection.
    pub(crate) fn enter(&self) -> Place {
        let mut state = self.state();
        // Numbers come again after two thousand million connections, but never while one has them.
        let mut process = state.last;
        while process <= 0 || state.connections.contains_key(&process) {
            process = process.checked_add(1).unwrap_or(1);
        }
        state.last = process.checked_add(1).unwrap_or(1);
        let mut digest = Sha256::new();
        digest.update(self.0.seed);
        digest.update(process.to_be_bytes());
        digest.update(state.connections.len().to_be_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let secret = i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        state.connections.insert(process, Connection { secret, statement: None });
        Place { running: self.clone(), process, secret }
    }

    /// Cancels what runs on a connection, if the key is its key.
    pub(crate) fn cancel(&self, process: i32, secret: i32) {
        let state = self.state();
        let connection = state.connections.get(&process).filter(|connection| connection.secret == secret);
        if let Some(token) = connection.and_then(|connection| connection.statement.as_ref()) {
            token.cancel();
        }
    }
}

impl Place {
    /// A statement begins to run here.
    pub(crate) fn begin(place: &Arc<Self>) -> Statement {
        let cancelled = CancellationToken::new();
        if let Some(connection) = place.running.state().connections.get_mut(&place.process) {
            connection.statement = Some(cancelled.clone());
        }
        Statement { place: Arc::clone(place), cancelled }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        if let Some(connection) = self.place.running.state().connections.get_mut(&self.place.process) {
            connection.statement = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.state().connections.remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_cancels_and_only_what_runs() {
        let running = Running::seeded([7; 16]);
        let (one, other) = (Arc::new(running.enter()), running.enter());
        assert!(one.process != other.process && one.secret != other.secret);
        running.cancel(one.process, one.secret);
        let statement = Place::begin(&one);
        running.cancel(one.process, one.secret.wrapping_add(1));
        running.cancel(other.process, one.secret);
        assert!(!statement.cancelled.is_cancelled(), "a cancel before it began, and two with other keys");
        running.cancel(one.process, one.secret);
        assert!(statement.cancelled.is_cancelled());
        drop(statement);
        assert!(!Place::begin(&one).cancelled.is_cancelled());
        drop((one, other));
        assert!(running.state().connections.is_empty());
    }
}
