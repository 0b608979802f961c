//! Publishing through its door: a lake in memory and on a local disk, whose lists have no order.

use tidemark_model::{Ids, Mark, Positions, Shard, clock::ManualClock};
use tidemark_storage::Store;

use super::*;
use crate::{
    EventsManifest,
    catalog::Deps,
    manifest::{EventsFile, Range},
};

struct World {
    catalog: Catalog,
    publisher: Publisher,
    clock: Arc<ManualClock>,
    namespace: Namespace,
}

impl World {
    async fn on(store: Store) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(1_000_000_000)));
        let (ids, metrics) = (Arc::new(Ids::seeded(1)), prometheus::Registry::new());
        let deps = Deps { store, clock: clock.clone(), ids, metrics };
        let catalog = Catalog::open(crate::catalog::Config::default(), deps).await.unwrap();
        let namespace = Namespace::parse("shop").unwrap();
        catalog.observe(&namespace, Instant::from_micros(1), &[]);
        let config = Config { enabled: true, interval_s: 0 };
        let publisher = Publisher::new(catalog.clone(), config, Points::default());
        Self { catalog, publisher, clock, namespace }
    }

    /// Commits files that hold the sequences from one up to another.
    async fn commit(&self, files: &[(i64, i64)]) {
        let on = self.catalog.events(&self.namespace);
        let last = files.iter().map(|(_, last)| *last).max().unwrap();
        let next = EventsManifest {
            files: files.iter().map(|run| file(*run)).collect(),
            mark: Mark::of(Shard(3), last),
            system_time: Instant::from_micros(1000 + last),
            ..EventsManifest::clone(&on)
        };
        let _committed = self.catalog.commit_events(&self.namespace, &on, next).await.unwrap();
    }

    async fn publish(&self, how: How) -> Option<Publication> {
        self.publisher.publish(&self.namespace, &Table::Events, how).await.unwrap()
    }

    async fn published_up_to(&self) -> Option<Instant> {
        self.catalog.published_up_to(&self.namespace, &Table::Events).await
    }

    /// The versions that the log of the events still tells.
    async fn versions(&self) -> Vec<u64> {
        let listed = self.catalog.store().list(&ObjectPath::from("shop/events/_delta_log")).await.unwrap();
        let plain = listed.iter().filter(|object| !paths::is_delta_checkpoint(&object.location));
        let mut versions: Vec<u64> = plain.filter_map(|object| paths::delta_log_version(&object.location)).collect();
        versions.sort_unstable();
        versions
    }

    async fn held(&self, path: &str, retention_s: u64) -> bool {
        let retention = Duration::from_secs(retention_s);
        let held = self.catalog.published((&self.namespace, &Table::Events), retention).await.unwrap();
        held.holds(&ObjectPath::from(path)).is_some()
    }
}

fn file((first, last): (i64, i64)) -> EventsFile {
    let range = Range { min: Instant::from_micros(1000 + first), max: Instant::from_micros(1000 + last) };
    EventsFile {
        path: path((first, last)),
        planned_on: 0,
        rows: u64::try_from(last - first + 1).unwrap(),
        bytes: 10,
        sha256: String::new(),
        positions: vec![Positions { shard: Shard(3), first, last }],
        system_time: range,
        ts: range,
        collections: Vec::new(),
    }
}

fn path((first, last): (i64, i64)) -> String {
    format!("shop/events/2026/{first}-{last}.parquet")
}

/// Version, files, added, removed.
fn told(publication: Option<Publication>) -> Option<(u64, u64, u64, u64)> {
    publication.map(|done| (done.version, done.files, done.added, done.removed))
}

