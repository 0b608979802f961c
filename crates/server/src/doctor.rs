//! `tidemark doctor`: looks at all that a server stands on, beside one that runs or for one that does not, and says of each
//! thing whether it is well and, if not, what to do next.
//!
//! 1. `settings`: whether they can be read, and what of them is dangerous. 2. `disk`: the data folder: is it there, whose
//!    is it, how much is free, how long does a sync take; and the log in it. 3. `lake`: the store: does it answer, which lake is
//!    in it, who owns it, is its clock ours. 4. `process`: open files, memory, of the server if it runs here. 5. `doors`: who
//!    listens on the ports, and what the server says of itself. 6. [`certificate`]: TLS files and until when they are valid.
//!
//! It changes nothing: what a sync takes is measured on a file without a name. Only when it is asked to, it puts the questions
//! of `store-check` to a store, which leave nothing behind.

pub mod certificate;
mod disk;
mod doors;
mod lake;
mod process;
mod settings;

use serde::Serialize;

use crate::config::{Environment, Loaded};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Well.
    Ok,
    /// It works, and may soon not, or not as somebody expects.
    Warning,
    /// It does not work.
    Failed,
}

impl State {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing: `data folder`, `lease`.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to do next, where it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, state: State::Ok, seen: seen.into(), next: None }
    }

    fn warning(check: &'static str, seen: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, state: State::Warning, seen: seen.into(), next: Some(next.into()) }
    }

    fn failed(check: &'static str, seen: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, state: State::Failed, seen: seen.into(), next: Some(next.into()) }
    }
}

/// What is looked at besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Nothing is written anywhere.
    Reading,
    /// The quick questions of `store-check` are put to the store.
    AskingStore,
}

/// Looks at everything there is to look at. Settings that cannot be read are the only finding: all else rests on them.
pub async fn examine(
    loaded: Result<Loaded, crate::config::ConfigError>,
    environment: &Environment,
    depth: Depth,
) -> Vec<Finding> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return vec![settings::unreadable(&error)],
    };
    let settings = &loaded.settings;
    let mut found = settings::examine(&loaded);
    let holder = disk::holder(settings);
    found.extend(disk::examine(settings, holder));
    found.extend(process::examine(settings, holder));
    found.extend(lake::examine(settings, environment, depth).await);
    found.extend(certificate::examine(&settings.tls, now_s()));
    found.extend(doors::examine(settings, holder).await);
    found
}

fn now_s() -> i64 {
    tidemark_model::Clock::now(&crate::clock::SystemClock).micros() / 1_000_000
}

/// A size for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut unit) = (count, None);
    for next in UNITS {
        if whole < 10 * 1024 {
            break;
        }
        (whole, unit) = (whole / 1024, Some(next));
    }
    format!("{whole} {}", unit.unwrap_or("bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units_that_people_read() {
        for (count, text) in
            [(0, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 KiB"), (64 << 20, "64 MiB"), (3 << 40, "3072 GiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
