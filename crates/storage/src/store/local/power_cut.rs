//! A power cut: only what was synced stays. Whatever a put acknowledged must be there afterwards, whole.
//!
//! The disk notes the bytes of every synced file (by inode) and the names of every synced directory, as they were at
//! that moment. The cut rebuilds the tree from these notes alone: a name whose file was never synced becomes an empty
//! file, which is what ext4 leaves behind.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    sync::{Mutex, atomic::Ordering},
};

use object_store::ObjectStoreExt;

use super::*;

#[derive(Debug, Default)]
struct NotingDisk {
    files: Mutex<HashMap<u64, Vec<u8>>>,
    directories: Mutex<HashMap<std::path::PathBuf, Vec<(std::ffi::OsString, u64)>>>,
    forgets_directories: std::sync::atomic::AtomicBool,
}

impl Disk for NotingDisk {
    fn sync_file(&self, _file: &std::fs::File, path: &FilePath) -> std::io::Result<()> {
        let bytes = std::fs::read(path)?;
        self.files.lock().unwrap().insert(std::fs::metadata(path)?.ino(), bytes);
        Ok(())
    }

    fn sync_directory(&self, _directory: &std::fs::File, path: &FilePath) -> std::io::Result<()> {
        if self.forgets_directories.load(Ordering::SeqCst) {
            return Ok(());
        }
        let names = std::fs::read_dir(path)?.map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.metadata()?.ino()))
        });
        let names = names.collect::<std::io::Result<_>>()?;
        self.directories.lock().unwrap().insert(path.to_owned(), names);
        Ok(())
    }
}

impl NotingDisk {
    /// What is left of `from` after the cut, built at `to`.
    fn cut(&self, from: &FilePath, to: &FilePath) {
        std::fs::create_dir_all(to).unwrap();
        let directories = self.directories.lock().unwrap().clone();
        for (name, inode) in directories.get(from).into_iter().flatten() {
            let (from, to) = (from.join(name), to.join(name));
            if from.is_dir() {
                self.cut(&from, &to);
            } else {
                let files = self.files.lock().unwrap();
                std::fs::write(to, files.get(inode).cloned().unwrap_or_default()).unwrap();
            }
        }
    }
}

/// Creates, overwrites and uploads, acknowledged one after the other; what each name must hold then.
async fn acknowledged(store: &LocalStore) -> HashMap<Path, String> {
    let mut holds = HashMap::new();
    for (at, name) in ["a/1", "a/b/c/2", "a/b/3", "4", "a/1", "d/e/5"].into_iter().enumerate() {
        let (name, body) = (Path::from(name), format!("body {at}"));
        if at % 2 == 0 {
            store.put(&name, body.clone().into()).await.unwrap();
        } else {
            store.put_opts(&name, body.clone().into(), PutMode::Create.into()).await.unwrap();
        }
        holds.insert(name, body);
    }
    let mut upload = store.put_multipart(&Path::from("a/f/6")).await.unwrap();
    upload.put_part("two ".into()).await.unwrap();
    upload.put_part("parts".into()).await.unwrap();
    upload.complete().await.unwrap();
    holds.insert(Path::from("a/f/6"), "two parts".to_owned());
    holds
}

async fn lost(disk: Arc<NotingDisk>) -> usize {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let above = before.path().canonicalize().unwrap();
    let on_sync_error: OnSyncError = Arc::new(|_path, error| panic!("{error}"));
    let store = LocalStore::open(&above.join("lake"), disk.clone(), on_sync_error.clone()).unwrap();
    let holds = acknowledged(&store).await;
    // Not acknowledged: bytes that are still being written.
    let mut upload = store.put_multipart(&Path::from("a/torn")).await.unwrap();
    upload.put_part("torn".into()).await.unwrap();
    disk.cut(&above, after.path());

    let store = LocalStore::open(&after.path().join("lake"), Arc::new(OsDisk), on_sync_error).unwrap();
    let mut lost = 0;
    for (name, body) in &holds {
        let there = async { store.get(name).await?.bytes().await }.await;
        lost += usize::from(there.ok().as_deref() != Some(body.as_bytes()));
    }
    let listed: Vec<_> = store.list(None).collect().await;
    assert!(listed.len() <= holds.len(), "nothing but what was acknowledged is shown");
    lost
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_power_cut() {
    assert_eq!(lost(Arc::default()).await, 0);
}

#[tokio::test]
async fn the_cut_itself_forgets_what_is_not_synced() {
    let disk = NotingDisk { forgets_directories: true.into(), ..NotingDisk::default() };
    assert_eq!(lost(Arc::new(disk)).await, 6);
}
