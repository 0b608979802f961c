//! Which files no manifest names: a pure function.

use std::collections::HashSet;

use tidemark_catalog::CollectionManifest;
use tidemark_storage::ObjectPath;

/// Of listed objects those data files that the manifest does not name. What is no data file is not ours to judge.
pub(crate) fn unnamed(listed: Vec<ObjectPath>, manifest: &CollectionManifest) -> Vec<ObjectPath> {
    let named: HashSet<&str> = manifest.files().map(|file| file.path).collect();
    let is_data = |path: &ObjectPath| path.extension() == Some("parquet");
    listed.into_iter().filter(|path| is_data(path) && !named.contains(path.as_ref())).collect()
}
