//! Files: how they open, how long they are, what they are called (style.md, Shape and Names).

use super::source::Source;

/// The longest file, in lines.
const LINES_MAX: usize = 500;
/// Names that say nothing about what is inside.
const BANNED: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "types", "mod"];

/// What is wrong with the shape of a file.
pub(crate) fn breaches(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut breaches = Vec::new();
    if !source.text.trim_start().starts_with("//!") {
        breaches.push(format!("{path}: does not open with `//!`: tell the story of the module first"));
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        breaches.push(format!("{path}: {lines} lines, at most {LINES_MAX}: it does more than one thing, split it"));
    }
    let stem = source.path.file_stem().unwrap_or_default().to_string_lossy();
    for name in source.text.lines().filter_map(module).chain([stem.as_ref()]) {
        if BANNED.contains(&name) {
            breaches.push(format!("{path}: a module called `{name}`: name it after what it does, in `name.rs`"));
        }
    }
    breaches
}

/// The name of the module that a line declares.
fn module(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")?.split([';', ' ', '{']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        breaches(&Source { package: "p".into(), path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn shapes_are_held() {
        let long = format!("//! Story.\n{}", "\n".repeat(500));
        for (path, text, breaches) in [
            ("a/src/log.rs", "//! Story.\nmod segment;\npub mod group;", 0),
            ("a/src/log.rs", "mod segment;", 1),
            ("a/src/log.rs", &long, 1),
            ("a/src/log.rs", "//! Story.\npub(crate) mod util;\nmod types {}", 2),
            ("a/src/log/mod.rs", "//! Story.", 1),
            ("a/src/helpers.rs", "use x;", 2),
        ] {
            assert_eq!(found(path, text), breaches, "{path} {text:.40}");
        }
    }
}
