//! Looking a log in the store over without owning it: is everything there that may be in no file, and whole?
//!
//! From the floor on the objects have no gap. The last is found by a list: whoever asks number by number takes a gap for the
//! end. The log's owner may be at work meanwhile: what it deletes lies below a floor that rose before, so an object counts as
//! missing only where the floor still stands below it when it is read once more.

use futures::StreamExt;
use ulid::Ulid;

use super::{chain, read, unread};
use crate::{
    Store, StoreError,
    log::{LogError, scan::Learned},
    paths,
    register::Register,
};

/// Objects that are asked for at once.
const READS_MAX: usize = 8;

/// What was looked at of a log and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// Its objects from its floor on.
    pub objects: u64,
    /// What is wrong, one sentence each, beginning with the object.
    pub complaints: Vec<String>,
}

/// Looks a log over: whether its objects are there and, if they are to be read, whether each verifies. Nothing is written.
///
/// # Errors
/// [`LogError::Store`]: the store could not be asked.
pub async fn look(store: &Store, cluster: &str, log: Ulid, are_read: bool) -> Result<Looked, LogError> {
    let (looking, mut looked) = (Looking { chain: chain(store, log.into()), cluster, log }, Looked::default());
    let floor = looking.chain.floor().await?;
    let listed = store.list(&paths::log(log)).await?;
    let last = listed.iter().filter_map(|object| paths::number_of(&object.location)).max().unwrap_or(0);
    let asked = (floor.max(1)..=last.max(floor)).map(|number| looking.one(number, are_read));
    let mut asked = futures::stream::iter(asked).buffered(READS_MAX);
    while let Some((number, found)) = asked.next().await {
        match found {
            Ok(()) => looked.objects += 1,
            Err(LogError::Corrupt { file, reason, .. }) => {
                if looking.chain.floor().await? <= number {
                    looked.complaints.push(format!("{}: {reason}", file.display()));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(looked)
}

struct Looking<'a> {
    chain: Register,
    cluster: &'a str,
    log: Ulid,
}

impl Looking<'_> {
    async fn one(&self, number: u64, is_read: bool) -> (u64, Result<(), LogError>) {
        (number, if is_read { self.verifies(number).await } else { self.is_there(number).await })
    }

    async fn verifies(&self, number: u64) -> Result<(), LogError> {
        match self.chain.read(number).await {
            Ok(Some(body)) => {
                let at = (self.cluster, self.log.into(), short(number));
                read(&body, at, &mut Learned::default()).map(|_kept| ())
            }
            Ok(None) => Err(self.wrong(number, "the object is missing")),
            Err(StoreError::Empty { .. }) => Err(self.wrong(number, "the object is empty")),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_there(&self, number: u64) -> Result<(), LogError> {
        if self.chain.exists(number).await? { Ok(()) } else { Err(self.wrong(number, "the object is missing")) }
    }

    fn wrong(&self, number: u64, reason: &str) -> LogError {
        unread(self.log.into(), short(number), reason)
    }
}

/// Numbers of objects have 32 bits: no other is ever written.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
