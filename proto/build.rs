//! Compiles the protocol buffers with protox: no protoc is needed to build.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const FILES: [&str; 6] = [
    "tidemark/v1/flight.proto",
    "tidemark/v1/ingest.proto",
    "tidemark/v1/catalog.proto",
    "grpc/health/v1/health.proto",
    "arrow/flight/session.proto",
    "arrow/flight/flight.proto",
];
/// Only described: their messages are in the crate `arrow-flight`.
const DESCRIBED: [&str; 1] = ["arrow/flight/flight.proto"];
/// What is carried by clients and no one calls: left out of what reflection tells.
const INTERNAL: [&str; 2] = ["tidemark/v1/flight.proto", "arrow/flight/session.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut files = protox::compile(FILES, ["."])?;
    let mut told = files.clone();
    told.file.retain(|file| !INTERNAL.contains(&file.name()));
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptors.bin"), told.encode_to_vec())?;
    files.file.retain(|file| !DESCRIBED.contains(&file.name()));
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).service_generator(tonic_prost_build::configure().service_generator());
    config.compile_fds(files)?;
    Ok(())
}
