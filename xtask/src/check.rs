//! `cargo xtask check`: what must hold before tests matter. CI runs the same.

use crate::{environment, step, step::Step, tidy};

/// Format, clippy, docs, tidy; all of them, also when one fails.
pub(crate) fn run() -> Result<(), String> {
    let locked = if environment::is_ci() { "--locked" } else { "" };
    let steps = [
        Step::cargo("format", "fmt --all -- --check"),
        Step::cargo("clippy", "clippy --quiet --profile quick --workspace --all-targets")
            .words(locked)
            .words("-- -D warnings -A rustdoc::private_intra_doc_links"),
        Step::cargo("docs", "doc --quiet --profile quick --workspace --no-deps")
            .words(locked)
            .with("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    ];
    step::all(steps.into_iter().map(Step::run).chain([tidy::run()]))
}
