//! Ending the log of an owner before: a fence under its next number.

use ulid::Ulid;

use super::{ObjectLog, chain, read};
use crate::{
    Store,
    log::{
        LogError,
        group::{GroupBuffer, Place},
        header::SEGMENT_HEADER_BYTES,
        ledger::Kept,
        record::{self, Fence},
        scan::Learned,
    },
    paths,
    register::{Created, Register},
};

/// How often the owner before may be faster before taking over is given up: each time it acknowledges something more.
const ATTEMPTS_MAX: usize = 4096;

/// Ends a log, unless somebody did before: from then on nothing more can be written to it. `put_id` is unlike any other.
///
/// # Errors
/// [`LogError::Store`], [`LogError::Corrupt`] and [`LogError::Newer`]; it may then be tried again.
pub async fn fence(store: &Store, cluster: &str, (log, epoch): (Ulid, u64), put_id: Ulid) -> Result<(), LogError> {
    let (log, put_id) = (u128::from(log), u128::from(put_id));
    let chain = chain(store, log);
    let mut newest = chain.latest(None).await?.unwrap_or_default();
    for _attempt in 0..ATTEMPTS_MAX {
        let (number, body) = newest;
        let mut end = Place::default();
        if number > 0 {
            let kept = object((cluster, log, number), &body)?;
            if kept.is_fence {
                return Ok(());
            }
            end = Place { segment: kept.number, offset: u32::try_from(body.len()).unwrap_or(u32::MAX) };
        }
        let place = Place { segment: end.segment.saturating_add(1), offset: SEGMENT_HEADER_BYTES as u32 };
        let mut group = GroupBuffer::new();
        record::put_fence(group.payload(), Fence { epoch, put_id });
        let fenced = ObjectLog { log, cluster: cluster.to_owned(), epoch }.sealed(&mut group, place, end);
        newest = match chain.create(number + 1, fenced).await? {
            Created::Won => {
                tracing::info!(log = %Ulid::from(log), number = number + 1, epoch, "ended the log of the owner before");
                return Ok(());
            }
            // Perhaps a fence of somebody who slept, in front of nothing: what is believed is the newest above the floor.
            Created::Lost if chain.floor().await? > number + 1 => chain.latest(None).await?.unwrap_or_default(),
            Created::Lost => (number + 1, there(&chain, number + 1).await?),
            // The owner before has gone on meanwhile, and has deleted what stood there.
            Created::Fenced => chain.latest(None).await?.unwrap_or_default(),
        };
    }
    Err(LogError::Io {
        what: "be ended: its owner writes without pause".to_owned(),
        source: std::io::ErrorKind::ResourceBusy.into(),
    })
}

/// Whether a log was ended and nothing below its fence is needed, or there, any more.
///
/// # Errors
/// [`LogError::Store`], [`LogError::Corrupt`] and [`LogError::Newer`].
pub async fn is_released(store: &Store, cluster: &str, log: Ulid) -> Result<bool, LogError> {
    let log = u128::from(log);
    let chain = chain(store, log);
    let Some((newest, body)) = chain.latest(None).await? else { return Ok(false) };
    if chain.floor().await? < newest || !object((cluster, log, newest), &body)?.is_fence {
        return Ok(false);
    }
    // What a deletion left behind is still somebody's to delete.
    let listed = store.list(&paths::log(Ulid::from(log))).await?;
    Ok(!listed.iter().filter_map(|object| paths::number_of(&object.location)).any(|number| number < newest))
}

async fn there(chain: &Register, number: u64) -> Result<bytes::Bytes, LogError> {
    let found = chain.read(number).await?;
    let gone = || crate::StoreError::NotFound { path: chain.path(number).to_string() };
    Ok(found.ok_or_else(gone)?)
}

fn object((cluster, log, number): (&str, u128, u64), body: &[u8]) -> Result<Kept, LogError> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    read(body, (cluster, log, number), &mut Learned::default())
}
