//! The catalog through its handle: news, persistence, commits, owners.

use tidemark_model::{Retention, clock::ManualClock, position::Positions};

use super::*;
use crate::manifest::{EventsFile, Range};

/// The system time of an append whose time does not matter.
const AT: Instant = Instant::from_micros(5);

/// A lake in memory that can be opened again and again, each time as by a new process.
struct World {
    store: Store,
    clock: Arc<ManualClock>,
    seed: u128,
}

impl World {
    fn new() -> Self {
        Self::on(Store::memory())
    }

    fn on(store: Store) -> Self {
        Self { store, clock: Arc::new(ManualClock::at(Instant::from_micros(1_000_000_000))), seed: 0 }
    }

    async fn open(&mut self) -> Catalog {
        self.try_open().await.unwrap()
    }

    async fn try_open(&mut self) -> Result<Catalog, CatalogError> {
        self.seed += 1;
        let metrics = prometheus::Registry::new();
        let ids = Arc::new(Ids::seeded(self.seed));
        let deps = Deps { store: self.store.clone(), clock: self.clock.clone(), ids, metrics };
        Catalog::open(Config::default(), deps).await
    }

    async fn paths(&self, below: &str) -> Vec<String> {
        let listed = self.store.list(&tidemark_storage::ObjectPath::from(below)).await.unwrap();
        listed.into_iter().map(|object| object.location.to_string()).collect()
    }
}

fn nyc() -> Namespace {
    Namespace::parse("nyc").unwrap()
}

fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

fn created(text: &str, shard: u16) -> SchemaChange {
    let created_at = Instant::from_micros(5);
    SchemaChange::Created { collection: name(text), directory: text.to_owned(), shard: Shard(shard), created_at }
}

