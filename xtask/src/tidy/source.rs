//! Our Rust files, with code, comments and tests told apart as far as the rules need.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::workspace::{self, Workspace};

/// One file.
pub(crate) struct Source {
    /// The package it belongs to.
    pub(crate) package: String,
    /// From the root of the workspace.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// The lines that are shipped, numbered from 1: neither comment nor behind `#[cfg(test)]`. Files that hold only
    /// tests (`tests.rs`, anything in a `tests` or `benches` folder) have none.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let only_tests = self.path.components().any(|part| {
            let part = part.as_os_str();
            part == "tests" || part == "benches" || part == "tests.rs"
        });
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines
            .take_while(move |(_, line)| !only_tests && line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file of every package of ours.
pub(crate) fn read_all(workspace: &Workspace) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for package in workspace.members() {
        let home = package.manifest_path.parent().unwrap_or(workspace::root());
        let mut paths = Vec::new();
        find(home, "rs", &mut paths)?;
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let path = path.strip_prefix(workspace::root()).unwrap_or(&path).to_owned();
            sources.push(Source { package: package.name.clone(), path, text });
        }
    }
    Ok(sources)
}

/// Files with an extension, below a folder; folders of builds, of caches and hidden ones are left out.
pub(crate) fn find(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{} cannot be listed: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && name != "tidemark-data" && !name.starts_with('.') {
            find(&path, extension, into)?;
        } else if path.extension().is_some_and(|it| it == extension) {
            into.push(path);
        }
    }
    Ok(())
}
