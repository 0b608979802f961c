//! What the environment says: read here and nowhere else in the tasks.

use std::{ffi::OsString, path::PathBuf};

/// A variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "a task has no configuration file; its environment is its caller")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether continuous integration runs this: then nothing may be skipped for want of a network.
pub(crate) fn is_ci() -> bool {
    variable("CI").is_some_and(|value| value == "true" || value == "1")
}

/// The server that is to be started instead of one that is built: `$TIDEMARK_BIN`.
pub(crate) fn binary() -> Option<PathBuf> {
    variable("TIDEMARK_BIN").map(PathBuf::from)
}

/// Our own folder in the clone that cargo runs us in; none where somebody starts the binary itself.
pub(crate) fn package() -> Option<PathBuf> {
    variable("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

/// The folder for what is worth keeping between clones: `$XDG_CACHE_HOME/tidemark`, else `~/.cache/tidemark`.
pub(crate) fn cache() -> PathBuf {
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".cache");
    base.unwrap_or_else(home).join("tidemark")
}

/// Where pyenv keeps its Pythons: `$PYENV_ROOT`, else `~/.pyenv`.
pub(crate) fn pyenv() -> Option<PathBuf> {
    let root = variable("PYENV_ROOT").map(PathBuf::from);
    root.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".pyenv")))
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> String {
    variable("CARGO").unwrap_or_else(|| "cargo".to_owned())
}

/// The variables by which `cargo run` tells a program which package it is.
pub(crate) fn of_own_package() -> impl Iterator<Item = OsString> {
    let is_own = |name: &OsString| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    };
    std::env::vars_os().map(|(name, _value)| name).filter(is_own)
}