fn evolved(text: &str, id: u32) -> SchemaChange {
    let fields: Vec<String> = (1..=id).map(|id| format!(r#"{{"id":{id},"name":"f{id}","kinds":2}}"#)).collect();
    let schema = serde_json::from_str(&format!(r#"{{"id":{id},"fields":[{}]}}"#, fields.join(","))).unwrap();
    SchemaChange::Evolved { collection: name(text), schema }
}

/// A successor that has taken in one more event of shard 3.
fn grown(on: &EventsManifest) -> EventsManifest {
    let mut next = on.clone();
    let seq = on.mark.seq(Shard(3)) + 1;
    let at = Instant::from_micros(1000 + seq);
    next.mark.raise(Shard(3), seq);
    next.system_time = at;
    next.files.push(EventsFile {
        path: format!("nyc/events/{seq}.parquet"),
        planned_on: on.head.version,
        rows: 1,
        bytes: 1,
        sha256: String::new(),
        positions: vec![Positions { shard: Shard(3), first: seq, last: seq }],
        system_time: Range { min: at, max: at },
        ts: Range { min: at, max: at },
        collections: Vec::new(),
    });
    next
}

fn committed<M>(commit: Commit<M>) -> Arc<M> {
    match commit {
        Commit::Committed(manifest) => manifest,
        Commit::Lost { .. } => panic!("lost"),
    }
}

#[tokio::test]
async fn what_was_persisted_is_there_again_and_what_was_not_is_not() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::local(directory.path().to_owned()).unwrap()] {
        let mut world = World::on(store);
        let first = world.open().await;
        first.observe(&nyc(), AT, &[created("flights", 3), evolved("flights", 1), evolved("flights", 2)]);
        first.observe(&Namespace::parse("quiet").unwrap(), AT, &[]);
        first.persist(&nyc()).await.unwrap();
        first.persist(&nyc()).await.unwrap();
        assert_eq!(world.paths("_tidemark/catalog").await.len(), 1, "no news, no entry");
        first.observe(&nyc(), AT, &[evolved("flights", 3)]);
        assert_eq!(first.namespaces().len(), 2);

        let second = world.open().await;
        assert_eq!((second.epoch(), second.shards(), second.cluster()), (2, 16, first.cluster()));
        assert_eq!(second.namespaces(), [nyc()]);
        let flights = second.collection(&nyc(), &name("flights")).unwrap();
        assert_eq!((flights.shard, flights.schema.id, flights.directory.as_str()), (Shard(3), 2, "flights"));
        assert_eq!(second.collections(&nyc()), [flights]);
        // Replay repeats everything, older schemas too: only the news counts.
        second.observe(
            &nyc(),
            AT,
            &[created("flights", 9), evolved("flights", 1), evolved("flights", 3), evolved("flights", 2)],
        );
        let flights = second.collection(&nyc(), &name("flights")).unwrap();
        assert_eq!((flights.shard, flights.schema.id, flights.schema.fields.len()), (Shard(3), 3, 3));
    }
}

#[tokio::test]
async fn the_schemas_of_every_instant_stay_known() {
    let mut world = World::new();
    let first = world.open().await;
    let at = |micros| Instant::from_micros(micros);
    first.observe(&nyc(), at(10), &[created("flights", 3), evolved("flights", 1)]);
    first.observe(&nyc(), at(20), &[evolved("flights", 2)]);
    first.persist(&nyc()).await.unwrap();
    first.observe(&nyc(), at(30), &[evolved("flights", 3)]);
    first.persist(&nyc()).await.unwrap();
    let known = |catalog: &Catalog| {
        let flights = catalog.collection(&nyc(), &name("flights")).unwrap();
        [9, 10, 19, 20, 30, 99].map(|micros| flights.steps.at(at(micros)).unwrap().id)
    };
    assert_eq!(known(&first), [0, 1, 1, 2, 3, 3]);
    let second = world.open().await;
    assert_eq!(known(&second), known(&first), "from differences");
    // Replay tells of them again, and of one more.
    second.observe(&nyc(), at(30), &[evolved("flights", 3)]);
    for nth in 0..64 {
        second.observe(&nyc(), at(200), &[created(&format!("c{nth}"), 1)]);
        second.persist(&nyc()).await.unwrap();
    }
    assert_eq!(known(&world.open().await), known(&first), "from a checkpoint");
}

#[tokio::test]
async fn retention_is_said_taken_back_and_still_there_after_a_restart() {
    let mut world = World::new();
    let catalog = world.open().await;
    let (flights, other) = (name("flights"), name("other"));
    let days = |daily| Retention { daily: Some(daily), ..Retention::default() };
    let window = Retention { history_window_s: Some(60), daily: Some(1), ..Retention::default() };
    catalog.keep(&nyc(), None, window).await.unwrap();
    catalog.keep(&nyc(), Some(&flights), days(9)).await.unwrap();
    catalog.keep(&nyc(), Some(&flights), days(9)).await.unwrap();
    assert_eq!(world.paths("_tidemark/catalog").await.len(), 2, "said again is said");
    let effective = |catalog: &Catalog| [&flights, &other].map(|name| catalog.retention(&nyc(), name));
    let expected = [Retention { daily: Some(9), ..window }, window];
    assert_eq!(effective(&catalog), expected);
    assert_eq!(effective(&world.open().await), expected);
    // Over a checkpoint too, and what is taken back at the very number of one stays so.
    let catalog = world.open().await;
    for nth in 0..61 {
        catalog.keep(&nyc(), Some(&other), days(nth)).await.unwrap();
    }
    catalog.keep(&nyc(), Some(&other), Retention::default()).await.unwrap();
    assert_eq!(world.paths("_tidemark/catalog").await.len(), 64);
    assert_eq!(effective(&catalog), expected);
    assert_eq!(effective(&world.open().await), expected);
}

/// What stands in entries and what stands in checkpoints is the same: every case is looked at at every distance from one.
#[tokio::test]
async fn what_was_dropped_or_erased_stays_so_and_begins_anew_with_later_appends() {
    let later = |micros| SchemaChange::Created {
        collection: name("flights"),
        directory: "flights".to_owned(),
        shard: Shard(3),
        created_at: Instant::from_micros(micros),
    };
    let erased = Standing::Erased { at: Instant::from_micros(50) };
    for more in 0..70 {
        let mut world = World::new();
        let catalog = world.open().await;
        catalog.observe(&nyc(), AT, &[created("flights", 3), evolved("flights", 2), created("planes", 4)]);
        let dropped = Standing::Dropped { at: AT, until: Instant::from_micros(9) };
        catalog.stand(&nyc(), Some(&name("flights")), dropped).await.unwrap();
        for number in 0..more {
            let said = Retention { daily: Some(number), ..Retention::default() };
            catalog.keep(&nyc(), Some(&name("flights")), said).await.unwrap();
        }
        let catalog = world.open().await;
        let live =
            |catalog: &Catalog| catalog.collections(&nyc()).iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        assert_eq!(live(&catalog), ["planes"]);
        assert_eq!(catalog.away(), [(nyc(), Some(name("flights")), dropped)]);
        assert_eq!(catalog.any_collection(&nyc(), &name("flights")).unwrap().schema.fields.len(), 2);
        catalog.stand(&nyc(), Some(&name("flights")), erased).await.unwrap();
        // A log that is replayed tells of the old one; only an append above it makes a new one.
        for catalog in [catalog, world.open().await] {
            assert!(catalog.retention_said(&nyc(), Some(&name("flights"))).is_nothing());
            catalog.observe(&nyc(), AT, &[created("flights", 3), evolved("flights", 2)]);
            assert_eq!(catalog.standing(&nyc(), Some(&name("flights"))), Some(erased), "{more}");
            let known = catalog.any_collection(&nyc(), &name("flights")).unwrap();
            assert_eq!((known.schema.id, known.schema.fields.len()), (2, 0), "{more}");
        }
        let catalog = world.open().await;
        catalog.observe(&nyc(), Instant::from_micros(60), &[later(60)]);
        catalog.persist(&nyc()).await.unwrap();
        let catalog = world.open().await;
        assert_eq!(live(&catalog), ["flights", "planes"]);
        let erased_at = catalog.collection(&nyc(), &name("flights")).unwrap().erased_at;
        assert_eq!(erased_at, Some(Instant::from_micros(50)), "{more}");
        catalog.stand(&nyc(), None, Standing::Erased { at: Instant::from_micros(70) }).await.unwrap();
        let catalog = world.open().await;
        assert!(catalog.namespaces().is_empty() && live(&catalog).is_empty());
        catalog.observe(&nyc(), Instant::from_micros(70), &[later(60)]);
        assert!(catalog.namespaces().is_empty(), "{more}");
        catalog.observe(&nyc(), Instant::from_micros(71), &[later(71)]);
        catalog.persist(&nyc()).await.unwrap();
        let catalog = world.open().await;
        assert_eq!((catalog.namespaces(), live(&catalog)), (vec![nyc()], vec!["flights".to_owned()]));
    }
}

/// Its erasure is of the last append, which is older than a collection that was made by its name alone.
#[tokio::test]
async fn a_collection_that_never_had_a_record_stays_erased() {
    let other = Namespace::parse("sea").unwrap();
    for whole in [false, true] {
        let mut world = World::new();
        let catalog = world.open().await;
        catalog.observe(&nyc(), AT, &[created("flights", 3)]);
        catalog.observe(&other, AT, &[]);
        catalog.persist(&other).await.unwrap();
        let of = (!whole).then(|| name("flights"));
        catalog.stand(&nyc(), of.as_ref(), Standing::Erased { at: Instant::MIN }).await.unwrap();
        // Over a checkpoint.
        for daily in 0..70 {
            catalog.keep(&other, None, Retention { daily: Some(daily), ..Retention::default() }).await.unwrap();
        }
        for catalog in [catalog, world.open().await] {
            assert!(catalog.collections(&nyc()).is_empty(), "{whole}");
            catalog.observe(&nyc(), Instant::from_micros(100), &[]);
            assert!(catalog.collections(&nyc()).is_empty(), "{whole}: an append to the namespace brings nothing back");
        }
    }
}

/// While an entry that holds everything is being written appends go on: what it says of an earlier life counts no more.
#[test]
fn an_entry_of_before_does_not_take_a_new_life_back() {
    let at = Instant::from_micros;
    let entry = |content| Entry::new(64, 1, String::new(), AT, content);
    let stood = |collection, standing| {
        let standings = vec![tidemark_model::Stood { collection, standing }];
        entry(Content::Changes(vec![NamespaceChanges { standings, ..NamespaceChanges::of(nyc()) }]))
    };
    for whole in [false, true] {
        let mut state = State::new(Store::memory());
        state.observe(&nyc(), AT, &[created("flights", 3), evolved("flights", 2)]);
        let of = (!whole).then(|| name("flights"));
        state.absorb(&stood(of, Standing::Erased { at: at(50) }));
        let before = entry(Content::Checkpoint(state.checkpoint()));
        let again = SchemaChange::Created {
            collection: name("flights"),
            directory: "flights".to_owned(),
            shard: Shard(3),
            created_at: at(60),
        };
        state.observe(&nyc(), at(60), &[again, evolved("flights", 3)]);
        state.absorb(&before);
        let known = &state.namespaces[&nyc()];
        let flights = &known.collections[&name("flights")].known;
        assert!(known.standing.is_live() && flights.standing.is_live(), "{whole}");
        assert_eq!((flights.schema.id, flights.schema.fields.len()), (3, 3), "{whole}");
    }
}

#[tokio::test]
async fn a_namespace_without_collections_is_persisted_too() {
    let mut world = World::new();
    let first = world.open().await;
    first.observe(&nyc(), AT, &[]);
    first.persist(&nyc()).await.unwrap();
    assert_eq!(world.open().await.namespaces(), [nyc()]);
}

#[tokio::test]
async fn a_cold_start_reads_from_the_newest_checkpoint() {
    let mut world = World::new();
    let catalog = world.open().await;
    for at in 0..150 {
        catalog.observe(&nyc(), AT, &[created(&format!("c{at}"), 1)]);
        catalog.persist(&nyc()).await.unwrap();
    }
    // What lies below the newest checkpoint is not needed.
    for version in 1..128 {
        world.store.delete(&paths::entry(&paths::catalog(), version)).await.unwrap();
    }
    let register = Register::new(world.store.clone(), paths::catalog());
    register.raise_floor(128).await.unwrap();
    assert_eq!(world.open().await.collections(&nyc()).len(), 150);
}

#[tokio::test]
async fn commits_succeed_in_turn_and_the_frontier_follows() {
    let mut world = World::new();
    let catalog = world.open().await;
    catalog.observe(&nyc(), AT, &[created("flights", 3)]);
    catalog.persist(&nyc()).await.unwrap();
    assert_eq!(catalog.frontier(), (BTreeMap::new(), Instant::MIN));
    for version in 1..=5 {
        let on = catalog.events(&nyc());
        let next = committed(catalog.commit_events(&nyc(), &on, grown(&on)).await.unwrap());
        assert_eq!((next.head.version, next.head.epoch, next.files.len()), (version, 1, version as usize));
    }
    let on = catalog.manifest(&nyc(), &name("flights"));
    let next = CollectionManifest { mark: 2, ..(*on).clone() };
    committed(catalog.commit_collection((&nyc(), &name("flights")), &on, next).await.unwrap());

    for catalog in [catalog, world.open().await] {
        assert_eq!(catalog.frontier().0, BTreeMap::from([((nyc(), Shard(3)), 5)]));
        assert_eq!(catalog.frontier().1, Instant::from_micros(1004));
        assert_eq!(catalog.events_mark(&nyc()), Mark::of(Shard(3), 4));
        assert_eq!(catalog.manifest(&nyc(), &name("flights")).mark, 2);
    }
    let manifests = world.paths("nyc/events/_manifest").await;
    assert_eq!(manifests.last().unwrap(), "nyc/events/_manifest/00000000000000000005.json");
}

#[tokio::test]
async fn who_commits_on_an_old_manifest_has_lost_and_gets_the_newest() {
    let mut world = World::new();
    let catalog = world.open().await;
    catalog.observe(&nyc(), AT, &[]);
    let first = catalog.events(&nyc());
    committed(catalog.commit_events(&nyc(), &first, grown(&first)).await.unwrap());
    let second = catalog.events(&nyc());
    committed(catalog.commit_events(&nyc(), &second, grown(&second)).await.unwrap());
    for on in [&first, &second] {
        match catalog.commit_events(&nyc(), on, grown(on)).await.unwrap() {
            Commit::Lost { latest } => assert_eq!((latest.head.version, latest.files.len()), (2, 2)),
            Commit::Committed(_) => panic!("two commits of one number"),
        }
    }
    assert_eq!(catalog.events(&nyc()).head.version, 2);
}

#[tokio::test]
async fn a_second_owner_fences_the_first_from_every_commit() {
    let mut world = World::new();
    let first = world.open().await;
    first.observe(&nyc(), AT, &[created("flights", 3)]);
    first.persist(&nyc()).await.unwrap();
    let on = first.events(&nyc());
    committed(first.commit_events(&nyc(), &on, grown(&on)).await.unwrap());

    let second = world.open().await;
    let on = second.events(&nyc());
    committed(second.commit_events(&nyc(), &on, grown(&on)).await.unwrap());
    first.observe(&nyc(), AT, &[created("late", 3)]);
    let (on, table) = (first.events(&nyc()), first.manifest(&nyc(), &name("flights")));
    let refusals = [
        first.commit_events(&nyc(), &on, grown(&on)).await.map(|_| ()),
        first.commit_collection((&nyc(), &name("flights")), &table, (*table).clone()).await.map(|_| ()),
        first.persist(&nyc()).await,
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(CatalogError::Fenced { ours: 1, theirs: 2 })), "{refusal:?}");
    }
    assert_eq!(second.events(&nyc()).head.epoch, 2);
}

