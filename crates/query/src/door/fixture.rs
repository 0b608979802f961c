//! A real room over a lake in memory: one namespace whose events are still to come.

use std::{sync::Arc, time::Duration};

use tidemark_catalog::{Behind, Catalog, LiveTail, NotClosed, Tail, catalog};
use tidemark_model::{Ids, Instant, Mark, Namespace, Table, clock::ManualClock};
use tidemark_storage::Store;

use crate::{Config, Deps, Query};

/// The present of the lake: 2013-01-01T06:00:00Z.
pub(crate) const NOW: Instant = Instant::from_micros(1_357_020_000_000_000);

#[derive(Debug)]
struct Quiet;

#[async_trait::async_trait]
impl LiveTail for Quiet {
    async fn tail(&self, _: &Namespace, _: &Table, _: &Mark) -> Result<Tail, Behind> {
        Ok(Tail::default())
    }

    fn reached(&self, _: &Namespace) -> Mark {
        Mark::default()
    }

    fn closed(&self) -> Instant {
        NOW
    }

    fn now(&self) -> Instant {
        NOW
    }

    async fn close_instant(&self, _: Instant, _: Duration) -> Result<(), NotClosed> {
        Ok(())
    }
}

/// The catalog of the room.
pub(crate) async fn catalog() -> Catalog {
    let deps = catalog::Deps {
        store: Store::memory(),
        clock: Arc::new(ManualClock::at(NOW)),
        ids: Arc::new(Ids::seeded(1)),
        metrics: prometheus::Registry::new(),
    };
    let catalog = Catalog::open(catalog::Config::default(), deps).await.unwrap();
    catalog.observe(&Namespace::parse("nyc").unwrap(), Instant::from_micros(1), &[]);
    catalog
}

/// The room.
pub(crate) async fn room(config: Config) -> Query {
    let (clock, metrics) = (Arc::new(ManualClock::at(NOW)), prometheus::Registry::new());
    let catalog = catalog().await;
    Query::open(config, Deps { catalog, live: Arc::new(Quiet), clock, metrics }).unwrap()
}
