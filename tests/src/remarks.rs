//! Remarks: what a run wants to tell people besides passed and failed: how many kills, what was skipped and why.
//!
//! `cargo xtask test` shows them at the end; without it they go to standard error.

use std::{fs::OpenOptions, io::Write as _};

/// The file that `cargo xtask test` names for remarks.
const FILE: &str = "TIDEMARK_TEST_REMARKS";

/// A variable of the environment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are configured by their caller, who is a person or xtask")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Tells people something.
pub fn remark(text: &str) {
    let file = variable(FILE).and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
    match file {
        Some(mut file) => drop(writeln!(file, "{text}")),
        None => eprintln!("{text}"),
    }
}

/// Says aloud that a test cannot run here; fails where it should.
///
/// # Panics
/// In CI, where everything that a test needs has to be there.
pub fn skipped(test: &str, reason: &str) {
    assert!(variable("CI").is_none_or(|ci| ci != "true"), "{test} cannot run, and this is CI: {reason}");
    remark(&format!("skipped: {test}: {reason}"));
}
