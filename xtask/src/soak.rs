//! `cargo xtask soak [--minutes N] [--seed N] [--report FILE] [--note TEXT]`: hours of trouble in one command, closing with one line of verdict.
//!
//! Builds the binary unless `TIDEMARK_BIN` names one, and runs `tests/clients/soak`, which tells the rest.

use std::path::{Path, PathBuf};

use crate::{localstack, python, server, step::Step, test, workspace, workspace::Workspace};

const USAGE: &str = "use: cargo xtask soak [--minutes N] [--seed N] [--report FILE] [--note TEXT]";
/// Where the figures go, from the root of the workspace, when the report goes to the documents.
const FIGURES: &str = "benches/results/soak.json";

/// What was asked for.
#[derive(Debug, Default)]
struct Asked<'a> {
    minutes: Option<&'a str>,
    seed: Option<&'a str>,
    report: Option<&'a str>,
    /// A sentence for the report, such as what else ran on the machine.
    note: Option<&'a str>,
}

/// Runs it; words are those behind `soak`.
///
/// # Errors
/// When a word is not known, something cannot be had, or the verdict is that the run failed.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let asked = Asked::read(words)?;
    let target = Workspace::read()?.target_directory;
    let (report, figures) = asked.places(&target);
    let step = Step::program("soak", &python::interpreter()?)
        .words("-m soak")
        .word("--localstack")
        .word(localstack::interpreter()?)
        .word("--report")
        .word(report)
        .word("--json")
        .word(figures)
        .with("PYTHONPATH", workspace::root().join("tests/clients"))
        .with("PYTHONDONTWRITEBYTECODE", "1")
        .with(test::BINARY, server::binary()?);
    asked.told().fold(step, |step, (name, value)| step.word(name).word(value)).run()
}

impl<'a> Asked<'a> {
    fn read(words: &[&'a str]) -> Result<Self, String> {
        let mut asked = Self::default();
        for pair in words.chunks(2) {
            match *pair {
                ["--minutes", minutes] => asked.minutes = Some(minutes),
                ["--seed", seed] => asked.seed = Some(seed),
                ["--report", report] => asked.report = Some(report),
                ["--note", note] => asked.note = Some(note),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(asked)
    }

    /// Of the report and of the figures: those of a named report are kept with the benchmarks', others go with the build.
    fn places(&self, target: &Path) -> (PathBuf, PathBuf) {
        match self.report {
            Some(report) => (workspace::root().join(report), workspace::root().join(FIGURES)),
            None => (target.join("soak.md"), target.join("soak.json")),
        }
    }

    /// What the run itself is told.
    fn told(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        [("--minutes", self.minutes), ("--seed", self.seed), ("--note", self.note)]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
    }
}
