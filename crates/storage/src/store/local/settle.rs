//! What a killed process may have left: entries of registers that are visible and not durable.
//!
//! An entry is believed as soon as it is seen, and what was done because of it (a segment of the log deleted, a mark
//! moved on) may be durable before it is. So every directory of a register, and those above it, are synced before
//! anything is read. Data files need it not: what is committed was synced before its commit.

use std::{
    io,
    path::{Path as FilePath, PathBuf},
};

use super::{Disk, staging};
use crate::paths;

/// Makes the names in all registers under a root durable.
pub(super) fn registers(root: &FilePath, disk: &dyn Disk) -> io::Result<()> {
    let mut found = false;
    for above in directories(root)?.into_iter().filter(|path| !staging::is_directory(path)) {
        let tables = match directories(&above) {
            // Not ours: `lost+found` of a disk whose root the lake is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            tables => tables?,
        };
        found = true;
        for table in tables {
            // Those of the lake itself lie one level higher than those of tables.
            for register in directories(&table)?.into_iter().filter(|path| paths::is_register(path)) {
                synced(&register, disk)?;
            }
            synced(&table, disk)?;
        }
        synced(&above, disk)?;
    }
    if found { synced(root, disk) } else { Ok(()) }
}

fn synced(path: &FilePath, disk: &dyn Disk) -> io::Result<()> {
    disk.sync_directory(&disk.open_directory(path)?, path)
}

fn directories(path: &FilePath) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
