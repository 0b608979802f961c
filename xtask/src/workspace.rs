//! The workspace as cargo describes it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde::Deserialize;

use crate::environment;

/// The folder with the workspace's `Cargo.toml`: of the clone that cargo runs us in. Clones that share a target directory share this
/// binary, and only one of them it was built in.
pub(crate) fn root() -> &'static Path {
    static OF_THE_RUN: LazyLock<Option<PathBuf>> = LazyLock::new(environment::package);
    let package = OF_THE_RUN.as_deref().unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR")));
    package.parent().unwrap_or(Path::new("."))
}

/// What `cargo metadata` tells, as much as is needed here.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    /// Every package that is linked, ours included.
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    /// Where builds go.
    pub(crate) target_directory: PathBuf,
}

/// One package.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// Unique in the graph.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence, an SPDX expression.
    pub(crate) license: Option<String>,
    /// Where it comes from; none for our own.
    pub(crate) source: Option<String>,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// What it declares.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A declared dependency.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The package.
    pub(crate) name: String,
    /// `dev`, `build`, or none for a normal one.
    pub(crate) kind: Option<String>,
    /// The name it is used under, if another.
    pub(crate) rename: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Workspace {
    /// Asks cargo; builds nothing.
    pub(crate) fn read() -> Result<Self, String> {
        let answer = Command::new(environment::cargo())
            .args(["metadata", "--format-version", "1"])
            .current_dir(root())
            .output()
            .map_err(|error| format!("cargo metadata could not be run: {error}"))?;
        if !answer.status.success() {
            return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&answer.stderr)));
        }
        serde_json::from_slice(&answer.stdout).map_err(|error| format!("cargo metadata cannot be read: {error}"))
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The direct dependents of every package, by name of the package.
    pub(crate) fn dependents(&self) -> HashMap<&str, Vec<&str>> {
        let names: HashMap<&str, &str> = self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let name = |id: &str| names.get(id).copied().unwrap_or_default();
        let mut dependents: HashMap<&str, Vec<&str>> = HashMap::new();
        for node in &self.resolve.nodes {
            for edge in &node.deps {
                dependents.entry(name(&edge.pkg)).or_default().push(name(&node.id));
            }
        }
        dependents
    }

    /// Whether one of our packages reaches another through normal dependencies.
    pub(crate) fn reaches(&self, from: &str, to: &str) -> bool {
        let id = |name: &str| self.packages.iter().find(|p| p.name == name).map(|p| p.id.as_str());
        let (Some(from), Some(to)) = (id(from), id(to)) else { return false };
        let nodes: HashMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let (mut seen, mut open) = (vec![from], vec![from]);
        while let Some(node) = open.pop().and_then(|at| nodes.get(at)) {
            let normal = node.deps.iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            for edge in normal {
                if !seen.contains(&edge.pkg.as_str()) {
                    seen.push(&edge.pkg);
                    open.push(&edge.pkg);
                }
            }
        }
        seen.contains(&to)
    }
}
