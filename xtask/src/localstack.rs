//! LocalStack, an S3 that runs here, in a Python environment of its own: it needs a newer Python than the clients do.

use std::{fs, path::PathBuf, process::Command};

use crate::{environment, python};

/// Where the pins are, from the root of the workspace.
const REQUIREMENTS: &str = "tests/clients/localstack/requirements.txt";
/// The Python that it runs on.
const VERSION: &str = "3.13";

/// The interpreter of the environment, installed if it is not there yet.
///
/// # Errors
/// When this Python is missing or the packages cannot be had.
pub(crate) fn interpreter() -> Result<PathBuf, String> {
    python::environment("localstack", REQUIREMENTS, found)
}

/// The Python on the path, else one that pyenv has: the name that pyenv puts on the path works only where it was chosen.
fn found() -> Result<PathBuf, String> {
    let on_path = PathBuf::from(format!("python{VERSION}"));
    let candidates = std::iter::once(on_path).chain(of_pyenv());
    let runs = |python: &PathBuf| Command::new(python).arg("--version").output().is_ok_and(|it| it.status.success());
    candidates.into_iter().find(runs).ok_or_else(|| format!("there is no Python {VERSION}, on the path or under pyenv"))
}

fn of_pyenv() -> impl Iterator<Item = PathBuf> {
    let versions = environment::pyenv().map(|root| root.join("versions"));
    let folders = versions.and_then(|versions| fs::read_dir(versions).ok()).into_iter().flatten().flatten();
    let is_it = |name: &str| name == VERSION || name.strip_prefix(VERSION).is_some_and(|rest| rest.starts_with('.'));
    folders.filter(move |folder| folder.file_name().to_str().is_some_and(is_it)).map(|it| it.path().join("bin/python"))
}
