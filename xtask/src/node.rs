//! JavaScript packages with pinned versions and hashes, installed once per lock file, outside the clone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{cache, step::Step, workspace};

/// Where npm's two files are, from the root of the workspace.
const FOLDER: &str = "tests/clients/javascript";
/// The lock file, which names every version with its hash.
const LOCK: &str = "tests/clients/javascript/package-lock.json";

/// The folder of the packages, installed if it is not there yet.
///
/// # Errors
/// When Node.js or npm is missing or the packages cannot be had.
pub(crate) fn modules() -> Result<PathBuf, String> {
    let home = cache::once("node", LOCK, install)?;
    Ok(home.join("node_modules"))
}

/// npm installs beside its files. Nothing that a package brings along is run.
fn install(home: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be filled: {error}", home.display());
    fs::create_dir_all(home).map_err(failed)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(workspace::root().join(FOLDER).join(file), home.join(file)).map_err(failed)?;
    }
    Step::program("look for node", Path::new("node")).word("--version").run()?;
    Step::program("install javascript packages", Path::new("npm"))
        .words("ci --ignore-scripts --no-audit --no-fund --loglevel error --prefix")
        .word(home)
        .run()
}
