//! Compiles the protocol buffers with protox: no protoc is needed to build.

use std::error::Error;

const FILES: [&str; 2] = ["tidemark/v1/flight.proto", "arrow/flight/session.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let files = protox::compile(FILES, ["."])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]);
    config.compile_fds(files)?;
    Ok(())
}