#[tokio::test]
async fn versions_follow_the_manifest_and_nothing_is_published_twice() {
    let world = World::on(Store::memory()).await;
    assert_eq!(told(world.publish(How::Further).await), None, "no table before the first file");
    assert_eq!(world.published_up_to().await, None);
    world.commit(&[(0, 4)]).await;
    assert_eq!(told(world.publish(How::Further).await), Some((0, 1, 1, 0)));
    assert_eq!(told(world.publish(How::Further).await), Some((0, 1, 0, 0)));
    world.commit(&[(0, 4), (5, 9)]).await;
    assert_eq!(told(world.publish(How::Further).await), Some((1, 2, 1, 0)));
    // Compacted: rows move, and a table that only grows takes it.
    world.commit(&[(0, 9), (10, 11)]).await;
    assert_eq!(world.published_up_to().await, Some(Instant::from_micros(1009)));
    assert_eq!(told(world.publish(How::Further).await), Some((2, 2, 2, 2)));
    assert_eq!(world.published_up_to().await, Some(Instant::from_micros(1011)));
    assert_eq!(told(world.publish(How::Anew).await), Some((3, 2, 2, 0)));
    assert_eq!(world.versions().await, [3], "nothing older is left");
    assert_eq!(told(world.publish(How::Further).await), Some((3, 2, 0, 0)));
    world.commit(&[(0, 9), (10, 11), (12, 13)]).await;
    assert_eq!(told(world.publish(How::Further).await), Some((4, 3, 1, 0)));
    assert_eq!(told(world.publish(How::Anew).await), Some((5, 3, 3, 0)));
    assert_eq!(world.versions().await, [5]);
}

#[tokio::test]
async fn a_removed_file_is_held_until_the_retention_has_passed() {
    let world = World::on(Store::memory()).await;
    world.commit(&[(0, 4), (5, 9)]).await;
    assert!(!world.held(&path((0, 4)), 0).await, "not published yet");
    world.publish(How::Further).await;
    assert!(world.held(&path((0, 4)), 0).await, "seen by others");
    world.commit(&[(0, 9)]).await;
    assert!(world.held(&path((0, 4)), 0).await, "others have not seen that it is gone");
    world.publish(How::Further).await;
    world.clock.set(Instant::from_micros(1_000_000_000 + 60_000_000));
    for (retention_s, expected) in [(0, false), (59, false), (61, true)] {
        assert_eq!(world.held(&path((0, 4)), retention_s).await, expected, "{retention_s}");
    }
    assert!(!world.held("shop/orders/state/x.parquet", 61).await, "another table");
    // Written anew, what was removed is still on the list.
    world.publish(How::Anew).await;
    assert!(world.held(&path((0, 4)), 61).await);
    // A log that cannot be read tells nothing, so everything stays.
    let listed = world.catalog.store().list(&ObjectPath::from("shop/events/_delta_log")).await.unwrap();
    let needed = listed.into_iter().map(|object| object.location).find(paths::is_delta_checkpoint).unwrap();
    world.catalog.store().put(&needed, "{".into()).await.unwrap();
    assert!(world.held(&path((100, 101)), 0).await);
    assert!(world.publisher.publish(&world.namespace, &Table::Events, How::Further).await.is_err());
    assert_eq!(told(world.publish(How::Anew).await), Some((0, 1, 1, 0)));
}

