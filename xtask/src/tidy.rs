//! `cargo xtask tidy`: the house rules that no lint knows. Reads text and `cargo metadata`; builds nothing.
//!
//! 1. [`source`]: every file as lines of code, comments and tests told apart.
//! 2. [`shape`]: files: their opening, their length, their names.
//! 3. [`absence`]: words that only some crates may say.
//! 4. [`crates`]: which crate may depend on which, and which never reach which.
//! 5. [`policy`]: `deny.toml`: licences, bans, sources.
//! 6. [`unused`]: dependencies that no source names.
//! 7. [`spelling`]: words that are always wrong.

mod absence;
mod crates;
mod policy;
mod shape;
mod source;
mod spelling;
mod unused;

use crate::workspace::{self, Workspace};

/// Runs every rule and tells every breach.
pub(crate) fn run() -> Result<(), String> {
    let workspace = Workspace::read()?;
    let sources = source::read_all(&workspace)?;
    let mut breaches = Vec::new();
    for source in &sources {
        breaches.extend(shape::breaches(source));
        breaches.extend(absence::breaches(source));
    }
    breaches.extend(crates::breaches(&workspace)?);
    breaches.extend(policy::breaches(&workspace)?);
    breaches.extend(unused::breaches(&workspace, &sources));
    breaches.extend(spelling::breaches(workspace::root())?);

    println!("── tidy: {} files, {} packages, {} breaches", sources.len(), workspace.packages.len(), breaches.len());
    breaches.iter().for_each(|breach| println!("{breach}"));
    if breaches.is_empty() { Ok(()) } else { Err(format!("tidy found {} breaches", breaches.len())) }
}
