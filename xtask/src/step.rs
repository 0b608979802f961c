//! One command of a task: shown, run in the root of the workspace, timed.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{environment, workspace};

/// A command with a name for people.
pub(crate) struct Step {
    name: String,
    command: Command,
}

impl Step {
    /// A cargo command, words separated by spaces. It does not inherit what cargo told this task about itself: build
    /// scripts of dependencies watch such variables, and half of the dependencies would be built anew in every clone.
    pub(crate) fn cargo(name: &str, words: &str) -> Self {
        let mut step = Self::program(name, Path::new(&environment::cargo())).words(words);
        for variable in environment::of_own_package() {
            step.command.env_remove(variable);
        }
        step
    }

    /// Any program.
    pub(crate) fn program(name: &str, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        Self { name: name.to_owned(), command }
    }

    /// Adds words separated by spaces.
    pub(crate) fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    /// Adds one word as it is.
    pub(crate) fn word(mut self, word: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Sets a variable of the command's environment.
    pub(crate) fn with(mut self, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Runs it with its output untouched.
    pub(crate) fn run(mut self) -> Result<(), String> {
        let begun = self.announce();
        let status = self.command.status().map_err(|error| self.failed(&error.to_string()))?;
        self.close(begun, status.success())
    }

    /// Runs it and shows each line of its standard output to `watch` besides the caller's terminal.
    pub(crate) fn watch(mut self, mut watch: impl FnMut(&str)) -> Result<(), String> {
        let begun = self.announce();
        let mut child = self.command.stdout(Stdio::piped()).spawn().map_err(|error| self.failed(&error.to_string()))?;
        for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
            let line = line.map_err(|error| self.failed(&error.to_string()))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            watch(&line);
        }
        let status = child.wait().map_err(|error| self.failed(&error.to_string()))?;
        self.close(begun, status.success())
    }

    fn announce(&self) -> Instant {
        println!("── {}", self.name);
        Instant::now()
    }

    fn close(&self, begun: Instant, success: bool) -> Result<(), String> {
        println!("── {}: {} in {:.0} s", self.name, verdict(success), begun.elapsed().as_secs_f64());
        if success { Ok(()) } else { Err(self.failed("see above")) }
    }

    fn failed(&self, reason: &str) -> String {
        format!("{} failed: {reason}", self.name)
    }
}

fn verdict(success: bool) -> &'static str {
    if success { "ok" } else { "FAILED" }
}

/// Runs every step even when one fails, so that one run tells all that is wrong.
pub(crate) fn all(steps: impl IntoIterator<Item = Result<(), String>>) -> Result<(), String> {
    let failures: Vec<String> = steps.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}
