//! What every store must do, run against each of ours.

mod deletes;

use tidemark_model::Kind;

use super::{
    upload::{MULTIPART_BYTES, PART_BYTES},
    *,
};

fn path(text: &str) -> Path {
    Path::from(text)
}

/// A body that differs from place to place, so that swapped parts are seen.
fn large(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at / 4096 * 31 + at) as u8).collect::<Vec<u8>>().into()
}

async fn conforms(store: &Store) {
    assert!(matches!(store.get(&path("a/x")).await, Err(StoreError::NotFound { path }) if path == "a/x"));
    assert!(!store.exists(&path("a/x")).await.unwrap());
    store.delete(&path("a/x")).await.unwrap();
    assert!(store.list(&path("a")).await.unwrap().is_empty());

    store.put(&path("a/x"), "one".into()).await.unwrap();
    store.put(&path("a/x"), "two".into()).await.unwrap();
    assert_eq!(store.create(&path("a/x"), "three".into()).await.unwrap(), Put::Exists);
    assert_eq!(store.create(&path("a/b/c/y"), "".into()).await.unwrap(), Put::Created);
    assert_eq!(store.get(&path("a/x")).await.unwrap(), "two");
    assert_eq!(store.get(&path("a/b/c/y")).await.unwrap(), "");

    let body = large(MULTIPART_BYTES + PART_BYTES / 2);
    store.put(&path("a/large"), body.clone()).await.unwrap();
    assert_eq!(store.get(&path("a/large")).await.unwrap(), body);
    let ranges = store.objects().get_ranges(&path("a/large"), &[5..9, 9_000_000..9_000_003]).await.unwrap();
    assert_eq!(ranges, [body.slice(5..9), body.slice(9_000_000..9_000_003)]);

    // In pieces, as they come: below and above the size from which parts are made; and one that comes to nothing.
    for (name, bytes) in [("a/small", 5000), ("a/parts", body.len())] {
        let mut upload = store.upload(path(name));
        for at in (0..bytes).step_by(1000) {
            upload.write(body.slice(at..bytes.min(at + 1000))).await.unwrap();
        }
        assert!(!store.exists(&path(name)).await.unwrap());
        upload.finish().await.unwrap();
        assert_eq!(store.get(&path(name)).await.unwrap(), body.slice(..bytes));
        store.delete(&path(name)).await.unwrap();
    }
    let mut upload = store.upload(path("a/nothing"));
    upload.write(body.clone()).await.unwrap();
    upload.abort().await;
    assert!(!store.exists(&path("a/nothing")).await.unwrap());

    let listed = store.list(&path("a")).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|object| object.location.as_ref()).collect();
    assert_eq!(names, ["a/b/c/y", "a/large", "a/x"]);
    let top = store.objects().list_with_delimiter(None).await.unwrap();
    assert_eq!((top.common_prefixes, top.objects.len()), (vec![path("a")], 0));

    store.objects().copy(&path("a/x"), &path("d/copy")).await.unwrap();
    store.delete(&path("a/x")).await.unwrap();
    assert_eq!(
        (store.exists(&path("a/x")).await.unwrap(), store.get(&path("d/copy")).await.unwrap()),
        (false, "two".into())
    );
}

#[tokio::test]
async fn every_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let local = Store::open(&format!("file://{}/new/lake", directory.path().display()), &[]).unwrap();
    for store in [Store::memory(), local, Store::memory().metered(&registry)] {
        conforms(&store).await;
    }
    let families = registry.gather();
    let counted = families.iter().find(|family| family.name() == "tidemark_store_requests_total").unwrap();
    let counted: Vec<(String, String)> = counted
        .get_metric()
        .iter()
        .map(|metric| (metric.get_label()[0].value().to_owned(), metric.get_label()[1].value().to_owned()))
        .collect();
    for (verb, outcome) in
        [("get", "not_found"), ("head", "not_found"), ("put", "exists"), ("put_multipart", "ok"), ("delete", "ok")]
    {
        let is_it = |(outcome_seen, verb_seen): &(String, String)| outcome_seen == outcome && verb_seen == verb;
        assert!(counted.iter().any(is_it), "{verb} {outcome} in {counted:?}");
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    for (kind, expected) in [
        (std::io::ErrorKind::StorageFull, Kind::OutOfSpace),
        (std::io::ErrorKind::QuotaExceeded, Kind::OutOfSpace),
        (std::io::ErrorKind::TimedOut, Kind::Unavailable),
    ] {
        let nested = Box::new(object_store::Error::Generic { store: "x", source: std::io::Error::from(kind).into() });
        for source in [
            object_store::Error::Generic { store: "x", source: std::io::Error::from(kind).into() },
            object_store::Error::Generic { store: "x", source: nested },
        ] {
            assert_eq!(StoreError::of("put", &path("a"), source).kind(), expected, "{kind}");
        }
    }
}
