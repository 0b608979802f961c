//! Which files no manifest names: a pure function.

use std::collections::HashSet;

use tidemark_catalog::CollectionManifest;
use tidemark_storage::{ObjectPath, paths};

/// Of listed objects those data files that the manifest does not name. What is no data file is not ours to judge.
pub(crate) fn unnamed(listed: Vec<ObjectPath>, manifest: &CollectionManifest) -> Vec<ObjectPath> {
    let named: HashSet<&str> = manifest.files().map(|file| file.path).collect();
    listed.into_iter().filter(|path| paths::is_data_file(path) && !named.contains(path.as_ref())).collect()
}
