//! The register of owners: its bytes, taking over, logs that are handed on.

use tidemark_model::clock::ManualClock;

use super::*;

const AT: Instant = Instant::from_micros(7);

/// A lake, and who wants it.
struct Lake {
    store: Store,
    clock: ManualClock,
    ids: Ids,
}

impl Lake {
    fn new() -> Self {
        Self { store: Store::memory(), clock: ManualClock::at(AT), ids: Ids::seeded(1) }
    }

    async fn take(&self, tenure: &Tenure) -> Result<Owner, CatalogError> {
        let Self { store, clock, ids } = self;
        let taking = Taking { store, cluster: "lake", clock, ids };
        let owner = Owner::take(taking, tenure).await?;
        owner.take_logs(taking).await?;
        Ok(owner)
    }
}

fn in_store() -> Tenure {
    Tenure { log_in_store: true, ..Tenure::default() }
}

#[test]
fn bytes_are_pinned_and_the_old_format_is_read() {
    let put_id = "01J0000000000000000000000A".to_owned();
    let old = include_bytes!("../../../fixtures/owner_v1.json");
    let plain = Entry {
        format: 1,
        epoch: 3,
        put_id,
        opened_at: AT,
        holder: String::new(),
        lease_ms: 0,
        log: None,
        inherits: Vec::new(),
        since: None,
    };
    assert_eq!(decode(&"old", old).unwrap(), plain);
    let entry = Entry {
        format: FORMAT,
        holder: "here, process 7".to_owned(),
        lease_ms: 10_000,
        log: Some(LogId(Ulid::from(1))),
        inherits: vec![LogId(Ulid::from(2))],
        since: Some(2),
        ..plain
    };
    let stored = include_bytes!("../../../fixtures/owner_v2.json");
    assert_eq!(encode(&entry).unwrap().as_ref(), stored.trim_ascii_end());
    assert_eq!(decode(&"new", stored).unwrap(), entry);
    assert!(matches!(decode(&"newer", br#"{"format":3}"#), Err(CatalogError::NewerFormat { found: 3, known: 2 })));
}

#[tokio::test]
async fn each_opening_takes_the_next_epoch_and_fences_the_one_before() {
    let lake = Lake::new();
    let first = lake.take(&Tenure::default()).await.unwrap();
    first.check().await.unwrap();
    let second = lake.take(&Tenure::default()).await.unwrap();
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert!(matches!(first.check().await, Err(CatalogError::Fenced { ours: 1, theirs: 2 })));
    second.check().await.unwrap();
}

#[tokio::test]
async fn whoever_means_to_follow_one_owner_does_not_follow_another() {
    let lake = Lake::new();
    let after = |epoch| Tenure { after: Some(epoch), ..Tenure::default() };
    lake.take(&after(0)).await.unwrap();
    lake.take(&after(1)).await.unwrap();
    assert!(matches!(lake.take(&after(1)).await, Err(CatalogError::Fenced { ours: 2, theirs: 2 })));
    assert_eq!(lake.take(&after(2)).await.unwrap().epoch, 3);
}

#[tokio::test]
async fn logs_are_handed_on_until_they_are_released() {
    let lake = Lake::new();
    let first = lake.take(&in_store()).await.unwrap().logs.unwrap();
    let second = lake.take(&in_store()).await.unwrap().logs.unwrap();
    assert_eq!((first.inherited, &second.inherited, second.since), (Vec::new(), &vec![first.log], 1));
    // Nobody says that the first is released: both are handed on, and both are ended.
    let third = lake.take(&in_store()).await.unwrap().logs.unwrap();
    assert_eq!(third.inherited, vec![first.log, second.log]);
    // Somebody whose log is elsewhere finds nothing in them that would be lost.
    let elsewhere = lake.take(&Tenure::default()).await.unwrap();
    assert_eq!(elsewhere.logs, None);
    let back = lake.take(&in_store()).await.unwrap().logs.unwrap();
    assert_eq!(back.since, 1, "it inherits logs of the first epoch on");
}
