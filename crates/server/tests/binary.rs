//! The real binary: how it starts, says that it is ready, answers, and ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;

fn tidemark(words: &[&str], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    command.args(words).current_dir(home).env_clear().env("HOME", home);
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the binary runs")
}

/// A server on free ports; killed when dropped.
struct Serving {
    child: Child,
    http: String,
    rest: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the binary runs");
        let mut rest = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            assert!(rest.read_line(&mut line).expect("readable") > 0, "it ended before it was ready");
        }
        let http = line.split_whitespace().find_map(|word| word.strip_prefix("http=")).expect("an address");
        assert!(line.contains(" grpc=127.0.0.1:"), "{line}");
        Self { http: format!("http://{http}"), child, rest }
    }

    fn serve(home: &Path, more: &[&str]) -> Self {
        let words = [
            &["serve", "--data", "data", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"],
            more,
        ]
        .concat();
        Self::start(tidemark(&words, home))
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        let mut left = String::new();
        self.rest.read_to_string(&mut left).expect("readable");
        assert_eq!(left, "", "logs go to standard error");
        status
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

async fn get(serving: &Serving, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("{}{path}", serving.http)).await.expect("it answers");
    (response.status().as_u16(), response.text().await.expect("a text"))
}

#[tokio::test]
async fn it_serves_remembers_and_ends_in_order() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(
        home.path().join("a.ndjson"),
        "{\"op\":\"insert\",\"id\":\"1\",\"doc\":{\"n\":1}}\n\n{\"op\":\"what\",\"id\":\"2\"}\n",
    )
    .expect("written");
    for round in 0..2 {
        let serving = Serving::serve(home.path(), &[]);
        for (path, words) in [
            ("/health", "\"service\":\"tidemark\""),
            ("/ready", "ready"),
            ("/version", env!("CARGO_PKG_VERSION")),
            ("/metrics", "tidemark_build_info"),
        ] {
            let (status, text) = get(&serving, path).await;
            assert!(status == 200 && text.contains(words), "{path} {status} {text}");
        }
        let sent = output(&mut tidemark(
            &["ingest", "a.ndjson", "--namespace", "shop", "--collection", "orders", "--url", &serving.http],
            home.path(),
        ));
        let (said, refused) = (String::from_utf8_lossy(&sent.stdout), String::from_utf8_lossy(&sent.stderr));
        let expected =
            if round == 0 { "1 stored, 0 already there, 1 refused" } else { "0 stored, 1 already there, 1 refused" };
        assert!(said.contains(expected) && refused.contains("line 3:"), "{said} {refused}");
        let asked = tidemark(
            &["sql", "--url", &serving.http, "--format", "csv", "SELECT _id, n FROM shop.orders"],
            home.path(),
        )
        .output()
        .expect("the binary runs");
        assert_eq!(
            String::from_utf8_lossy(&asked.stdout).trim(),
            "_id,n\r\n1,1",
            "{}",
            String::from_utf8_lossy(&asked.stderr)
        );
        assert!(serving.terminate().success());
    }
}

#[tokio::test]
async fn a_token_guards_every_door() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = tidemark(
        &["serve", "--data", "data", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"],
        home.path(),
    );
    command.env("AUTH_TOKEN", "sesame");
    let serving = Serving::start(command);
    assert_eq!(get(&serving, "/health").await.0, 200);
    assert_eq!(get(&serving, "/metrics").await.0, 401);
    for (token, works) in [(None, false), (Some("wrong"), false), (Some("sesame"), true)] {
        let mut command =
            tidemark(&["sql", "--url", &serving.http, "--format", "json", "SELECT 1 AS one"], home.path());
        if let Some(token) = token {
            command.env("TIDEMARK_TOKEN", token);
        }
        let asked = output(&mut command);
        assert_eq!(asked.status.success(), works, "{token:?} {asked:?}");
        let hint = String::from_utf8_lossy(&asked.stderr).contains("TIDEMARK_TOKEN");
        assert_eq!(hint, !works, "{asked:?}");
    }
}

#[test]
fn what_cannot_work_is_said_and_ends_at_once() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("tidemark.toml"), "[query]\ntimeout = 3\n").expect("written");
    for (words, said) in [
        (vec!["serve"], "unknown field `timeout`"),
        (vec!["serve", "--config", "none.toml"], "none.toml"),
        (vec!["sql", "--url", "http://127.0.0.1:1", "SELECT 1"], "tidemark serve"),
        (vec!["sql", "--url", "ftp://x", "SELECT 1"], "no address of a server"),
        (vec!["ingest", "none.ndjson", "--namespace", "a", "--url", "http://127.0.0.1:1"], "none.ndjson"),
        (vec!["ingest", "tidemark.toml", "--namespace", "a", "--url", "http://127.0.0.1:1"], "tidemark serve"),
        (vec!["srve"], "serve"),
    ] {
        let ended = output(&mut tidemark(&words, home.path()));
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && stderr.contains(said), "{words:?}: {stderr}");
        assert!(ended.stdout.is_empty(), "{words:?}");
    }
    let open = output(&mut tidemark(&["serve", "--config", "/dev/null", "--http", "0.0.0.0:0"], home.path()));
    assert!(String::from_utf8_lossy(&open.stderr).contains("--allow-unauthenticated"), "{open:?}");
}

#[test]
fn settings_are_printed_with_where_they_come_from() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("tidemark.toml"), "env = \"staging\"\n").expect("written");
    let mut command = tidemark(&["config", "print", "--http", "127.0.0.1:9"], home.path());
    let printed = output(command.env("AUTH_TOKEN", "sesame").env("TIDEMARK_QUERY__TIMEOUT_S", "7"));
    let text = String::from_utf8_lossy(&printed.stdout);
    for line in [
        "http = \"127.0.0.1:9\"  # the command line",
        "env = \"staging\"  # tidemark.toml",
        "token = \"***\"  # the environment",
        "timeout_s = 7  # the environment",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    let version = output(&mut tidemark(&["version"], home.path()));
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), format!("tidemark {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn the_demo_loads_once_and_answers() {
    let home = tempfile::tempdir().expect("a directory");
    for round in 0..2 {
        let serving = Serving::start(tidemark(
            &["demo", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--postgres", "127.0.0.1:0"],
            home.path(),
        ));
        let sql = "SELECT (SELECT count(*) FROM nyc.events) AS events, (SELECT count(*) FROM nyc.flights) AS flights";
        let mut asking = tidemark(&["sql", "--url", &serving.http, "--format", "json"], home.path());
        let mut asking = asking.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        writeln!(asking.stdin.take().expect("piped"), "{sql};").expect("written");
        let answer = asking.wait_with_output().expect("it ends");
        let answer: Value = serde_json::from_slice(&answer.stdout).expect("json");
        assert_eq!(answer["rows"][0], serde_json::json!([18_241, 6_064]), "round {round}");
        assert!(serving.terminate().success());
    }
}
