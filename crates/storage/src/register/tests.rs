//! The register among racing writers, stores that lie about outcomes, and a floor that moves.

pub(crate) mod liar;
mod sleepers;

use liar::{Liar, Lie};

use super::*;

fn register(store: &Store) -> Register {
    Register::new(store.clone(), Path::from("ns/t/_manifest"))
}

async fn fill(register: &Register, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(register.create(number, format!("e{number}").into()).await.unwrap(), Created::Won);
    }
}

#[tokio::test]
async fn an_ambiguous_create_is_settled_by_reading_back() {
    for (lie, lies, expected) in [
        (Lie::AppliedButFailed, 1, Some(Created::Won)),
        (Lie::AppliedButExists, 1, Some(Created::Won)),
        (Lie::NotAppliedButExists, 3, Some(Created::Won)),
        (Lie::NotAppliedButExists, CREATE_ATTEMPTS, None),
        (Lie::Failed, 1, None),
    ] {
        let register = register(&Liar::store(lie, lies));
        let created = register.create(1, "mine".into()).await;
        assert_eq!(created.as_ref().ok(), expected.as_ref(), "{lie:?}: {created:?}");
        let other = register.create(1, "another's".into()).await.unwrap();
        let is_taken = expected.is_some();
        assert_eq!(other, if is_taken { Created::Lost } else { Created::Won }, "{lie:?}");
    }
}

#[tokio::test]
async fn of_many_who_race_each_number_has_one_winner() {
    let directory = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::local(directory.path().to_owned()).unwrap()] {
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..8 {
            let register = register(&store);
            racers.spawn(async move {
                let mut won = Vec::new();
                while won.len() < 4 {
                    let newest = register.latest(won.last().copied()).await.unwrap().map_or(0, |(number, _)| number);
                    let body = format!("{racer}-{}", won.len());
                    if register.create(newest + 1, body.into()).await.unwrap() == Created::Won {
                        won.push(newest + 1);
                    }
                }
                won
            });
        }
        let mut won: Vec<u64> = racers.join_all().await.into_iter().flatten().collect();
        won.sort_unstable();
        assert_eq!(won, (1..=32).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn the_newest_entry_is_found_from_any_hint() {
    for length in [0, 1, 2, 3, 7, 8, 9, 40] {
        let register = register(&Store::memory());
        fill(&register, 1..=length).await;
        let hints = (1..=length + 3).map(Some).chain([None]);
        for hint in hints {
            let newest = register.latest(hint).await.unwrap().map_or(0, |(number, _body)| number);
            assert_eq!(newest, length, "length {length}, hint {hint:?}");
        }
    }
}

#[tokio::test]
async fn below_the_floor_nothing_is_believed() {
    let store = Store::memory();
    let (writer, cleaner) = (register(&store), register(&store));
    fill(&writer, 1..=20).await;
    cleaner.raise_floor(12).await.unwrap();
    cleaner.raise_floor(9).await.unwrap();
    for number in 1..12 {
        store.delete(&writer.path(number)).await.unwrap();
    }
    for hint in [None, Some(1), Some(5), Some(11), Some(12), Some(20)] {
        assert_eq!(register(&store).latest(hint).await.unwrap().map(|(number, _body)| number), Some(20), "{hint:?}");
    }
    // A writer that slept since entry 4 finds number 5 free again, and must not take that for success.
    assert_eq!(writer.create(5, "late".into()).await.unwrap(), Created::Fenced);
    assert_eq!(writer.read(5).await.unwrap().unwrap(), "late", "it stands there for ever");
    assert_eq!(writer.committed(5).await.unwrap(), None);
    assert_eq!(writer.committed(11).await.unwrap(), None);
    assert_eq!(writer.committed(12).await.unwrap().unwrap(), "e12");
    assert_eq!(writer.create(21, "in time".into()).await.unwrap(), Created::Won);
    assert_eq!(register(&store).latest(Some(4)).await.unwrap().map(|(number, _body)| number), Some(21));
}

#[tokio::test]
async fn floors_raised_at_once_end_at_the_highest() {
    let store = Store::memory();
    let mut raisers = tokio::task::JoinSet::new();
    for floor in 1..=16 {
        let register = register(&store);
        raisers.spawn(async move { register.raise_floor(floor).await.unwrap() });
    }
    raisers.join_all().await;
    assert_eq!(register(&store).floor.number().await.unwrap(), 16);
}

#[tokio::test]
async fn an_entry_without_bytes_is_an_error_that_names_it() {
    let store = Store::memory();
    let register = register(&store);
    fill(&register, 1..=2).await;
    store.put(&register.path(3), Bytes::new()).await.unwrap();
    for result in [register.read(3).await.map(|_| ()), register.latest(None).await.map(|_| ())] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("ns/t/_manifest/00000000000000000003.json"), "{error}");
        assert!(matches!(error, StoreError::Empty { .. }));
    }
}
