//! `deny.toml`, as much of cargo-deny's format as we use: licences, bans, sources.
//!
//! cargo-deny itself would have to be compiled for minutes on every new machine; these three of its checks need nothing
//! but `cargo metadata`. Advisories need a database from the network and are not checked here.

mod licence;

use std::{collections::BTreeSet, fs};

use serde::Deserialize;

use crate::workspace::{self, Workspace};

const FILE: &str = "deny.toml";

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences that one crate may have besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    reason: String,
    /// Who may depend on it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
    /// Not banned, but only one version of it may be linked.
    #[serde(default)]
    deny_multiple_versions: bool,
}

/// Breaches of the policy.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(workspace::root().join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let policy: Policy = toml::from_str(&text).map_err(|error| format!("{FILE} cannot be read: {error}"))?;
    let mut breaches = licences(&policy.licenses, workspace);
    breaches.extend(sources(workspace));
    breaches.extend(policy.bans.deny.iter().flat_map(|ban| banned(ban, workspace)));
    Ok(breaches)
}

fn licences(licenses: &Licenses, workspace: &Workspace) -> Vec<String> {
    let refused = workspace.packages.iter().filter(|package| {
        let own = licenses.exceptions.iter().filter(|it| it.name == package.name).flat_map(|it| &it.allow);
        let all: BTreeSet<&String> = licenses.allow.iter().chain(own).collect();
        let allowed = |licence: &str| all.iter().any(|it| *it == licence);
        let licence = package.license.as_deref().unwrap_or_default();
        !licence::satisfied(licence, &allowed)
    });
    refused
        .map(|package| {
            format!("{} {}: licence {:?} is not allowed by {FILE}", package.name, package.version, package.license)
        })
        .collect()
}

/// Only ourselves and registries: a git dependency cannot be fetched everywhere and may vanish.
fn sources(workspace: &Workspace) -> Vec<String> {
    let foreign = |source: &&str| !source.starts_with("registry+") && !source.starts_with("sparse+");
    let sources = workspace.packages.iter().filter_map(|package| Some((package, package.source.as_deref()?)));
    sources
        .filter(|(_, source)| foreign(source))
        .map(|(package, source)| format!("{} comes from {source}: only a registry may be used", package.name))
        .collect()
}

fn banned(ban: &Ban, workspace: &Workspace) -> Vec<String> {
    let versions: BTreeSet<&str> =
        workspace.packages.iter().filter(|it| it.name == ban.name).map(|it| it.version.as_str()).collect();
    if ban.deny_multiple_versions {
        let several = versions.len() > 1;
        return several
            .then(|| format!("{} is linked in versions {versions:?}: move all to one", ban.name))
            .into_iter()
            .collect();
    }
    if versions.is_empty() {
        return Vec::new();
    }
    let dependents = workspace.dependents().remove(ban.name.as_str()).unwrap_or_default();
    let refused = dependents.into_iter().filter(|dependent| !ban.wrappers.iter().any(|it| it == dependent));
    refused.map(|dependent| format!("{dependent} depends on {}, which is banned: {}", ban.name, ban.reason)).collect()
}
