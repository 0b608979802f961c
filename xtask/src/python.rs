//! Python environments with pinned versions, each made once per list of requirements, outside the clone.

use std::path::{Path, PathBuf};

use crate::{cache, step::Step, workspace};

/// Where the pins are, from the root of the workspace.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";
/// The pins that are older than what the environment has.
const OLDER: &str = "tests/clients/flightsql_dbapi/requirements.txt";

/// The interpreter of the clients' environment, installed if it is not there yet.
///
/// # Errors
/// When Python is missing or the packages cannot be had.
pub(crate) fn interpreter() -> Result<PathBuf, String> {
    environment("venv", REQUIREMENTS, || Ok("python3".into()))
}

/// The interpreter of an environment with what a list pins, made by the Python that is asked for if it is not there yet.
///
/// # Errors
/// When that Python is missing or the packages cannot be had.
pub(crate) fn environment(
    name: &str,
    list: &str,
    python: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<PathBuf, String> {
    let home = cache::once(name, list, |home| {
        Step::program("make a python environment", &python()?).words("-m venv --clear").word(home).run()?;
        pip(&format!("install python packages of {list}"), &in_environment(home))
            .word(workspace::root().join(list))
            .run()
    })?;
    Ok(in_environment(&home))
}

/// A folder of packages that flightsql-dbapi needs older than the environment has them. Put before the others on the
/// path, it serves the same interpreter: what these packages depend on is taken from the environment.
///
/// # Errors
/// When the packages cannot be had.
pub(crate) fn flightsql_dbapi(python: &Path) -> Result<PathBuf, String> {
    cache::once("flightsql-dbapi", OLDER, |home| {
        pip("install flightsql-dbapi", python)
            .word(workspace::root().join(OLDER))
            .words("--no-deps --upgrade --target")
            .word(home)
            .run()
    })
}

fn in_environment(home: &Path) -> PathBuf {
    home.join("bin/python")
}

/// An installation by pip, up to the list of requirements.
fn pip(name: &str, python: &Path) -> Step {
    Step::program(name, python).words("-m pip install --quiet --disable-pip-version-check --requirement")
}
