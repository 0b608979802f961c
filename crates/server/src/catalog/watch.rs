//! What changes in the catalog, as a stream: what is there is compared with what was, several times a second.
//!
//! A comparison reads memory alone. Changes that come and go between two of them are told as what they come to; a table that
//! was committed to five times is told once, with its newest version.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidemark_catalog::{Catalog, NoLogin, login::Recheck};
use tidemark_model::{CollectionName, Instant as SystemTime, Namespace, Principal, Retention};
use tidemark_proto::{
    Problem,
    v1::{CatalogChange, catalog_change::Kind},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// How often what is there is looked at.
const LOOKED_EVERY: Duration = Duration::from_millis(200);
/// The name of the table of events.
const EVENTS: &str = "events";

/// What is known of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    version: u64,
    system_time: Option<SystemTime>,
    columns: u32,
    declared: u32,
    snapshots: Vec<String>,
    retention: Retention,
    /// When the collection was made: another one under the same name has another.
    created_at: Option<SystemTime>,
}

/// Namespace and table (none is the namespace as such), what is known of it.
type All = BTreeMap<(Namespace, Option<CollectionName>), Seen>;

/// A stream under way.
#[derive(Debug)]
pub(super) struct Watching {
    catalog: Catalog,
    principal: Principal,
    only: Option<Namespace>,
    seen: All,
    waiting: VecDeque<CatalogChange>,
    /// When it was looked last.
    looked: Instant,
    recheck: Recheck,
    _place: OwnedSemaphorePermit,
    leaving: CancellationToken,
}

impl Watching {
    /// One that begins with what there is now, or from the start.
    pub(super) fn new(
        catalog: Catalog,
        (principal, only): (Principal, Option<Namespace>),
        from_start: bool,
        (recheck, place): (Recheck, OwnedSemaphorePermit),
        leaving: CancellationToken,
    ) -> Self {
        let (seen, waiting, looked) = (All::new(), VecDeque::new(), Instant::now());
        let mut watching = Self { catalog, principal, only, seen, waiting, looked, recheck, _place: place, leaving };
        if !from_start {
            watching.seen = watching.look();
        }
        watching
    }

