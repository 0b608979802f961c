//! A Python environment with pinned versions, made once per list of requirements, outside the clone.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use crate::{environment, step::Step, workspace};

/// Where the pins are, from the root of the workspace.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// The interpreter of the environment, installed if it is not there yet.
///
/// # Errors
/// When Python is missing or the packages cannot be had.
pub(crate) fn interpreter() -> Result<PathBuf, String> {
    let requirements = workspace::root().join(REQUIREMENTS);
    let pins = fs::read_to_string(&requirements).map_err(|error| format!("{REQUIREMENTS} cannot be read: {error}"))?;
    let home = environment::cache().join(format!("venv-{:016x}", hash(&pins)));
    let python = home.join("bin/python");
    let complete = home.join("complete");
    if !complete.exists() {
        install(&home, &python, &requirements)?;
        fs::write(&complete, pins).map_err(|error| format!("{} cannot be written: {error}", complete.display()))?;
    }
    Ok(python)
}

fn install(home: &Path, python: &Path, requirements: &Path) -> Result<(), String> {
    Step::program("make a python environment", Path::new("python3")).words("-m venv --clear").word(home).run()?;
    Step::program("install python packages", python)
        .words("-m pip install --quiet --disable-pip-version-check --requirement")
        .word(requirements)
        .run()
}

fn hash(pins: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    hasher.finish()
}
