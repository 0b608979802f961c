//! `tidemark publish`: other engines get to see what is there now.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::PublishArgs,
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of a published table: its field, and the Arrow type that says how it is aligned.
const SHOWN: [(&str, &str); 7] = [
    ("table", "Utf8"),
    ("root", "Utf8"),
    ("version", "Int64"),
    ("manifest", "Int64"),
    ("files", "Int64"),
    ("added", "Int64"),
    ("removed", "Int64"),
];

/// Publishes and tells what is published then.
pub(super) async fn run(args: &PublishArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let mut body = json!({ "rebuild": args.rebuild });
    if let Some(of) = &args.of {
        let (namespace, table) = of.split_once('.').map_or((of.as_str(), None), |(of, table)| (of, Some(table)));
        body["namespace"] = json!(namespace);
        body["table"] = json!(table);
    }
    let told = client.manage(Method::POST, "/v1/publish", Some(&body)).await?;
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).into(), data_type: (*data_type).into() };
    let row = |table: &Value| SHOWN.iter().map(|(name, _)| table[*name].clone()).collect();
    let rows = told["tables"].as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows };
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}
