//! Durability of the local store: what is synced, in which order, and what happens when a sync fails.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use object_store::ObjectStoreExt;

use super::*;

/// A disk that notes what was synced and can be told to fail.
#[derive(Debug, Default)]
struct NotingDisk {
    synced: Mutex<Vec<PathBuf>>,
    fails: AtomicBool,
    is_short_of_descriptors: AtomicBool,
}

impl NotingDisk {
    fn note(&self, path: &FilePath) -> std::io::Result<()> {
        self.synced.lock().unwrap().push(path.to_owned());
        if self.fails.load(Ordering::SeqCst) { Err(std::io::Error::other("the disk is broken")) } else { Ok(()) }
    }

    fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.synced.lock().unwrap())
    }
}

impl Disk for NotingDisk {
    fn sync_file(&self, file: &std::fs::File, path: &FilePath) -> std::io::Result<()> {
        assert!(path.exists(), "{} is synced before it gets its name", path.display());
        file.sync_all()?;
        self.note(path)
    }

    fn open_directory(&self, path: &FilePath) -> std::io::Result<std::fs::File> {
        if self.is_short_of_descriptors.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("too many open files"));
        }
        std::fs::File::open(path)
    }

    fn sync_directory(&self, _directory: &std::fs::File, path: &FilePath) -> std::io::Result<()> {
        assert!(path.is_dir());
        self.note(path)
    }
}

fn open(root: &FilePath, disk: &Arc<NotingDisk>) -> (LocalStore, Arc<AtomicUsize>) {
    let aborts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&aborts);
    let on_sync_error: OnSyncError = Arc::new(move |_path, _error| {
        seen.fetch_add(1, Ordering::SeqCst);
    });
    (LocalStore::open(root, disk.clone(), on_sync_error).unwrap(), aborts)
}

fn directories(root: &FilePath, synced: Vec<PathBuf>) -> Vec<String> {
    let shown = |path: &PathBuf| match path.strip_prefix(root).unwrap_or(path).display().to_string() {
        staged if staged.starts_with(".tmp/") => "file".to_owned(),
        other => other,
    };
    synced.iter().map(shown).collect()
}

#[tokio::test]
async fn a_put_syncs_the_file_then_every_parent_it_made_then_the_directory_of_the_name() {
    let place = tempfile::tempdir().unwrap();
    let above = place.path().canonicalize().unwrap();
    let root = above.join("new/lake");
    let disk = Arc::new(NotingDisk::default());
    let (store, _aborts) = open(&root, &disk);
    assert_eq!(disk.take(), [above.clone(), above.join("new")]);

    let put = async |name: &str| store.put(&Path::from(name), "x".into()).await;
    put("a/b/1").await.unwrap();
    assert_eq!(directories(&root, disk.take()), ["file", "", "a", "a/b"]);
    put("a/b/2").await.unwrap();
    assert_eq!(directories(&root, disk.take()), ["file", "a/b"]);
    put("a/c/3").await.unwrap();
    assert_eq!(directories(&root, disk.take()), ["file", "a", "a/c"]);

    // A directory that stands when the store opens may be someone's who did not come to syncing its parent.
    let (second, _aborts) = open(&root, &disk);
    disk.take();
    second.put(&Path::from("a/b/4"), "x".into()).await.unwrap();
    assert_eq!(directories(&root, disk.take()), ["file", "", "a", "a/b"]);

    let mut upload = store.put_multipart(&Path::from("a/b/5")).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    assert_eq!(disk.take().len(), 0);
    upload.complete().await.unwrap();
    assert_eq!(directories(&root, disk.take()), ["file", "a/b"]);
}

#[tokio::test]
async fn a_directory_that_was_removed_is_made_again() {
    let place = tempfile::tempdir().unwrap();
    let (store, _aborts) = open(place.path(), &Arc::default());
    store.put(&Path::from("a/b/1"), "x".into()).await.unwrap();
    std::fs::remove_dir_all(place.path().join("a")).unwrap();
    store.put(&Path::from("a/b/2"), "x".into()).await.unwrap();
    store.head(&Path::from("a/b/2")).await.unwrap();
}