/// By halving the chain, and no further than to its floor.
#[tokio::test]
async fn the_newest_commit_up_to_an_epoch_is_found() {
    let mut world = World::new();
    // The versions that each epoch ends with; the third commits nothing.
    let ends = [3, 4, 4, 9, 10];
    let mut catalog = None;
    for end in ends {
        let owner = world.open().await;
        owner.observe(&nyc(), AT, &[]);
        owner.persist(&nyc()).await.unwrap();
        while owner.events(&nyc()).head.version < end {
            let on = owner.events(&nyc());
            committed(owner.commit_events(&nyc(), &on, grown(&on)).await.unwrap());
        }
        catalog = Some(owner);
    }
    let catalog = catalog.unwrap();
    let found = async |epoch| catalog.events_committed_up_to(&nyc(), epoch).await.unwrap().head.version;
    for (epoch, end) in (1..).zip(ends) {
        assert_eq!(found(epoch).await, end, "epoch {epoch}");
    }
    assert_eq!((found(0).await, found(99).await), (0, 10));
    // What lies below the floor is not believed, whether it is there or not.
    catalog.register(&nyc(), &Table::Events).unwrap().trim(5).await.unwrap();
    assert_eq!((found(1).await, found(3).await, found(4).await), (0, 0, 9));
}

