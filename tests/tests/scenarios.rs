//! SQL scenarios: every `tests/scenarios/*.slt`, each against a server of its own.

use std::path::Path;

use tidemark_tests::{scenario, server::Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_comes_out_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "slt")).collect();
    paths.sort();
    assert!(paths.len() >= 6, "scenarios are missing: {paths:?}");
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let home = tempfile::tempdir().unwrap();
        let mut server = Server::start(home.path()).await;
        wrong.extend(scenario::run(&name, &std::fs::read_to_string(&path).unwrap(), &mut server).await);
        assert!(server.is_alive(), "{name}: the server ended");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
