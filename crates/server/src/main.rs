//! The `tidemark` binary: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_server::{cli::Cli, command};

fn main() -> ExitCode {
    command::run(Cli::parse())
}