#[tokio::test]
async fn orphans_below_never_falls_and_the_copy_is_written_once_a_second() {
    let mut world = World::new();
    let catalog = world.open().await;
    catalog.observe(&nyc(), AT, &[created("flights", 3)]);
    let copy = paths::manifest_copy(&nyc(), "flights");
    // The wall clock is not asked: a second passes from the end of one write to the next, whatever it says.
    for (second, orphans, expected) in [(false, 4, 1), (false, 2, 1), (false, 0, 1), (true, 0, 4), (false, 0, 4)] {
        world.clock.step(2_000_000);
        if second {
            tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
        }
        let on = catalog.manifest(&nyc(), &name("flights"));
        let mut next = (*on).clone();
        next.head.orphans_below = orphans;
        let next = catalog.commit_collection((&nyc(), &name("flights")), &on, next).await.unwrap();
        assert_eq!(committed(next).head.orphans_below, 4);
        let hint = tables::hint::<CollectionManifest>(&world.store, &copy).await;
        assert_eq!(hint, Some(expected), "of version {}", on.head.version + 1);
    }
    // An old copy, a broken one and none are all only hints.
    assert_eq!(world.open().await.manifest(&nyc(), &name("flights")).head.version, 0, "never persisted");
    catalog_with_copies(&mut world, &copy).await;
}

