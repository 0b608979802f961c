//! The one primitive: an object is created if its name is free (storage.md, principle 1).

use bytes::Bytes;

use super::ground::{Ground, Wrong, body, expect, same};
use crate::store::Put;

/// A create of a free name.
pub(super) async fn fresh(ground: &Ground<'_>) -> Result<(), Wrong> {
    let (path, written) = (ground.object("create", "object"), body(1000));
    ground.create(&path, &written).await?;
    same("an object that was created just now", ground.read(&path).await?.as_ref(), &written)
}

/// Creates of a name that is taken: by a put, by a create, by an object without bytes; by bytes that are more or fewer.
pub(super) async fn existing(ground: &Ground<'_>) -> Result<(), Wrong> {
    for (name, by_put, first) in
        [("put", true, body(1000)), ("created", false, body(1001)), ("empty", true, Bytes::new())]
    {
        let path = ground.object("create_existing", name);
        if by_put {
            ground.store.put(&path, first.clone()).await?;
        } else {
            ground.create(&path, &first).await?;
        }
        for second in [body(500), body(2000)] {
            let put = ground.store.create(&path, second.clone()).await?;
            let read = ground.read(&path).await?;
            expect(put == Put::Exists, || {
                let became = if read.as_ref() == Some(&second) {
                    "and it replaced the object"
                } else {
                    "though the object stayed"
                };
                format!("a create of a name that is taken was told that it succeeded, {became}")
            })?;
            same("an object whose name was created once more", read.as_ref(), &first)?;
        }
    }
    Ok(())
}
