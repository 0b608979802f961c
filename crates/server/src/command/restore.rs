//! `tidemark restore`: asks the server, shows how far it is, and what came of it.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::restoring::RestoreArgs,
    client::{Answer, Client, ClientError, Column},
    config::Environment,
    table,
};

/// What is shown of a report.
const SHOWN: [&str; 5] = ["added", "changed", "removed", "unchanged", "appended"];

/// Restores, or counts what would change.
pub(super) async fn run(args: &RestoreArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let into = args.into.as_ref().map(|into| format!("{}.{}", into.namespace, into.collection));
    let body = json!({
        "as_of": args.then.as_of, "valid_as_of": args.then.valid_as_of, "snapshot": args.then.snapshot, "into": into,
        "where": args.r#where, "dry_run": args.dry_run,
    });
    let path = format!("/v1/{}/{}/restore", args.of.namespace, args.of.collection);
    let mut response = client.follow(&path, &body).await?;
    let broken = |reason: String| Failure::of(&ClientError::Unreadable { url: client.url().to_owned(), reason });
    let mut read: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(error.to_string()))? {
        read.extend_from_slice(&chunk);
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            let said: Value = serde_json::from_slice(&line).map_err(|error| broken(error.to_string()))?;
            if let Some(problem) = said.get("error") {
                let detail = problem["detail"].as_str().unwrap_or("the server did not say why");
                return Err(Failure::saying(format_args!(
                    "{detail}; what was appended stays: start it again for the rest"
                )));
            }
            if let Some(report) = said.get("restored") {
                return drawn(report);
            }
            progress(&said["progress"]);
        }
    }
    Err(broken("it ended early: start the restore again, it does the rest".to_owned()))
}

fn progress(report: &Value) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _closed = writeln!(stderr, "{} changes appended", report["appended"]);
    }
}

fn drawn(report: &Value) -> Result<(), Failure> {
    let column = |name: &&str| Column { name: (*name).to_owned(), data_type: "Int64".to_owned() };
    let row = SHOWN.iter().map(|name| report[*name].clone()).collect();
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows: vec![row] };
    let ids = report["ids"].as_array().map_or(&[][..], Vec::as_slice);
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let which = if report["dry_run"] == true { "would change" } else { "changed" };
    let told = if ids.is_empty() { String::new() } else { format!("{which}: {}\n", ids.join(", ")) };
    out(format_args!("{}{told}", table::draw(&answer)))
}
