//! Which crate may depend on which (architecture.md, Direction), and which never reach which.

use std::{collections::BTreeSet, fs};

use crate::workspace::{Package, Workspace};

/// What every package may depend on among ours, normal dependencies. Who is not listed may depend on all.
const EDGES: [(&str, &[&str]); 8] = [
    ("tidemark-model", &[]),
    ("tidemark-fold", &["tidemark-model"]),
    ("tidemark-proto", &["tidemark-model"]),
    ("tidemark-storage", &["tidemark-fold", "tidemark-model"]),
    ("tidemark-catalog", &["tidemark-storage", "tidemark-fold", "tidemark-model", "tidemark-proto"]),
    ("tidemark-ingest", ROOM),
    ("tidemark-cdc", ROOM),
    ("tidemark-query", ROOM),
];

/// Rooms see what lies below them and never each other: they meet in tables.
const ROOM: &[&str] = &["tidemark-catalog", "tidemark-storage", "tidemark-fold", "tidemark-model", "tidemark-proto"];

/// Packages that only some of ours may name.
const NAMED_BY: [(&str, &[&str]); 4] = [
    ("datafusion", &["tidemark-query", "tidemark-tests", "tidemark-benches"]),
    ("deltalake", &["tidemark-catalog"]),
    ("deltalake-core", &["tidemark-catalog"]),
    ("tracing-subscriber", &["tidemark-server", "tidemark-tests", "tidemark-benches"]),
];

/// What must not be linked into what.
const NEVER_REACHES: [(&str, &str); 4] = [
    ("tidemark-ingest", "datafusion"),
    ("tidemark-cdc", "datafusion"),
    ("tidemark-model", "arrow"),
    ("tidemark-model", "tokio"),
];

/// Breaches of the direction of dependencies.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>, String> {
    let ours: BTreeSet<&str> = workspace.members().map(|package| package.name.as_str()).collect();
    let mut breaches: Vec<String> = workspace.members().flat_map(|package| edges(package, &ours)).collect();
    for (from, to) in NEVER_REACHES {
        if workspace.reaches(from, to) {
            breaches.push(format!("{from} reaches {to}: find the way with `cargo tree -p {from} -i {to} -e normal`"));
        }
    }
    for package in workspace.members() {
        breaches.extend(versions(package)?);
    }
    Ok(breaches)
}

fn edges(package: &Package, ours: &BTreeSet<&str>) -> Vec<String> {
    let allowed = EDGES.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed);
    let mut breaches = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
        let name = dependency.name.as_str();
        let named_by = NAMED_BY.iter().find(|(it, _)| *it == name).map(|(_, by)| *by);
        let ours_and_not_allowed = ours.contains(name) && allowed.is_some_and(|allowed| !allowed.contains(&name));
        if ours_and_not_allowed || named_by.is_some_and(|by| !by.contains(&package.name.as_str())) {
            breaches.push(format!("{} may not depend on {name} (architecture.md, Direction)", package.name));
        }
    }
    breaches
}

/// Every version lives in the root: a member's dependency says `workspace = true` and nothing about versions.
fn versions(package: &Package) -> Result<Vec<String>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", package.manifest_path.display());
    let text = fs::read_to_string(&package.manifest_path).map_err(|error| told(&error))?;
    let manifest: toml::Table = text.parse().map_err(|error| told(&error))?;
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let declared = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten();
    let own = declared.filter(|(_, entry)| entry.get("workspace").is_none());
    Ok(own
        .map(|(name, _)| format!("{}: {name} has a version of its own: use `workspace = true`", package.name))
        .collect())
}
