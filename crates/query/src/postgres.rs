//! The door of PostgreSQL's wire protocol, versions 3.0 to 3.2: psql, its libraries, and tools that speak to it.
//!
//! One session per connection; namespaces are its schemas; SQL is the room's, the same as at every door.
//!
//! 1. [`link`]: frames in and out. [`message`] and [`reply`] are what they hold.
//! 2. [`startup`]: encryption, the token as password, what the client wants. [`cancel`]: keys by which statements are
//!    cancelled.
//! 3. [`session`]: messages are served. [`command`] tells what a text asks; [`run`] does what is for the door: [`block`]
//!    (transactions, which are pinned instants), [`setting`], cursors, [`copy`]. [`extended`]: prepared statements and
//!    portals.
//! 4. [`rows`], [`value`], [`spell`], [`numeric`], [`kind`]: answers in text and binary; [`param`]: bound values.
//! 5. [`fault`] is what goes wrong.
//!
//! What its clients ask of `pg_catalog` is no part of it: that is a schema of the lake ([`crate::plan::postgres`]).

mod block;
mod cancel;
mod command;
mod copy;
mod extended;
mod fault;
mod kind;
mod link;
mod message;
mod numeric;
mod param;
mod reply;
mod rows;
mod run;
mod session;
mod setting;
mod spell;
mod startup;
mod value;
mod words;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use tidemark_catalog::{Allowance, Login};
use tokio_util::sync::CancellationToken;

use self::cancel::Running;
pub use self::link::Wire;
use crate::Query;

/// Encrypts connections.
#[async_trait]
pub trait Encrypt: Send + Sync + std::fmt::Debug {
    /// Whether connections in clear are refused.
    fn is_required(&self) -> bool;

    /// The server's side of a TLS handshake.
    ///
    /// # Errors
    /// What went wrong with it: the connection ends.
    async fn encrypt(&self, wire: Box<dyn Wire>) -> io::Result<Box<dyn Wire>>;
}

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    query: Query,
    login: Arc<dyn Login>,
    allowance: Option<Arc<dyn Allowance>>,
    tls: Option<Arc<dyn Encrypt>>,
    running: Running,
}

impl Door {
    /// A door to a room; keys that cancel are drawn from the seed, which nobody else knows.
    #[must_use]
    pub fn new(query: Query, login: Arc<dyn Login>, tls: Option<Arc<dyn Encrypt>>, seed: [u8; 16]) -> Self {
        Self { query, login, allowance: None, tls, running: Running::seeded(seed) }
    }

    /// The same, whose clients' statements are counted.
    #[must_use]
    pub fn counted_by(self, allowance: Arc<dyn Allowance>) -> Self {
        Self { allowance: Some(allowance), ..self }
    }

    /// Serves one connection to its end. It has `opening` to come in; when `stop` is cancelled it finishes the message it
    /// is at. Dropping the future cancels what runs.
    pub async fn serve(&self, wire: Box<dyn Wire>, from: IpAddr, opening: Duration, stop: CancellationToken) {
        let come_in = Box::pin(startup::come_in(self, wire, from, opening));
        let session = tokio::select! {
            () = stop.cancelled() => None,
            session = come_in => session,
        };
        if let Some(session) = session {
            session.serve(stop).await;
        }
    }
}

#[cfg(test)]
mod tests;