    /// The changes.
    pub(super) fn changes(self) -> BoxStream<'static, Result<CatalogChange, Status>> {
        stream::unfold(Some(self), |watching| async move {
            let mut watching = watching?;
            match watching.next().await {
                Ok(Some(change)) => Some((Ok(change), Some(watching))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<CatalogChange>, Status> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Ok(Some(change));
            }
            tokio::select! {
                () = self.leaving.cancelled() => return Ok(None),
                why = self.recheck.refused() => return Err(refused(why)),
                () = sleep_until(self.looked + LOOKED_EVERY) => {}
            }
            self.looked = Instant::now();
            let now = self.look();
            self.waiting = differences(&self.seen, &now);
            self.seen = now;
        }
    }

    /// All that whoever watches sees now.
    fn look(&self) -> All {
        let mut all = All::new();
        let shown = |namespace: &Namespace| {
            self.principal.may_query(namespace) && self.only.as_ref().is_none_or(|only| only == namespace)
        };
        for namespace in self.catalog.namespaces().into_iter().filter(shown) {
            let events = self.catalog.events(&namespace);
            let seen = Seen {
                version: events.head.version,
                system_time: (events.head.version > 0).then_some(events.system_time),
                retention: self.catalog.retention_said(&namespace, None),
                ..Seen::default()
            };
            all.insert((namespace.clone(), None), seen);
            for known in self.catalog.collections(&namespace) {
                let manifest = self.catalog.manifest(&namespace, &known.name);
                let seen = Seen {
                    version: manifest.head.version,
                    system_time: (manifest.head.version > 0).then_some(manifest.system_time),
                    columns: known.schema.id,
                    declared: self.catalog.declared(&namespace, &known.name).last().map_or(0, |one| one.version),
                    snapshots: manifest.snapshots.iter().map(|snapshot| snapshot.name.clone()).collect(),
                    retention: self.catalog.retention_said(&namespace, Some(&known.name)),
                    created_at: Some(known.created_at),
                };
                all.insert((namespace.clone(), Some(known.name.clone())), seen);
            }
        }
        all
    }
}

/// The end of a stream whose token opens nothing any more.
fn refused(why: NoLogin) -> Status {
    let problem = Problem::new(why.kind(), why.code(), why.to_string());
    tidemark_proto::status::of(&problem, Code::from_i32(why.kind().grpc()))
}

/// What has to be told so that whoever knew the one knows the other.
fn differences(before: &All, now: &All) -> VecDeque<CatalogChange> {
    let mut changes = VecDeque::new();
    for ((namespace, collection), seen) in now {
        let known = before.get(&(namespace.clone(), collection.clone()));
        let is_another = known.is_some_and(|known| known.created_at != seen.created_at);
        let known = known.filter(|_| !is_another);
        let was = known.cloned().unwrap_or_default();
        let table = collection.as_ref().map_or("", CollectionName::as_str);
        let mut tell = |kind: Kind, table: &str, version: u64, system_time: Option<SystemTime>| {
            let (namespace, table) = (namespace.to_string(), table.to_owned());
            let system_time_us = system_time.map(SystemTime::micros);
            changes.push_back(CatalogChange { kind: kind.into(), namespace, table, version, system_time_us });
        };
        if is_another {
            tell(Kind::CollectionDropped, table, 0, None);
        }
        if known.is_none() {
            let kind = if collection.is_some() { Kind::CollectionCreated } else { Kind::NamespaceCreated };
            tell(kind, table, 0, None);
        }
        if seen.declared > was.declared {
            tell(Kind::SchemaDeclared, table, u64::from(seen.declared), None);
        }
        if seen.columns != was.columns {
            tell(Kind::ColumnsChanged, table, u64::from(seen.columns), None);
        }
        if seen.version != was.version {
            let of = if collection.is_some() { table } else { EVENTS };
            tell(Kind::Committed, of, seen.version, seen.system_time);
        }
        if seen.snapshots != was.snapshots {
            tell(Kind::SnapshotsChanged, table, seen.version, None);
        }
        if seen.retention != was.retention {
            tell(Kind::RetentionChanged, table, 0, None);
        }
    }
    // Collections before their namespace.
    for (namespace, collection) in before.keys().rev().filter(|key| !now.contains_key(*key)) {
        let kind = if collection.is_some() { Kind::CollectionDropped } else { Kind::NamespaceDropped };
        let table = collection.as_ref().map_or_else(String::new, ToString::to_string);
        let (namespace, kind) = (namespace.to_string(), kind.into());
        changes.push_back(CatalogChange { kind, namespace, table, version: 0, system_time_us: None });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once_in_the_order_in_which_it_can_be_used() {
        let shop = Namespace::parse("shop").expect("a name");
        let orders = CollectionName::parse("orders").ok();
        let of = |version, columns| Seen { version, columns, ..Seen::default() };
        let first: All = [((shop.clone(), None), of(1, 0)), ((shop.clone(), orders.clone()), of(0, 1))].into();
        let told = |before: &All, now: &All| -> Vec<(Kind, String, u64)> {
            let changes = differences(before, now).into_iter();
            changes.map(|change| (change.kind(), change.table, change.version)).collect()
        };
        let named = |kind, table: &str, version| (kind, table.to_owned(), version);
        assert_eq!(
            told(&All::new(), &first),
            [
                named(Kind::NamespaceCreated, "", 0),
                named(Kind::Committed, "events", 1),
                named(Kind::CollectionCreated, "orders", 0),
                named(Kind::ColumnsChanged, "orders", 1),
            ]
        );
        assert!(told(&first, &first).is_empty());
        let mut second = first.clone();
        second.insert((shop.clone(), orders.clone()), Seen { version: 3, snapshots: vec!["a".to_owned()], ..of(3, 1) });
        assert_eq!(
            told(&first, &second),
            [named(Kind::Committed, "orders", 3), named(Kind::SnapshotsChanged, "orders", 3)]
        );
        let mut third = second.clone();
        third.insert((shop, orders), Seen { created_at: Some(SystemTime::MIN), ..of(4, 0) });
        assert_eq!(
            told(&second, &third),
            [
                named(Kind::CollectionDropped, "orders", 0),
                named(Kind::CollectionCreated, "orders", 0),
                named(Kind::Committed, "orders", 4),
            ]
        );
        assert_eq!(
            told(&second, &All::new()),
            [named(Kind::CollectionDropped, "orders", 0), named(Kind::NamespaceDropped, "", 0)]
        );
    }
}
