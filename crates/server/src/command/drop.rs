//! `tidemark drop`, `undrop` and `dropped`. Clients of HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::dropping::{DropArgs, DroppedArgs, UndropArgs},
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of what was dropped.
const SHOWN: [&str; 4] = ["namespace", "collection", "dropped_at", "until"];

/// Drops a namespace or a collection.
pub(super) async fn run(args: &DropArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let body = json!({ "grace_s": if args.now { Some(0) } else { args.grace } });
    let told = client.manage(Method::POST, &path(&args.of, "drop"), Some(&body)).await?;
    match told["until"].as_str().filter(|_| !args.now) {
        Some(until) => {
            out(format_args!("dropped {0}; until {until} it comes back with: tidemark undrop {0}\n", args.of))
        }
        None => out(format_args!("erased {}\n", args.of)),
    }
}

/// Brings back what was dropped.
pub(super) async fn undo(args: &UndropArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    client.manage(Method::POST, &path(&args.of, "undrop"), None).await?;
    out(format_args!("brought back {}\n", args.of))
}

/// Lists what can be brought back.
pub(super) async fn list(args: &DroppedArgs, environment: &Environment) -> Result<(), Failure> {
    let listed = Client::of(&args.server, environment)?.manage(Method::GET, "/v1/dropped", None).await?;
    let column = |name: &&str| Column { name: (*name).to_owned(), data_type: "Utf8".to_owned() };
    let row = |dropped: &Value| SHOWN.iter().map(|name| dropped[*name].clone()).collect();
    let dropped = listed["dropped"].as_array().map_or(&[][..], Vec::as_slice);
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows: dropped.iter().map(row).collect() };
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}

fn path(of: &str, verb: &str) -> String {
    format!("/v1/{}/{verb}", of.replacen('.', "/", 1))
}