/// Cut off anywhere, a rebuild leaves a table that others read, and the next run ends it.
#[tokio::test]
async fn a_rebuild_that_is_cut_off_is_ended_by_the_next_run() {
    for (point, versions) in [
        ("publish.committed", vec![0, 1, 2, 3]),
        ("publish.checkpointed", vec![0, 1, 2, 3]),
        ("publish.shortened", vec![3]),
    ] {
        let mut world = World::on(Store::memory()).await;
        for files in [&[(0, 4)][..], &[(0, 4), (5, 9)], &[(0, 9), (10, 11)]] {
            world.commit(files).await;
            world.publish(How::Further).await;
        }
        let reached = Arc::new(tokio::sync::Notify::new());
        let (config, catalog) = (world.publisher.config.clone(), world.catalog.clone());
        let notify = Arc::clone(&reached);
        let points = Points::hooked(move |passed| {
            let (notify, is_it) = (Arc::clone(&notify), passed == point);
            Box::pin(async move {
                if is_it {
                    notify.notify_one();
                    std::future::pending::<()>().await;
                }
            })
        });
        let dies = Publisher::new(catalog.clone(), config.clone(), points);
        tokio::select! {
            _ = dies.publish(&world.namespace, &Table::Events, How::Anew) => panic!("{point} was not passed"),
            () = reached.notified() => {}
        }
        assert_eq!(world.versions().await, versions, "{point}");
        if point == "publish.checkpointed" {
            // In the middle of a deletion of many.
            let oldest = ObjectPath::from("shop/events/_delta_log/00000000000000000000.json");
            catalog.store().delete(&oldest).await.unwrap();
        }
        let log = Log::open(catalog.store(), &ObjectPath::from("shop/events")).await.unwrap();
        let published = log.published.unwrap();
        assert_eq!((published.version, published.files.len()), (3, 2), "{point}: readable");
        world.publisher = Publisher::new(catalog, config, Points::default());
        assert_eq!(told(world.publish(How::Further).await), Some((3, 2, 0, 0)), "{point}");
        assert_eq!(world.versions().await, [3], "{point}: ended");
        world.clock.set(Instant::from_micros(1_000_000_000 + 60_000_000));
        assert!(world.held(&path((0, 4)), 61).await, "{point}: what was removed is still on the list");
    }
}

/// Nothing could be told on top of it, and what it names would be held for ever.
#[tokio::test]
async fn a_log_that_cannot_be_read_goes_with_what_was_erased() {
    let world = World::on(Store::memory()).await;
    world.commit(&[(0, 4)]).await;
    world.publish(How::Further).await;
    let entry = ObjectPath::from("shop/events/_delta_log/00000000000000000000.json");
    world.catalog.store().put(&entry, "{".into()).await.unwrap();
    assert!(world.held(&path((0, 4)), 0).await);
    let on = world.catalog.events(&world.namespace);
    let _erased = world.catalog.commit_events(&world.namespace, &on, on.begun_anew()).await.unwrap();
    let erased = Standing::Erased { at: world.catalog.events(&world.namespace).system_time };
    world.catalog.stand(&world.namespace, None, erased).await.unwrap();
    assert_eq!(told(world.publish(How::Further).await), None);
    assert!(!world.held(&path((0, 4)), 0).await && world.versions().await.is_empty());
}

/// A disk lists in no order, and after some versions there are checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn many_versions_are_read_from_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(Store::local(folder.path().to_owned()).unwrap()).await;
    let mut files = Vec::new();
    for n in 0..70 {
        files.push((n, n));
        world.commit(&files).await;
        let version = u64::try_from(n).unwrap();
        assert_eq!(told(world.publish(How::Further).await), Some((version, version + 1, 1, 0)));
    }
    let listed = world.catalog.store().list(&ObjectPath::from("shop/events/_delta_log")).await.unwrap();
    let checkpoints = listed.iter().filter(|object| object.location.as_ref().contains(".checkpoint."));
    assert_eq!(checkpoints.count(), 2);
}

#[tokio::test]
async fn a_manifest_that_says_the_same_is_not_compared_with_what_is_published() {
    let world = World::on(Store::memory()).await;
    let tick = async || assert_eq!(world.publisher.tick().await.unwrap(), More::No);
    world.commit(&[(0, 4)]).await;
    tick().await;
    assert_eq!(world.versions().await, [0]);
    // Whoever looks at the log finds it gone, and publishes anew.
    world.catalog.store().delete(&ObjectPath::from(format!("shop/events/_delta_log/{:020}.json", 0))).await.unwrap();
    world.commit(&[(0, 4)]).await;
    tick().await;
    assert_eq!(world.versions().await, [0; 0], "nobody looked");
    world.commit(&[(0, 4), (5, 9)]).await;
    tick().await;
    assert_eq!(world.versions().await, [0]);
}
