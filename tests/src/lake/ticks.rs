//! Background work, ticked until it has nothing left to do.

use tidemark_catalog::{Publisher, publish::How};
use tidemark_cdc::{Cdc, Duty, More};
use tidemark_ingest::Ingest;
use tidemark_server::administration::Administration;

/// How often a duty may say that there is more.
const TICKS_MAX: usize = 1000;

/// Ticks until nothing is due.
pub(super) async fn upkeep(cdc: &Cdc, duty: Duty) -> Result<(), String> {
    for _tick in 0..TICKS_MAX {
        if cdc.upkeep(duty).await.map_err(|error| error.to_string())? == More::No {
            return Ok(());
        }
    }
    Err(format!("{duty:?} is never done"))
}

/// The same of the events table.
pub(super) async fn events_upkeep(ingest: &Ingest, duty: tidemark_ingest::Duty) -> Result<(), String> {
    for _tick in 0..TICKS_MAX {
        if ingest.upkeep(duty).await.map_err(|error| error.to_string())? == tidemark_ingest::More::No {
            return Ok(());
        }
    }
    Err(format!("{duty:?} of events is never done"))
}

/// Erases until nothing is due.
pub(super) async fn erased(administration: &Administration) -> Result<(), String> {
    while administration.erase_due().await.map_err(|problem| problem.detail)? {}
    Ok(())
}

pub(super) async fn published(publisher: &Publisher, how: How) -> Result<(), String> {
    for (namespace, table) in publisher.tables(None) {
        publisher.publish(&namespace, &table, how).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
