//! What is installed once per list of pins, outside the clone: a folder named after the hash of the list.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use crate::{environment, workspace};

/// The folder of a list of pins, installed if it is not whole yet. The list is named from the root of the workspace.
///
/// # Errors
/// When the list cannot be read or what it pins cannot be had.
pub(crate) fn once(
    name: &str,
    list: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let pins =
        fs::read_to_string(workspace::root().join(list)).map_err(|error| format!("{list} cannot be read: {error}"))?;
    let home = environment::cache().join(format!("{name}-{:016x}", hash(&pins)));
    let complete = home.join("complete");
    if !complete.exists() {
        install(&home)?;
        fs::write(&complete, pins).map_err(|error| format!("{} cannot be written: {error}", complete.display()))?;
    }
    Ok(home)
}

fn hash(pins: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    hasher.finish()
}
