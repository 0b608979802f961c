//! `tidemark compact`: what waits is folded, and many small files become few.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Failure, out};
use crate::{
    cli::CompactArgs,
    client::{Answer, Client, Column},
    config::Environment,
    table,
};

/// What is shown of a table: its field, and the Arrow type that says how it is aligned.
const SHOWN: [(&str, &str); 6] = [
    ("table", "Utf8"),
    ("commits", "Int64"),
    ("files_before", "Int64"),
    ("files_after", "Int64"),
    ("bytes_before", "Int64"),
    ("bytes_after", "Int64"),
];

/// Compacts and tells what was done.
pub(super) async fn run(args: &CompactArgs, environment: &Environment) -> Result<(), Failure> {
    let client = Client::of(&args.server, environment)?;
    let mut body = json!({});
    if let Some(of) = &args.of {
        let (namespace, collection) = of.split_once('.').map_or((of.as_str(), None), |(of, one)| (of, Some(one)));
        body["namespace"] = json!(namespace);
        body["collection"] = json!(collection);
    }
    let told = client.manage(Method::POST, "/v1/compact", Some(&body)).await?;
    let column = |(name, data_type): &(&str, &str)| Column { name: (*name).into(), data_type: (*data_type).into() };
    let row = |table: &Value| SHOWN.iter().map(|(name, _)| table[*name].clone()).collect();
    let rows = told["tables"].as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
    let answer = Answer { columns: SHOWN.iter().map(column).collect(), rows };
    out(format_args!("{}{}", table::draw(&answer), table::footer(&answer, None)))
}
