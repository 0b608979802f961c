//! Where the lake ends, namespace by namespace, and whether the log goes on exactly there.
//!
//! An append is in files when a manifest that was committed *out of this log* reaches its system time. A manifest of an
//! owner that had another log says nothing about it: that owner never saw what was acknowledged here, and gave its
//! positions away again. So an append that only such a manifest seems to cover refuses the start, and so does one that
//! does not begin at the position after the last: something between the two is missing (H2, H3).

use std::{collections::HashMap, sync::Arc};

use tidemark_catalog::{Catalog, EventsManifest};
use tidemark_model::{Instant, Mark, Namespace, Seq, Shard};
use tidemark_storage::log::{Append, Epochs};

use crate::error::Error;

/// How an append of the log stands to the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in files.
    Covered,
    /// It goes on where the lake ends.
    Behind,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ends {
    catalog: Catalog,
    epochs: Epochs,
    namespaces: HashMap<Namespace, End>,
}

#[derive(Debug)]
struct End {
    /// Up to where manifests committed out of this log reach.
    covered: Instant,
    /// The epoch of the newest manifest, if its owner had another log.
    other: Option<u64>,
    mark: Mark,
    /// The first position of each shard that nothing was found at.
    next: HashMap<Shard, Seq>,
}

impl Ends {
    pub(super) fn new(catalog: Catalog, epochs: Epochs) -> Self {
        Self { catalog, epochs, namespaces: HashMap::new() }
    }

    /// Judges the next append of the log, which was written in this epoch.
    pub(super) async fn judge(&mut self, (epoch, append): (u64, &Append)) -> Result<Standing, Error> {
        let (namespace, at) = (&append.namespace, append.assigned.system_time);
        if !self.namespaces.contains_key(namespace) {
            let end = self.end_of(namespace).await?;
            self.namespaces.insert(namespace.clone(), end);
        }
        let Some(end) = self.namespaces.get_mut(namespace) else { return Ok(Standing::Behind) };
        if at <= end.covered {
            return Ok(Standing::Covered);
        }
        if let Some(other) = end.other.filter(|other| *other > epoch) {
            return Err(Error::Overtaken { namespace: namespace.clone(), from: at, epoch: other });
        }
        for run in &append.assigned.positions {
            let next = end.next.entry(run.shard).or_insert_with(|| end.mark.seq(run.shard) + 1);
            if run.first != *next {
                let (namespace, shard, lake, log) = (namespace.clone(), run.shard, *next, run.first);
                return Err(Error::Gap { namespace, shard, lake, log });
            }
            *next = run.last + 1;
        }
        Ok(Standing::Behind)
    }

    /// The newest manifest that was committed out of this log; the one before the first where there is none.
    async fn committed(&self, namespace: &Namespace) -> Result<Arc<EventsManifest>, Error> {
        let mut newest = self.catalog.events(namespace);
        for (first, last) in self.epochs.ranges().rev() {
            if newest.head.epoch > last {
                newest = self.catalog.events_committed_up_to(namespace, last).await?;
            }
            if newest.head.version == 0 || newest.head.epoch >= first {
                return Ok(newest);
            }
        }
        Ok(Arc::new(EventsManifest::before_first()))
    }

    async fn end_of(&self, namespace: &Namespace) -> Result<End, Error> {
        let newest = self.catalog.events(namespace);
        let is_ours = |epoch: u64| self.epochs.contains(epoch);
        let ours = self.committed(namespace).await?;
        // One who only compacted or cleaned up took nothing in: no position was given away.
        let took_in = newest.system_time > ours.system_time || newest.mark != ours.mark;
        let other = Some(newest.head.epoch).filter(|epoch| took_in && !is_ours(*epoch));
        Ok(End { covered: ours.system_time, other, mark: newest.mark.clone(), next: HashMap::new() })
    }
}
