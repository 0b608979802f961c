//! Which files no manifest names: a pure function.

use std::collections::HashSet;

use tidemark_storage::{ObjectPath, paths};

/// Of listed objects those data files that are not named. What is no data file is not ours to judge.
pub(super) fn unnamed(listed: Vec<ObjectPath>, named: Vec<&str>) -> Vec<ObjectPath> {
    let named: HashSet<&str> = named.into_iter().collect();
    listed.into_iter().filter(|path| paths::is_data_file(path) && !named.contains(path.as_ref())).collect()
}
