//! `cargo xtask drill [--events N] [--repeats N] [--only NAME,…] [--write]`: every recovery that docs/operations.md has, tried and timed.
//!
//! `tests/clients/drill.py` does it, in the environment of the Python clients and with LocalStack beside it; what it is
//! told is handed on. The binary is the one that `TIDEMARK_BIN` names, else it is built.

use crate::{localstack, python, server, step::Step, test};

/// Runs the drill with the words behind its name.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let drill = Step::program("drill", &python::interpreter()?)
        .word("tests/clients/drill.py")
        .with(test::BINARY, server::binary()?)
        .with(test::LOCALSTACK, localstack::interpreter()?)
        .with("PYTHONDONTWRITEBYTECODE", "1");
    words.iter().fold(drill, |drill, word| drill.word(word)).run()
}
