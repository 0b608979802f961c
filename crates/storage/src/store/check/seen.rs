//! What is seen after a write, and from when on.

use std::time::{Duration, Instant as Stopwatch};

use super::ground::{Ground, Wrong, body, expect, same};

/// How often each is tried: a cache that is sometimes late is found by trying more than once.
const TIMES: usize = 8;
/// How long is waited before it is looked again, to tell how late it was.
const PAUSE: Duration = Duration::from_millis(100);

/// Who looked and found nothing must not be told so from memory: the next number of a register is probed like this.
pub(super) async fn read_after_write(ground: &Ground<'_>) -> Result<(), Wrong> {
    for time in 0..TIMES {
        let (path, written) = (ground.object("read_after_write", &time.to_string()), body(100 + time));
        let before = (ground.store.exists(&path).await?, ground.read(&path).await?);
        expect(before == (false, None), || "a name that nothing was written to has an object".to_owned())?;
        ground.create(&path, &written).await?;
        let is_there = ground.store.exists(&path).await?;
        expect(is_there, || "after a create head still tells that nothing is there".to_owned())?;
        same("an object that was created just now", ground.read(&path).await?.as_ref(), &written)?;
    }
    Ok(())
}

/// An object that is put over another.
pub(super) async fn read_after_overwrite(ground: &Ground<'_>) -> Result<(), Wrong> {
    let path = ground.object("read_after_overwrite", "object");
    for time in 0..TIMES {
        let written = body(100 + time);
        ground.store.put(&path, written.clone()).await?;
        same("an object that was put over another", ground.read(&path).await?.as_ref(), &written)?;
        let size = ground.store.size(&path).await?;
        expect(size == Some(written.len() as u64), || {
            format!("head tells {size:?} of what is {} bytes", written.len())
        })?;
    }
    Ok(())
}

/// A list right after a write, by put and by create.
pub(super) async fn list_after_write(ground: &Ground<'_>, settle: Duration) -> Result<(), Wrong> {
    let directory = ground.directory("list_after_write");
    for time in 0..TIMES {
        let path = ground.object("list_after_write", &time.to_string());
        if time % 2 == 0 {
            ground.store.put(&path, body(10)).await?;
        } else {
            ground.create(&path, &body(10)).await?;
        }
        let begun = Stopwatch::now();
        let mut is_late = false;
        while ground.store.list(&directory).await?.len() <= time {
            is_late = true;
            expect(begun.elapsed() < settle, || format!("a list does not show an object after {settle:?}"))?;
            tokio::time::sleep(PAUSE).await;
        }
        expect(!is_late, || format!("a list right after a write lacked it, {:?} later it was there", begun.elapsed()))?;
    }
    Ok(())
}

/// Reads and lists right after a deletion.
pub(super) async fn gone_after_delete(ground: &Ground<'_>, settle: Duration) -> Result<(), Wrong> {
    let directory = ground.directory("gone_after_delete");
    for time in 0..TIMES {
        let path = ground.object("gone_after_delete", &time.to_string());
        ground.store.put(&path, body(10)).await?;
        ground.store.delete(&path).await?;
        let begun = Stopwatch::now();
        let mut late = None;
        loop {
            let by = match (ground.read(&path).await?.is_some(), ground.store.exists(&path).await?) {
                (true, _) => "get",
                (false, true) => "head",
                (false, false) if !ground.store.list(&directory).await?.is_empty() => "list",
                (false, false) => break,
            };
            late.get_or_insert(by);
            expect(begun.elapsed() < settle, || format!("a deleted object is still shown by {by} after {settle:?}"))?;
            tokio::time::sleep(PAUSE).await;
        }
        let gone = begun.elapsed();
        expect(late.is_none(), || {
            format!("a deleted object was still shown by {}, {gone:?} later no more", late.unwrap_or_default())
        })?;
    }
    Ok(())
}