#[tokio::test]
async fn versions_stand_for_their_instant_also_when_their_manifest_is_gone() {
    let mut world = World::new();
    let catalog = world.open().await;
    catalog.observe(&nyc(), AT, &[created("flights", 3)]);
    catalog.persist(&nyc()).await.unwrap();
    let (flights, table) = (name("flights"), Table::Collection(name("flights")));
    // Two commits in three bring changes.
    let instant = |number: u64| Instant::from_micros(1000 + i64::try_from(number - number / 3).unwrap());
    for number in 1..=30 {
        let on = catalog.manifest(&nyc(), &flights);
        let next = CollectionManifest { mark: instant(number).micros(), system_time: instant(number), ..(*on).clone() };
        committed(catalog.commit_collection((&nyc(), &flights), &on, next).await.unwrap());
        catalog.trim_manifests(&nyc(), &table, 4).await.unwrap();
    }
    let kept = world.paths("nyc/flights/_manifest").await.len();
    assert!((4..=8).contains(&kept) && world.paths("nyc/flights/_versions").await.len() > 1, "{kept} are kept");
    for catalog in [catalog, world.open().await] {
        for number in 1..=30 {
            let found = catalog.version_instant(&nyc(), &table, number).await.unwrap();
            assert_eq!(found, Some(instant(number)), "version {number}");
        }
        for none in [0, 31] {
            assert_eq!(catalog.version_instant(&nyc(), &table, none).await.unwrap(), None);
        }
    }
}

