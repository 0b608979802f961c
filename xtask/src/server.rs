//! The server that a program drives: the one that is named, else the one that is built.

use std::path::PathBuf;

use crate::{environment, step::Step, workspace::Workspace};

/// Its binary.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn binary() -> Result<PathBuf, String> {
    if let Some(named) = environment::binary() {
        return Ok(named);
    }
    Step::cargo("build", "build --quiet --profile quick --workspace --bins").run()?;
    Ok(Workspace::read()?.target_directory.join("quick/tidemark"))
}
