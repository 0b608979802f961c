//! What objects are for: putting, reading whole and in parts, listing, deleting, and large ones in parts.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant as Stopwatch},
};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, path::Path};

use super::{
    super::upload::{MULTIPART_BYTES, PART_BYTES},
    ground::{Ground, Wrong, body, expect, same},
};
use crate::StoreError;

/// The size of a small object, bytes.
const SMALL: usize = 10_000;
/// How long is waited before a list is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Puts and whole reads; one without bytes too.
pub(super) async fn put_get(ground: &Ground<'_>) -> Result<(), Wrong> {
    for bytes in [0, 1, SMALL] {
        let (path, written) = (ground.object("put_get", &bytes.to_string()), body(bytes));
        ground.store.put(&path, written.clone()).await?;
        same(&format!("an object of {bytes} bytes"), ground.read(&path).await?.as_ref(), &written)?;
        let size = ground.store.size(&path).await?;
        expect(size == Some(bytes as u64), || format!("head tells {size:?} of an object of {bytes} bytes"))?;
    }
    Ok(())
}

/// Parts of an object; the last bytes are asked for without knowing how many there are.
pub(super) async fn ranges(ground: &Ground<'_>) -> Result<(), Wrong> {
    let (path, written) = (ground.object("ranges", "object"), body(SMALL));
    ground.store.put(&path, written.clone()).await?;
    for (range, part) in [
        (GetRange::Bounded(0..10), 0..10),
        (GetRange::Bounded(4090..4110), 4090..4110),
        (GetRange::Offset(9_990), 9_990..SMALL),
        (GetRange::Suffix(17), SMALL - 17..SMALL),
        (GetRange::Suffix(SMALL as u64 * 2), 0..SMALL),
    ] {
        let what = format!("the part {range}");
        let (read, size) = part_of(ground, &path, range).await?;
        same(&what, Some(&read), &written.slice(part))?;
        expect(size == SMALL as u64, || format!("with {what} a size of {size} bytes is told, it is {SMALL}"))?;
    }
    let parts = [5..9, 9_000..9_003];
    let read = ground.store.objects().get_ranges(&path, &parts.clone().map(|range| range.start..range.end)).await;
    let read = read.map_err(|source| StoreError::of("get", &path, source))?;
    let expected = parts.map(|range| written.slice(range.start as usize..range.end as usize));
    expect(read == expected, || "several parts that are asked for together are not those".to_owned())
}

async fn part_of(ground: &Ground<'_>, path: &Path, range: GetRange) -> Result<(Bytes, u64), StoreError> {
    let options = GetOptions { range: Some(range), ..GetOptions::default() };
    let read = async {
        let got = ground.store.objects().get_opts(path, options).await?;
        let size = got.meta.size;
        Ok((got.bytes().await?, size))
    };
    read.await.map_err(|source| StoreError::of("get", path, source))
}

/// What is not there, for every verb.
pub(super) async fn absent(ground: &Ground<'_>) -> Result<(), Wrong> {
    let path = ground.object("absent", "object");
    let read = ground.read(&path).await?;
    expect(read.is_none(), || "get of a name that nothing was written to finds an object".to_owned())?;
    let size = ground.store.size(&path).await?;
    expect(size.is_none(), || format!("head of a name that nothing was written to tells {size:?}"))?;
    ground.store.delete(&path).await?;
    let listed = ground.store.list(&ground.directory("absent")).await?;
    expect(listed.is_empty(), || format!("a list of where nothing was written shows {} objects", listed.len()))
}

/// Lists: the names are of the shapes that a lake has, and some lie beside the prefix.
pub(super) async fn list(ground: &Ground<'_>, settle: Duration) -> Result<(), Wrong> {
    let mut expected = BTreeSet::new();
    for name in ["a~2/00000000000000000007.json", "a~2/_floor/1-01J.parquet", "b", "b.c/x"] {
        let path = ground.object("list/it", name);
        ground.store.put(&path, body(name.len())).await?;
        expected.insert((path.to_string(), name.len() as u64));
    }
    // Names that begin with the prefix as text and are not below it.
    for name in ["its/a", "it.a"] {
        ground.store.put(&ground.object("list", name), body(1)).await?;
    }
    let prefix = ground.directory("list/it");
    let begun = Stopwatch::now();
    loop {
        let listed = ground.store.list(&prefix).await?;
        let names: Vec<(String, u64)> =
            listed.iter().map(|object| (object.location.to_string(), object.size)).collect();
        let seen: BTreeSet<(String, u64)> = names.iter().cloned().collect();
        if let Some((name, size)) = seen.difference(&expected).next() {
            return Err(Wrong::Seen(format!("a list below {prefix} shows {name} with {size} bytes")));
        }
        expect(names.len() == seen.len(), || format!("a list below {prefix} shows an object twice"))?;
        let Some((name, _)) = expected.difference(&seen).next() else { return Ok(()) };
        expect(begun.elapsed() < settle, || format!("a list does not show {name} after {settle:?}"))?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Deletion: it may take a while to be seen.
pub(super) async fn delete(ground: &Ground<'_>, settle: Duration) -> Result<(), Wrong> {
    let path = ground.object("delete", "object");
    ground.store.put(&path, body(SMALL)).await?;
    ground.store.delete(&path).await?;
    let begun = Stopwatch::now();
    while ground.read(&path).await?.is_some() || ground.store.exists(&path).await? {
        expect(begun.elapsed() < settle, || format!("a deleted object is still there after {settle:?}"))?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A large object, which goes in parts, the last of which is smaller.
pub(super) async fn upload(ground: &Ground<'_>) -> Result<(), Wrong> {
    let (path, written) = (ground.object("upload", "object"), body(MULTIPART_BYTES + PART_BYTES / 2 + 1));
    let mut upload = ground.store.upload(path.clone());
    if let Err(error) = upload.write(written.clone()).await {
        upload.abort().await;
        return Err(error.into());
    }
    let early = ground.store.exists(&path).await;
    upload.finish().await?;
    expect(!early?, || "an object in parts was there before it was ended".to_owned())?;
    same("an object in parts", ground.read(&path).await?.as_ref(), &written)
}