#[tokio::test]
async fn the_first_sync_error_ends_everything() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(NotingDisk::default());
    let (store, aborts) = open(place.path(), &disk);
    disk.fails.store(true, Ordering::SeqCst);
    let name = Path::from("a/1");
    store.put_opts(&name, "x".into(), PutMode::Create.into()).await.unwrap_err();
    assert_eq!(aborts.load(Ordering::SeqCst), 1);
    assert!(!place.path().join("a/1").exists(), "a file that was not synced gets no name");
    disk.fails.store(false, Ordering::SeqCst);
    let error = store.put(&name, "x".into()).await.unwrap_err().to_string();
    assert!(error.contains("a sync failed before"), "{error}");
    assert_eq!(aborts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn want_of_descriptors_is_an_error_like_others_and_no_failed_sync() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(NotingDisk::default());
    let (store, aborts) = open(place.path(), &disk);
    store.put(&Path::from("a/1"), "x".into()).await.unwrap();
    disk.is_short_of_descriptors.store(true, Ordering::SeqCst);
    for name in ["a/2", "b/c/3"] {
        let error = store.put(&Path::from(name), "x".into()).await.unwrap_err().to_string();
        assert!(error.contains("could not open the directory"), "{error}");
        assert!(!place.path().join(name).exists(), "{name} has no name that is not durable");
    }
    disk.is_short_of_descriptors.store(false, Ordering::SeqCst);
    store.put(&Path::from("a/2"), "x".into()).await.unwrap();
    store.put(&Path::from("b/c/3"), "x".into()).await.unwrap();
    assert_eq!(aborts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_registers_show_is_synced_before_it_is_read() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().canonicalize().unwrap();
    let (store, _aborts) = open(&root, &Arc::default());
    for name in ["_tidemark/owner/1", "nyc/events/_manifest/1", "nyc/events/2026/02/1", "nyc/flights/_floor/1"] {
        store.put(&Path::from(name), "x".into()).await.unwrap();
    }
    let disk = Arc::new(NotingDisk::default());
    let (_second, _aborts) = open(&root, &disk);
    let synced = directories(&root, disk.take());
    for expected in [
        "_tidemark/owner",
        "_tidemark",
        "nyc/events/_manifest",
        "nyc/events",
        "nyc/flights/_floor",
        "nyc/flights",
        "nyc",
        "",
    ] {
        assert!(synced.iter().any(|path| path == expected), "{expected} is not in {synced:?}");
    }
    assert!(!synced.iter().any(|path| path.contains("2026") || path.contains("file")), "{synced:?}");
}

#[test]
fn of_sixteen_creators_one_wins() {
    let place = tempfile::tempdir().unwrap();
    let (store, _aborts) = open(place.path(), &Arc::default());
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    for round in 0..8 {
        let name = Path::from(format!("race/{round}"));
        let creators: Vec<_> = (0..16)
            .map(|creator: u32| {
                let (store, name, runtime) = (Arc::clone(&store), name.clone(), runtime.handle().clone());
                let body = PutPayload::from(creator.to_string());
                std::thread::spawn(move || {
                    runtime.block_on(store.put_opts(&name, body, PutMode::Create.into())).is_ok()
                })
            })
            .collect();
        let won: Vec<usize> =
            creators.into_iter().enumerate().filter_map(|(at, one)| one.join().unwrap().then_some(at)).collect();
        assert_eq!(won.len(), 1, "winners of round {round}: {won:?}");
        let body = std::fs::read_to_string(place.path().join(name.as_ref())).unwrap();
        assert_eq!(body, won[0].to_string());
    }
}

#[tokio::test]
async fn left_over_temporaries_are_removed_at_start_and_those_of_the_living_are_not() {
    let place = tempfile::tempdir().unwrap();
    let (living, _aborts) = open(place.path(), &Arc::default());
    let mut upload = living.put_multipart(&Path::from("a/slow")).await.unwrap();
    upload.put_part("whole".into()).await.unwrap();
    for dead in ["1", "2"] {
        std::fs::create_dir_all(place.path().join(".tmp").join(dead)).unwrap();
        std::fs::write(place.path().join(".tmp").join(format!("{dead}.lock")), "").unwrap();
        std::fs::write(place.path().join(".tmp").join(dead).join("7"), "torn").unwrap();
    }
    let (_second, _aborts) = open(place.path(), &Arc::default());
    let left = |slot: &str| std::fs::read_dir(place.path().join(".tmp").join(slot)).map_or(0, Iterator::count);
    assert_eq!((left("0"), left("1"), left("2")), (1, 0, 0));

    upload.complete().await.unwrap();
    assert_eq!(std::fs::read_to_string(place.path().join("a/slow")).unwrap(), "whole");
    assert_eq!(left("0"), 0);
    let mut dropped = living.put_multipart(&Path::from("a/dropped")).await.unwrap();
    dropped.abort().await.unwrap();
    assert_eq!(left("0"), 0);
    let listed: Vec<_> = living.list(None).map(|object| object.unwrap().location.to_string()).collect().await;
    assert_eq!(listed, ["a/slow"]);
}

#[tokio::test]
async fn whoever_looks_leaves_no_trace_and_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    assert!(LocalStore::look(&place.path().join("none")).is_err(), "nothing is made");
    std::fs::create_dir_all(place.path().join("a/b")).unwrap();
    std::fs::write(place.path().join("a/b/1"), "x").unwrap();
    let there = || {
        let mut names: Vec<_> = walk(place.path()).collect();
        names.sort();
        names
    };
    let before = there();
    let store = LocalStore::look(place.path()).unwrap();
    assert_eq!(store.get(&Path::from("a/b/1")).await.unwrap().bytes().await.unwrap(), "x");
    assert!(store.put(&Path::from("a/b/2"), "x".into()).await.is_err());
    assert!(store.put_multipart(&Path::from("a/b/2")).await.is_err());
    assert!(store.delete(&Path::from("a/b/1")).await.is_err());
    assert!(store.copy(&Path::from("a/b/1"), &Path::from("a/b/2")).await.is_err());
    assert_eq!(there(), before);
}

fn walk(directory: &FilePath) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    Box::new(entries.flat_map(|path| {
        let below = if path.is_dir() { walk(&path) } else { Box::new(std::iter::empty()) };
        below.chain(std::iter::once(path))
    }))
}
