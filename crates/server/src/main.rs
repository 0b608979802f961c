//! The `tidemark` binary: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_server::{cli::Cli, command};
use tikv_jemallocator::Jemalloc;

/// What queries and merges have freed goes back to the system, whatever thread they ran on (ADR 0026).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    command::run(Cli::parse())
}
