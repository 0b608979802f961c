//! Examples of README.md and docs/: what people copy is run (the convention is told in `tidemark_tests::examples`).

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use tidemark_tests::{
    examples::{self, Example, Language, Outcome},
    server::{Server, binary},
};

/// How many there were when this was written: fewer, and marks were lost.
const EXAMPLES_MIN: usize = 49;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marked_examples_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let documents: Vec<_> = documents(root).into_iter().map(|path| (examples::read(&path), path)).collect();
    let marked: usize = documents.iter().map(|(examples, _)| examples.len()).sum();
    assert!(marked >= EXAMPLES_MIN, "{marked} examples are marked to be run, and there were {EXAMPLES_MIN}");
    let home = tempfile::tempdir().unwrap();
    let mut demo = Server::demo(home.path()).await;
    for (examples, path) in documents {
        for example in examples {
            let place = format!("{}:{}", path.display(), example.line);
            match example.language {
                Language::Sql => ask(&demo, &example, &place).await,
                Language::Sh => run(&demo, &example, &place, home.path()).await,
            }
        }
    }
    assert!(demo.is_alive());
}

async fn ask(demo: &Server, example: &Example, place: &str) {
    let reply = demo.client().query(example.text.trim().trim_end_matches(';'), &[("accept", "text/csv")]).await;
    match &example.outcome {
        Outcome::Fails(code) => assert_eq!(&reply.problem(), code, "{place}"),
        outcome => {
            assert_eq!(reply.status, 200, "{place}: {}", reply.text());
            let text = reply.text();
            assert!(text.lines().count() > 1, "{place}: no row");
            shows(outcome, &text, place);
        }
    }
}

async fn run(demo: &Server, example: &Example, place: &str, folder: &Path) {
    let path = format!("{}:{}", binary().parent().unwrap().display(), variable("PATH"));
    let script = tokio::process::Command::new("sh")
        .args(["-euc", &example.text])
        .current_dir(folder)
        .env("PATH", path)
        .env("TIDEMARK_URL", format!("http://{}", demo.http()))
        .output();
    let Output { status, stdout, stderr } = script.await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{place}: {status}\n{out}\n{err}");
    shows(&example.outcome, &out, place);
}

fn shows(outcome: &Outcome, output: &str, place: &str) {
    if let Outcome::Shows(text) = outcome {
        assert!(output.contains(text), "{place}: no {text:?} in {output}");
    }
}

fn documents(root: &Path) -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    paths.sort();
    paths.insert(0, root.join("README.md"));
    paths
}

fn variable(name: &str) -> String {
    tidemark_tests::remarks::variable(name).unwrap_or_default()
}
