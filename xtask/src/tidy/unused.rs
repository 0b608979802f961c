//! Dependencies that no source names: machete's method, a search for the crate's name as a word.
//!
//! A dependency that is needed without being named is listed under
//! `[package.metadata.cargo-machete] ignored = [...]`, where the tool of that name looks too.

use std::fs;

use super::source::Source;
use crate::workspace::{Package, Workspace};

/// Declared and never named.
pub(crate) fn breaches(workspace: &Workspace, sources: &[Source]) -> Vec<String> {
    workspace.members().flat_map(|package| unused(package, sources)).collect()
}

fn unused(package: &Package, sources: &[Source]) -> Vec<String> {
    let ignored = ignored(package);
    let own: Vec<&Source> = sources.iter().filter(|source| source.package == package.name).collect();
    let mut breaches = Vec::new();
    for dependency in &package.dependencies {
        let word = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
        let named = own.iter().any(|source| has_word(&source.text, &word));
        if !named && !ignored.contains(&dependency.name) {
            breaches.push(format!("{}: nothing names {}: remove it from Cargo.toml", package.name, dependency.name));
        }
    }
    breaches
}

fn ignored(package: &Package) -> Vec<String> {
    let manifest = fs::read_to_string(&package.manifest_path).unwrap_or_default().parse::<toml::Table>().ok();
    let names =
        manifest.as_ref().and_then(|it| it.get("package")?.get("metadata")?.get("cargo-machete")?.get("ignored"));
    let names = names.and_then(toml::Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_alone() {
        for (text, expected) in
            [("use arrow::x;", true), ("use arrow_flight::x;", false), ("narrow", false), ("(arrow)", true)]
        {
            assert_eq!(has_word(text, "arrow"), expected, "{text}");
        }
    }
}
