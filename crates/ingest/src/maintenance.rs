//! Maintenance: nothing is added to the lake for as long as an operator says so; what was acknowledged goes on into files.
//!
//! A request is refused twice: at the room's door, and, if it was let on before, when it is about to append. Whoever closes
//! the room says so first and then passes the gate of [`crate::standing`], behind which every append under way is durable or
//! refused: from then on nothing is acknowledged.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{error::Error, front::Ingest};

/// Why the room is closed, if it is.
#[derive(Debug, Default)]
pub(crate) struct Closing(RwLock<Option<Arc<str>>>);

impl Closing {
    /// Lets on what adds to the lake.
    ///
    /// # Errors
    /// [`Error::Maintenance`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let closed = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        closed.map_or(Ok(()), |why| Err(Error::Maintenance(why)))
    }

    /// What holds from now on; what held before.
    fn say(&self, why: Option<Arc<str>>) -> Option<Arc<str>> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), why)
    }
}

impl Ingest {
    /// Takes nothing in from now on; returns when what was let on before is durable or refused, and whether the room was
    /// open until then. `why` is told to whoever sends.
    pub async fn close(&self, why: &str) -> bool {
        let was_open = self.room.closing.say(Some(why.into())).is_none();
        self.room.standings.pass().await;
        was_open
    }

    /// Takes in again.
    pub fn open_again(&self) {
        self.room.closing.say(None);
    }

    /// Bytes of memory that what is acknowledged and in no file yet takes.
    #[must_use]
    pub fn unflushed_bytes(&self) -> usize {
        self.room.visible.unflushed.used()
    }
}