async fn catalog_with_copies(world: &mut World, copy: &tidemark_storage::ObjectPath) {
    let catalog = world.open().await;
    catalog.observe(&nyc(), AT, &[created("flights", 3)]);
    catalog.persist(&nyc()).await.unwrap();
    world.store.put(copy, "{".into()).await.unwrap();
    assert_eq!(world.open().await.manifest(&nyc(), &name("flights")).head.version, 5);
    world.store.delete(copy).await.unwrap();
    assert_eq!(world.open().await.manifest(&nyc(), &name("flights")).head.version, 5);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let mut world = World::new();
    world.open().await;
    for (path, bytes, expected) in [
        (paths::entry(&paths::catalog(), 1), "{", "_tidemark/catalog/00000000000000000001.json"),
        (paths::entry(&paths::catalog(), 1), "", "_tidemark/catalog/00000000000000000001.json is empty"),
        (paths::format(), r#"{"format":7}"#, "format 7, this release reads up to 1"),
        (paths::format(), r#"{"format":1,"more":1}"#, "_tidemark/format.json is not readable"),
    ] {
        world.store.put(&path, bytes.into()).await.unwrap();
        let error = world.try_open().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_table_that_nobody_observed_takes_no_commit() {
    let mut world = World::new();
    let catalog = world.open().await;
    let on = catalog.events(&nyc());
    let error = catalog.commit_events(&nyc(), &on, grown(&on)).await.unwrap_err();
    assert!(error.to_string().contains("nyc.events"), "{error}");
}
