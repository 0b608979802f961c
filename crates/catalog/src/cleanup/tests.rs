//! Clean-up of the events table through its door, over a lake in memory.

use tidemark_model::{Ids, Instant, Mark, Positions, Shard, clock::ManualClock};
use tidemark_storage::Store;

use super::*;
use crate::{
    catalog::Deps,
    manifest::{EventsFile, Range, Sidecar},
};

struct World {
    catalog: Catalog,
    namespace: Namespace,
}

impl World {
    async fn on(store: Store) -> Self {
        let clock = Arc::new(ManualClock::at(Instant::from_micros(1_000_000_000)));
        let deps = Deps { store, clock, ids: Arc::new(Ids::seeded(1)), metrics: prometheus::Registry::new() };
        let catalog = Catalog::open(crate::catalog::Config::default(), deps).await.unwrap();
        let namespace = Namespace::parse("shop").unwrap();
        catalog.observe(&namespace, Instant::from_micros(1), &[]);
        catalog.persist(&namespace).await.unwrap();
        Self { catalog, namespace }
    }

    fn cleaner(&self, grace_s: u64, manifests_max: u64) -> Cleaner {
        let (grace, external_retention) = (Duration::from_secs(grace_s), Duration::ZERO);
        let limits = Limits { grace, external_retention, manifests_max };
        Cleaner::new(self.catalog.clone(), limits, ("cleanup", Points::default()))
    }

    async fn put(&self, names: &[&str]) {
        for name in names {
            self.catalog.store().put(&path(name), "x".into()).await.unwrap();
        }
    }

    /// Commits events files, and everything besides as sidecars.
    async fn commit(&self, files: &[&str], sidecars: &[&str]) {
        let on = self.catalog.events(&self.namespace);
        let next = EventsManifest {
            files: (0..).zip(files).map(|(at, name)| file(name, at)).collect(),
            sidecars: sidecars.iter().map(|name| sidecar(name)).collect(),
            mark: Mark::of(Shard(0), i64::try_from(files.len()).unwrap() - 1),
            ..EventsManifest::clone(&on)
        };
        let _committed = self.catalog.commit_events(&self.namespace, &on, next).await.unwrap();
    }

    async fn run(&self, cleaner: &Cleaner) -> (Cleaned, u64) {
        let swept = cleaner.run(&self.namespace, &Table::Events).await.unwrap();
        (swept.cleaned, swept.trimmed)
    }

    async fn left(&self) -> Vec<String> {
        let listed = self.catalog.store().list(&ObjectPath::from("shop/events")).await.unwrap();
        let names = listed.iter().map(|object| object.location.to_string());
        names.filter(|name| !name.contains("/_manifest/") && !name.contains("/_floor/")).collect()
    }
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::from(format!("shop/events/{name}"))
}

fn at() -> Range<Instant> {
    Range { min: Instant::from_micros(1), max: Instant::from_micros(1) }
}

fn file(name: &str, seq: i64) -> EventsFile {
    EventsFile {
        path: path(name).to_string(),
        planned_on: 0,
        rows: 1,
        bytes: 1,
        sha256: String::new(),
        positions: vec![Positions { shard: Shard(0), first: seq, last: seq }],
        system_time: at(),
        ts: at(),
        collections: Vec::new(),
    }
}

fn sidecar(name: &str) -> Sidecar {
    Sidecar { path: path(name).to_string(), rows: 1, bytes: 1, sha256: String::new(), system_time: at() }
}

#[tokio::test]
async fn what_no_manifest_names_goes_and_nothing_else() {
    let world = World::on(Store::memory()).await;
    let kept = ["2026/01/a.parquet", "2026/02/b.parquet", "_idempotency/k.parquet", "notes.txt"];
    let gone = ["2026/01/orphan.parquet", "_idempotency/merged.parquet"];
    world.put(&kept).await;
    world.put(&gone).await;
    world.commit(&[kept[0], kept[1]], &[kept[2]]).await;

    let patient = world.cleaner(3600, 4096);
    let waiting = async || patient.run(&world.namespace, &Table::Events).await.unwrap().waiting;
    assert_eq!((waiting().await, waiting().await), (2, 0), "until the grace has passed nobody looks again");
    assert_eq!(world.catalog.events(&world.namespace).head.version, 1, "waiting commits nothing");
    assert_eq!(patient.sweep(&world.namespace, &Table::Events).await.unwrap().waiting, 2);
    let unnamed = patient.unnamed(&world.namespace, &Table::Events).await.unwrap();
    assert_eq!(unnamed, gone.map(path));

    let hasty = world.cleaner(0, 4096);
    assert_eq!(world.run(&hasty).await, (Cleaned::Deleted(2), 0));
    let expected: Vec<String> = kept.iter().map(|name| path(name).to_string()).collect();
    assert_eq!(world.left().await, expected);
    let head = world.catalog.events(&world.namespace).head.clone();
    assert_eq!((head.version, head.orphans_below), (2, 2), "who planned on version 1 may not commit what he wrote");

    assert_eq!(world.run(&hasty).await, (Cleaned::Nothing, 0));
    // Clean at this version: what comes without a commit is not looked for, unless somebody asks.
    world.put(&gone).await;
    assert_eq!(world.run(&hasty).await, (Cleaned::Nothing, 0));
    let swept = hasty.sweep(&world.namespace, &Table::Events).await.unwrap();
    assert_eq!(swept, Swept { cleaned: Cleaned::Deleted(2), waiting: 0, trimmed: 0 });
    world.put(&gone).await;
    world.commit(&[kept[0], kept[1]], &[kept[2]]).await;
    assert_eq!(world.run(&hasty).await, (Cleaned::Deleted(2), 0));
}

#[tokio::test]
async fn manifests_long_past_go_and_the_newest_is_found() {
    let store = Store::memory();
    let world = World::on(store.clone()).await;
    world.put(&["a.parquet"]).await;
    for _ in 0..5 {
        world.commit(&["a.parquet"], &[]).await;
    }
    let cleaner = world.cleaner(0, 2);
    assert_eq!(world.run(&cleaner).await, (Cleaned::Nothing, 2));
    let numbers = store.list(&ObjectPath::from("shop/events/_manifest")).await.unwrap().len();
    assert_eq!(numbers, 3);
    let again = World::on(store).await;
    assert_eq!(again.catalog.events(&again.namespace).head.version, 5);
}

#[tokio::test]
async fn a_commit_in_between_deletes_nothing() {
    let world = World::on(Store::memory()).await;
    world.put(&["a.parquet", "b.parquet"]).await;
    world.commit(&["a.parquet"], &[]).await;
    let (catalog, namespace) = (world.catalog.clone(), world.namespace.clone());
    // Between the look at the newest manifest and the commit, another names the file.
    let hook = Points::hooked(move |name| {
        let (catalog, namespace, is_now) = (catalog.clone(), namespace.clone(), name == "cleanup.written");
        Box::pin(async move {
            if is_now {
                World { catalog, namespace }.commit(&["a.parquet", "b.parquet"], &[]).await;
            }
        })
    });
    let cleaner = Cleaner { points: ("cleanup", hook), ..world.cleaner(0, 4096) };
    assert_eq!(world.run(&cleaner).await, (Cleaned::Lost, 0));
    assert_eq!(world.left().await.len(), 2);
}
