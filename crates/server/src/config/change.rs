//! What differs between two readings of the settings, and what of it a running server takes up.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::Settings;

/// Keys that a running server takes up; every other holds from its start on.
const LIVE: [&str; 4] = ["auth.token", "limits.events_per_minute", "limits.requests_per_minute", "logs.filter"];
/// A key whose absence leaves doors open: it is taken away by a restart, which checks the addresses.
const KEPT: &str = "auth.token";
/// What stands for a key that nobody set and that has no default.
const UNSET: &str = "not set";
/// What stands for a secret.
const MASKED: &str = "\"***\"";

/// A setting that was read otherwise than before. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its dotted key.
    pub key: String,
    /// What is in force, as a settings file would say it.
    pub old: String,
    /// What was read.
    pub new: String,
}

impl Change {
    /// Whether a running server takes it up.
    #[must_use]
    pub fn is_live(&self) -> bool {
        LIVE.contains(&self.key.as_str()) && !(self.key == KEPT && self.new == UNSET)
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} → {}", self.key, self.old, self.new)
    }
}

/// What differs, in order of keys.
#[must_use]
pub fn changes(old: &Settings, new: &Settings) -> Vec<Change> {
    let (before, after) = (flat(old), flat(new));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let text = |of: &BTreeMap<String, String>, key: &String| of.get(key).cloned().unwrap_or_else(|| UNSET.to_owned());
    let differing =
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key) || is_other_secret(key, old, new));
    differing.map(|key| Change { key: key.clone(), old: text(&before, key), new: text(&after, key) }).collect()
}

/// Secrets look alike: they are held against each other themselves.
fn is_other_secret(key: &str, old: &Settings, new: &Settings) -> bool {
    if key == KEPT {
        return old.auth.token != new.auth.token;
    }
    let option = key.strip_prefix("object_store.");
    option.is_some_and(|option| old.object_store.get(option) != new.object_store.get(option))
}

/// Dotted keys and values, as a settings file would say them.
fn flat(settings: &Settings) -> BTreeMap<String, String> {
    fn walk(table: &Table, prefix: &str, flat: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(below) => walk(below, &dotted, flat),
                value => {
                    flat.insert(dotted, value.to_string());
                }
            }
        }
    }
    let mut keys = BTreeMap::new();
    if let Ok(Value::Table(table)) = Value::try_from(settings) {
        walk(&table, "", &mut keys);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn told(change: impl Fn(&mut Settings)) -> Vec<(String, bool)> {
        let mut new = Settings {
            auth: crate::config::Auth { token: Some("old".into()), ..Default::default() },
            ..Settings::default()
        };
        let old = new.clone();
        change(&mut new);
        changes(&old, &new).iter().map(|change| (change.to_string(), change.is_live())).collect()
    }

    #[test]
    fn what_differs_is_told_by_its_key() {
        assert!(told(|_| {}).is_empty());
        let limit = |new: &mut Settings| new.limits.requests_per_minute = Some(60);
        assert_eq!(told(limit), [("limits.requests_per_minute: not set → 60".to_owned(), true)]);
        let port = |new: &mut Settings| new.http = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(told(port), [("http: \"127.0.0.1:7070\" → \"127.0.0.1:1\"".to_owned(), false)]);
        let filter = |new: &mut Settings| "debug".clone_into(&mut new.logs.filter);
        assert_eq!(told(filter), [("logs.filter: \"info\" → \"debug\"".to_owned(), true)]);
    }

    #[test]
    fn a_secret_is_compared_and_not_told() {
        let rotated = |new: &mut Settings| new.auth.token = Some("new".into());
        assert_eq!(told(rotated), [(format!("auth.token: {MASKED} → {MASKED}"), true)]);
        let gone = |new: &mut Settings| new.auth.token = None;
        assert_eq!(told(gone), [(format!("auth.token: {MASKED} → {UNSET}"), false)], "no door opens by a reload");
        let key = |new: &mut Settings| {
            new.object_store.insert("aws_secret_access_key".to_owned(), Secret::from("k"));
        };
        assert_eq!(told(key), [(format!("object_store.aws_secret_access_key: {UNSET} → {MASKED}"), false)]);
    }

    /// Settings name each of them; a key that was renamed would be live no more.
    #[test]
    fn live_keys_are_settings() {
        let mut all = Settings::default();
        all.auth.token = Some("x".into());
        all.limits = crate::config::Limits { requests_per_minute: Some(1), events_per_minute: Some(1) };
        let keys = flat(&all);
        assert!(LIVE.iter().all(|live| keys.contains_key(*live)), "{keys:?}");
    }
}
